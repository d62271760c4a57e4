//! `up` as a person uses it: it comes up, says so, keeps its state, and leaves nothing behind.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use testbed::wait::until;

use crate::support::{BOUND, tls_provider};

#[tokio::test]
async fn up_writes_what_clients_need_keeps_its_state_and_leaves_no_process() {
    tls_provider();
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();

    let first = up(folder, &["--boxes", "1", "--detach"]);
    assert!(first.status.success(), "{}", words(&first));
    assert!(words(&first).contains("smbclient") && words(&first).contains("/rece lan tenpo-0001"));
    let described = up_json(folder);
    assert_contract(&described, folder);
    assert!(described["boxes"][0]["agentPid"].is_u64());

    let second = up(folder, &["--detach"]);
    assert!(!second.status.success());
    assert!(words(&second).contains("in use"), "{}", words(&second));

    down(folder).await;
    assert!(!folder.join("up.json").exists());

    let again = up(folder, &["--boxes", "2", "--no-agents", "--detach"]);
    assert!(again.status.success(), "{}", words(&again));
    let described_again = up_json(folder);
    assert_eq!(described_again["apiToken"], described["apiToken"]);
    assert_eq!(described_again["boxes"][0]["certificateFile"], described["boxes"][0]["certificateFile"]);
    assert_eq!(described_again["boxes"].as_array().unwrap().len(), 2);
    assert!(described_again["boxes"][1]["agentPid"].is_null());
    down(folder).await;
}

#[tokio::test]
async fn an_agent_that_is_killed_is_started_again() {
    let scratch = tempfile::tempdir().unwrap();
    assert!(up(scratch.path(), &["--boxes", "1", "--detach"]).status.success());
    let pid = |described: Value| described["boxes"][0]["agentPid"].as_u64().unwrap();
    let first = pid(up_json(scratch.path()));

    assert!(Command::new("kill").args(["-KILL", &first.to_string()]).status().unwrap().success());

    until("up.json tells of another agent", BOUND, || {
        let now = pid(up_json(scratch.path()));
        let alive = Path::new(&format!("/proc/{now}/cmdline")).exists();
        async move { Ok((now != first && alive).then_some(())) }
    })
    .await
    .unwrap();
    down(scratch.path()).await;
}

#[tokio::test]
async fn a_supervisor_that_is_killed_takes_everything_with_it() {
    let scratch = tempfile::tempdir().unwrap();
    assert!(up(scratch.path(), &["--boxes", "1", "--detach"]).status.success());

    signal(scratch.path(), "-KILL");

    nothing_left(scratch.path()).await;
}

#[test]
fn a_port_in_use_is_told_in_words() {
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("fleet-api={}", busy.local_addr().unwrap().port());
    let scratch = tempfile::tempdir().unwrap();

    let refused = up(scratch.path(), &["--port", &port]);

    assert!(!refused.status.success());
    assert!(words(&refused).contains("in use by another program"), "{}", words(&refused));
}

fn up(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testbed"));
    command.arg("up").arg("--dir").arg(folder).args(arguments).output().unwrap()
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn up_json(folder: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join("up.json")).unwrap()).unwrap()
}

fn signal(folder: &Path, signal: &str) {
    let pid = std::fs::read_to_string(folder.join("supervisor.pid")).unwrap();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

async fn down(folder: &Path) {
    signal(folder, "-TERM");
    nothing_left(folder).await;
}

/// Waits until no process is left that has to do with the folder.
async fn nothing_left(folder: &Path) {
    let needle = folder.display().to_string();
    until("every process has ended", BOUND, || {
        let left = processes_of(&needle);
        async move { Ok(left.is_empty().then_some(())) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {:?}", processes_of(&needle)));
}

fn processes_of(needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            let text = std::fs::read(entry.path().join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).replace('\0', " ");
            if text.contains(needle) {
                found.push(format!(
                    "{} {}",
                    entry.file_name().display(),
                    text.chars().take(120).collect::<String>()
                ));
            }
        }
    }
    found
}

/// The fields of up.json that others' clients read.
fn assert_contract(up: &Value, folder: &Path) {
    for pointer in [
        "/fleetApi",
        "/apiToken",
        "/postgres",
        "/serverId",
        "/stsHost",
        "/stsRegion",
        "/slack/url",
        "/slack/signingSecret",
        "/slack/teamId",
        "/slack/appId",
        "/slack/channelId",
        "/slack/users/operator",
        "/slack/users/approver",
        "/slack/users/viewer",
        "/slack/users/admin",
        "/slack/users/english",
        "/aws/endpoint",
        "/aws/region",
        "/aws/accessKeyId",
        "/aws/secretAccessKey",
        "/aws/bucket",
        "/aws/iot/mqttHost",
        "/aws/iot/credentialProvider",
        "/aws/iot/roleAlias",
        "/aws/iot/caFile",
        "/boxes/0/thing",
        "/boxes/0/pharmacy",
        "/boxes/0/certificateFile",
        "/boxes/0/keyFile",
        "/boxes/0/share/host",
        "/boxes/0/share/name",
        "/boxes/0/share/user",
        "/boxes/0/share/password",
        "/boxes/0/share/folder",
    ] {
        let text = up.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        assert!(!text.is_empty(), "{pointer} is missing");
    }
    for pointer in ["/aws/iot/mqttPort", "/boxes/0/share/port"] {
        assert!(up.pointer(pointer).is_some_and(Value::is_u64), "{pointer} is missing");
    }
    for pointer in
        ["/aws/iot/caFile", "/boxes/0/certificateFile", "/boxes/0/keyFile", "/boxes/0/share/folder"]
    {
        let path = Path::new(up.pointer(pointer).unwrap().as_str().unwrap());
        assert!(path.is_absolute() && path.exists(), "{pointer} leads nowhere");
    }
    assert!(folder.join("up.json").exists());
}
