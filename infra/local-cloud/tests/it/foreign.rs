//! Clients that are not ours, in another language: boto3 and the AWS IoT Device SDK, against the real binary.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{ADMIN, PATIENCE};

/// Longer than a script takes on a busy machine.
const SCRIPT: Duration = Duration::from_mins(5);

/// The cloud as a process of its own; ended when this goes.
struct Process {
    child: Child,
    folder: TempDir,
    ready: Value,
}

impl Process {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("ready.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-cloud"));
        command
            .arg("--state")
            .arg(folder.path().join("state"))
            .arg("--template")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixture.yaml"))
            .args(["--admin-key", &format!("{}:{}", ADMIN.0, ADMIN.1)])
            .arg("--ready-file")
            .arg(&file);
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let mut process = Self { child, folder, ready: Value::Null };
        let started = Instant::now();
        while !file.exists() {
            assert!(started.elapsed() < PATIENCE, "the cloud is not ready in time");
            assert_eq!(process.child.try_wait().unwrap(), None, "the cloud ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        process.ready = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        process
    }

    /// Runs a script to its end, which it must reach.
    fn run(&self, python: &Path, script: &str) {
        let mut told = self.ready.clone();
        for (name, value) in [
            ("accessKeyId", ADMIN.0),
            ("secretAccessKey", ADMIN.1),
            ("bucket", "versioned"),
            ("policy", "device"),
            ("roleAlias", "device"),
            ("thing", "py-1"),
            ("other", "py-2"),
        ] {
            told[name] = json!(value);
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(script);
        let mut command = Command::new(python);
        // Nothing of whoever runs the tests may reach the clients: keys, profiles, endpoints, proxies.
        command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", self.folder.path());
        let mut child = command.arg(&script).arg(told.to_string()).arg(self.folder.path()).spawn().unwrap();
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > SCRIPT {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(status.success(), "{} failed: {status}", script.display());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

/// The interpreter of the venv with the clients.
fn python() -> PathBuf {
    let told = std::env::var_os("RECEHUB_FOREIGN_PYTHON").expect(
        "RECEHUB_FOREIGN_PYTHON must name a Python with tests/foreign/requirements.txt installed: \
         run `cargo xtask test`, which makes one",
    );
    PathBuf::from(told)
}

/// One test, for the things and certificates that the first script makes are those of the second.
#[test]
fn boto3_and_the_device_sdk_see_what_they_would_see_at_aws() {
    let (python, cloud) = (python(), Process::start());
    cloud.run(&python, "boto3_client.py");
    cloud.run(&python, "device_sdk.py");
}
