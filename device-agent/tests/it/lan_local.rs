//! `device-agent lan` as a program, beside an agent and without one.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{program::Box, support::eventually};

/// A box that was first on DHCP, and was then given an address on site.
struct Site {
    one: Box,
}

impl Site {
    async fn new() -> Self {
        let mut site = Self { one: Box::set_up().await };
        site.one.set("RECEHUB_LAN_RETRY_SECONDS", "0,0,0");
        let running = site.one.run(&[], &site.one.state.join("log"));
        site.shows("the first settings", |shown| shown["current"]["lan"]["mode"] == "dhcp").await;
        drop(running);
        let on_site = json!({"lan": {"mode": "static", "address": "192.168.10.77/24"}});
        for file in ["saved.json", "running.json"] {
            site.put(file, &on_site.to_string());
        }
        site
    }

    fn lan(&self, arguments: &[&str]) -> Output {
        self.one.agent(&[], &[&["lan"], arguments].concat()).output().unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.one.state.join("lan-fake")
    }

    fn put(&self, file: &str, text: &str) {
        use std::io::Write;
        fs::File::create(self.folder().join(file)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn address(&self, file: &str) -> Value {
        let text = fs::read(self.folder().join(file)).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["lan"]["address"].clone()
    }

    fn json(&self, what: &str) -> Value {
        serde_json::from_slice(&self.lan(&[what, "--json"]).stdout).unwrap_or_default()
    }

    async fn shows(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || async { Some(self.json("show")).filter(&is_so) }).await
    }

    async fn shows_the_drift(&self) {
        self.shows("the drift", |shown| shown["driftedFrom"]["lan"]["mode"] == "dhcp").await;
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn beside_a_running_agent_everything_is_shown_and_gone_back_to() {
    let site = Site::new().await;
    let _running = site.one.run(&[], &site.one.state.join("log"));
    site.shows_the_drift().await;

    let said = site.lan(&["revert"]);

    assert!(said.status.success(), "{}", text(&said.stderr));
    assert!(text(&said.stdout).ends_with("back to dhcp (event 1)\napplied\n"), "{}", text(&said.stdout));
    assert_eq!((site.address("saved.json"), site.address("running.json")), (Value::Null, Value::Null));
    let shown = site.json("show");
    assert_eq!((&shown["driftedFrom"], &shown["trial"]), (&Value::Null, &Value::Null));
    assert_eq!(shown["verdicts"][0]["verdict"], "applied");
    let history = site.json("history");
    let what: Vec<_> = history.as_array().unwrap().iter().map(|event| event["what"].clone()).collect();
    assert_eq!(what, ["applied", "changed_on_site", "found"]);
    let table = text(&site.lan(&["history"]).stdout);
    assert!(table.lines().nth(1).unwrap().contains("changed_on_site  -"), "{table}");
    assert!(table.contains("192.168.10.77/24"), "{table}");
    assert!(text(&site.lan(&["show"]).stdout).starts_with("runs             dhcp\n"));
    let back = site.lan(&["revert", "--to", "2", "--json"]);
    assert_eq!(serde_json::from_slice::<Value>(&back.stdout).unwrap()["verdict"], "applied");
    assert_eq!(site.address("saved.json"), "192.168.10.77/24");
}

#[tokio::test]
async fn without_an_agent_it_does_the_same_by_itself_and_the_next_agent_knows() {
    let site = Site::new().await;
    let running = site.one.run(&[], &site.one.state.join("log"));
    site.shows_the_drift().await;
    drop(running);

    let said = site.lan(&["revert"]);

    assert!(said.status.success(), "{}", text(&said.stderr));
    assert_eq!(site.address("saved.json"), Value::Null);
    let _running = site.one.run(&[], &site.one.state.join("log"));
    let nowhere = site.lan(&["revert", "--to", "99"]);
    assert!(text(&nowhere.stderr).contains("the history has no event 99"), "{}", text(&nowhere.stderr));
    assert_eq!(site.json("show")["verdicts"][0]["verdict"], "applied");
}

#[tokio::test]
async fn what_does_not_work_is_said_not_to_and_undone() {
    let site = Site::new().await;
    site.put("probe-fault", "GATEWAY_SILENT");
    let _running = site.one.run(&[], &site.one.state.join("log"));
    site.shows_the_drift().await;

    let said = site.lan(&["revert"]);

    assert_eq!(said.status.code(), Some(1));
    assert!(text(&said.stderr).contains("it did not come to that: GATEWAY_SILENT"), "{}", text(&said.stderr));
    assert_eq!(site.address("running.json"), "192.168.10.77/24");
}

#[tokio::test]
async fn a_way_back_that_is_cut_off_is_gone_to_its_end_by_the_next_agent() {
    let site = Site::new().await;
    let running = site.one.run(&[], &site.one.state.join("log"));
    site.shows_the_drift().await;
    drop(running);
    site.put("gate/hold-trying", "");
    let mut cut_off = site.one.agent(&[], &["lan", "revert"]).stdout(Stdio::null()).spawn().unwrap();
    site.shows("the trial", |shown| shown["trial"]["phase"] == "trying").await;

    cut_off.kill().unwrap();
    cut_off.wait().unwrap();
    fs::remove_file(site.folder().join("running.json")).unwrap();
    fs::remove_file(site.folder().join("gate/hold-trying")).unwrap();
    let _running = site.one.run(&[], &site.one.state.join("log"));

    let shown = site.shows("a verdict", |shown| shown["verdicts"][0]["verdict"].is_string()).await;
    assert_eq!(shown["verdicts"][0]["verdict"], "applied");
    assert_eq!((site.address("saved.json"), site.address("running.json")), (Value::Null, Value::Null));
}

#[tokio::test]
async fn who_waits_no_longer_is_told_that_it_goes_on() {
    let site = Site::new().await;
    let _running = site.one.run(&[], &site.one.state.join("log"));
    site.shows_the_drift().await;
    site.put("gate/hold-trying", "");

    let said: Output = Command::output(&mut site.one.agent(&[], &["lan", "revert", "--wait", "1"])).unwrap();
    assert!(text(&said.stderr).contains("no verdict on local-"), "{}", text(&said.stderr));
    fs::remove_file(site.folder().join("gate/hold-trying")).unwrap();

    site.shows("the verdict", |shown| shown["verdicts"][0]["verdict"] == "applied").await;
}
