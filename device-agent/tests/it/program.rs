//! The agent as a program: what it says of a configuration, and that it starts without the cloud.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use device_agent::durable;
use rcgen::KeyPair;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    capture,
    enrolment::{Bed, enrolled_box},
    support::{SmallDisk, eventually},
};

/// A box that is enrolled and set up, with nobody behind its line.
pub struct Box {
    pub share: TempDir,
    pub state: PathBuf,
    pub environment: Vec<(&'static str, String)>,
    _bed: Bed,
}

/// Ends with the test.
pub struct Running(Child);

impl Box {
    pub async fn set_up() -> Self {
        let bed = enrolled_box().await;
        let share = tempfile::tempdir().unwrap();
        let state = bed.config.home.state_dir.clone();
        let ca_file = bed.config.ca_file.as_ref().unwrap().display().to_string();
        let environment = vec![
            ("RECEHUB_THING", bed.config.home.thing.to_string()),
            ("RECEHUB_STATE_DIR", state.display().to_string()),
            ("RECEHUB_SHARE_DIR", share.path().display().to_string()),
            // Discard: nobody listens there.
            ("RECEHUB_FLEET_API", "http://127.0.0.1:9".to_owned()),
            ("RECEHUB_SERVER_ID", "server".to_owned()),
            ("RECEHUB_STS_HOST", "127.0.0.1:9".to_owned()),
            ("RECEHUB_STS_REGION", "ap-northeast-1".to_owned()),
            ("RECEHUB_MQTT_HOST", "127.0.0.1".to_owned()),
            ("RECEHUB_MQTT_PORT", "9".to_owned()),
            ("RECEHUB_CREDENTIALS_URL", "https://127.0.0.1:9".to_owned()),
            ("RECEHUB_ROLE_ALIAS", "alias".to_owned()),
            ("RECEHUB_CA_FILE", ca_file),
            ("RECEHUB_LAN_BACKEND", "fake".to_owned()),
            ("RECEHUB_FREE_FLOOR_BYTES", "0".to_owned()),
        ];
        Self { share, state, environment, _bed: bed }
    }

    pub fn set(&mut self, name: &'static str, value: &str) {
        self.environment.retain(|(other, _)| *other != name);
        self.environment.push((name, value.to_owned()));
    }

    /// The agent with this sub-command, behind another program if there is one.
    pub fn agent(&self, front: &[&str], arguments: &[&str]) -> Command {
        let whole: Vec<&str> =
            front.iter().chain([&env!("CARGO_BIN_EXE_device-agent")]).chain(arguments).copied().collect();
        let mut command = Command::new(whole[0]);
        command.args(&whole[1..]).envs(self.environment.clone()).env("RUST_LOG", "info");
        command
    }

    fn check(&self) -> Output {
        self.agent(&[], &["check-config"]).output().unwrap()
    }

    fn status(&self) -> Option<Value> {
        let output = self.agent(&[], &["status", "--json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Runs it, its log in a file.
    pub fn run(&self, front: &[&str], log: &Path) -> Running {
        let log = std::fs::File::create(log).unwrap();
        let mut command = self.agent(front, &["run"]);
        Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn a_good_configuration_is_said_to_be_good_without_the_cloud() {
    let one = Box::set_up().await;

    let said = one.check();

    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(
        std::fs::read_dir(&one.state).unwrap().all(|entry| !entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(".check"))
    );
}

#[tokio::test]
async fn every_fault_is_told_at_once_and_in_words() {
    let mut one = Box::set_up().await;
    let key = one.state.join("device.key.pem");
    durable::replace(&key, KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap();
    std::fs::remove_file(one.state.join("sealing.key")).unwrap();
    durable::replace(&one.state.join("spool.key"), b"no key").unwrap();
    one.set("RECEHUB_SHARE_DIR", "/nowhere/at/all");
    one.set("RECEHUB_CA_FILE", "/nowhere/ca.pem");
    one.set("RECEHUB_FLEET_API", "not a url");
    one.set("RECEHUB_WAN_INTERFACE", "wwan77");
    one.set("RECEHUB_MQTT_PORT", "");
    one.set("RECEHUB_SHARE_CONF", "/nowhere/smb.conf");
    one.set("RECEHUB_SHARE_ACCOUNT", "recehub");
    one.set("PATH", "/nowhere");

    let said = one.check();

    assert_eq!(said.status.code(), Some(1));
    let text = String::from_utf8_lossy(&said.stderr);
    for fault in [
        "RECEHUB_SHARE_DIR: /nowhere/at/all cannot be read",
        "/nowhere/ca.pem cannot be read",
        "RECEHUB_FLEET_API: ",
        "RECEHUB_MQTT_PORT is not set",
        "there is no network interface wwan77",
        "device.key.pem is the key of another certificate",
        "sealing.key cannot be read",
        "spool.key is no list of 32-byte keys in base64",
        "RECEHUB_SHARE_CONF: /nowhere/smb.conf cannot be written",
        "the share cannot be hosted without pdbedit",
        "faults in the configuration: 14",
    ] {
        assert!(text.contains(fault), "{fault} is not in: {text}");
    }
}

#[tokio::test]
async fn a_lan_that_could_not_be_changed_is_told_with_why() {
    let mut one = Box::set_up().await;
    one.set("RECEHUB_LAN_BACKEND", "network-manager");
    one.set("RECEHUB_WAN_INTERFACE", "lo");
    one.set("RECEHUB_LAN_INTERFACE", "lan77");
    one.set("RECEHUB_SMBCLIENT", "/nowhere/smbclient");
    one.set("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus");
    let said = |one: &Box| String::from_utf8_lossy(&one.check().stderr).into_owned();

    let missing = said(&one);
    one.set("RECEHUB_LAN_INTERFACE", "lo");
    one.set("RECEHUB_WAN_INTERFACE", "wan77");
    let unmanaged = said(&one);

    assert!(missing.contains("RECEHUB_LAN_INTERFACE: there is no network interface lan77"), "{missing}");
    assert!(missing.contains("RECEHUB_SMBCLIENT: /nowhere/smbclient cannot be started"), "{missing}");
    assert!(unmanaged.contains("NetworkManager, connect to the system bus: "), "{unmanaged}");
}

#[tokio::test]
async fn a_certificate_that_is_missing_or_unreadable_is_told() {
    let one = Box::set_up().await;
    let certificate = one.state.join("device.cert.pem");
    durable::replace(&certificate, b"no certificate").unwrap();
    let unreadable = one.check();
    std::fs::remove_file(&certificate).unwrap();
    let missing = one.check();

    assert_eq!((unreadable.status.code(), missing.status.code()), (Some(1), Some(1)));
    assert!(String::from_utf8_lossy(&unreadable.stderr).contains("device.cert.pem holds no usable PEM"));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("this box is not enrolled"));
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_to_is_told() {
    let Some(disk) = SmallDisk::mount("1m") else {
        return;
    };
    let mut one = Box::set_up().await;
    let state = disk.0.path().join("state");
    std::fs::create_dir(&state).unwrap();
    for file in ["device.key.pem", "device.cert.pem", "sealing.key"] {
        std::fs::copy(one.state.join(file), state.join(file)).unwrap();
    }
    let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.0.path()).status().unwrap();
    assert!(remount.success());
    one.set("RECEHUB_STATE_DIR", &state.display().to_string());

    let said = one.check();

    let text = String::from_utf8_lossy(&said.stderr);
    assert!(text.contains("cannot be written to: Read-only file system"), "{text}");
    assert!(text.contains("faults in the configuration: 1"), "{text}");
}

#[tokio::test]
async fn a_folder_that_tells_of_no_changes_is_looked_at_again_and_again() {
    let mut one = Box::set_up().await;
    for (name, value) in
        [("RECEHUB_SOURCE", "poll"), ("RECEHUB_POLL_SECONDS", "1"), ("RECEHUB_SETTLE_SECONDS", "1")]
    {
        one.set(name, value);
    }
    capture::put(&one.share.path().join("a.csv"), b"A");
    let running = one.run(&[], &one.state.join("log"));
    let captured = |count: u64| one.status().filter(|status| status["backlog"]["count"] == count);
    eventually("what was there is captured", || async { captured(1) }).await;

    capture::put(&one.share.path().join("b.csv"), b"B");
    capture::put(&one.share.path().join("a.csv"), b"another");

    eventually("what came and what changed is captured", || async { captured(3) }).await;
    let files = std::fs::read_dir(format!("/proc/{}/fd", running.0.id())).unwrap();
    let watches = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    assert_eq!(watches.filter(|to| to.to_string_lossy().contains("inotify")).count(), 0);
}

#[tokio::test]
async fn a_box_starts_and_captures_when_only_the_cloud_is_away() {
    let one = Box::set_up().await;
    let _running = one.run(&[], &one.state.join("log"));
    std::fs::File::create(one.share.path().join("a.csv")).unwrap();

    let status = eventually("the file is captured", || async {
        one.status().filter(|status| status["backlog"]["count"] == 1)
    })
    .await;

    assert_eq!(status["clock"], "estimated");
    assert!(status["backlog"]["oldestAgeSeconds"].as_i64().unwrap() < 60);
    assert!(status["freeBytes"].as_u64().unwrap() > 0);
    let table = one.agent(&[], &["status"]).output().unwrap();
    let table = String::from_utf8_lossy(&table.stdout);
    for row in
        ["backlog       1", "oldest waits  ", "quarantined   0", "clock         estimated", "last receipt  -"]
    {
        assert!(table.contains(row), "{row} is not in: {table}");
    }
}
