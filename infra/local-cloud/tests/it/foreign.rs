//! Clients that are not ours, in another language: boto3 and the AWS IoT Device SDK, against the real binary.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::process::Process;
use crate::support::ADMIN;

/// Longer than a script takes on a busy machine.
const SCRIPT: Duration = Duration::from_mins(5);

/// Runs a script to its end, which it must reach.
fn run(cloud: &Process, python: &Path, script: &str) {
    let mut told = cloud.ready.clone();
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
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", cloud.folder.path());
    let mut child = command.arg(&script).arg(told.to_string()).arg(cloud.folder.path()).spawn().unwrap();
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
    run(&cloud, &python, "boto3_client.py");
    run(&cloud, &python, "device_sdk.py");
}
