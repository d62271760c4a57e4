//! The cloud as a process of its own: the real binary, which can be killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{ADMIN, PATIENCE};

/// Ended when this goes.
pub struct Process {
    child: Child,
    pub folder: TempDir,
    /// What the ready file says.
    pub ready: Value,
}

impl Process {
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let (child, ready) = start_in(folder.path());
        Self { child, folder, ready }
    }

    /// Ends it as a power cut would, without a word, and starts another on the same state.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.child, self.ready) = start_in(self.folder.path());
    }

    pub fn endpoint(&self) -> &str {
        self.ready["endpoint"].as_str().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

fn start_in(folder: &Path) -> (Child, Value) {
    let file = folder.join("ready.json");
    let _ = std::fs::remove_file(&file);
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-cloud"));
    command
        .arg("--state")
        .arg(folder.join("state"))
        .arg("--template")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixture.yaml"))
        .args(["--admin-key", &format!("{}:{}", ADMIN.0, ADMIN.1)])
        .arg("--ready-file")
        .arg(&file);
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !file.exists() {
        assert!(started.elapsed() < PATIENCE, "the cloud is not ready in time");
        assert_eq!(child.try_wait().unwrap(), None, "the cloud ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    (child, serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap())
}
