//! The stretches of a box's day, and what went over the line in each.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    io::Write,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testbed::{
    Testbed,
    line::{Condition, Line},
    process::Program,
    wait::until,
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    FASTER,
    sample::{BYTES, content},
    wire::Wire,
};

const BOUND: Duration = Duration::from_mins(1);
/// All that follows from something is over when nothing was said for so long: the agent looks at its
/// status every minute, which is a few seconds here.
const QUIET: Duration = Duration::from_secs(3);
const IDLE_HOURS: u32 = 3;
const FILES: u32 = 15;
/// 50 files over the ten hours that a pharmacy is open.
const FILES_A_DAY: u32 = 50;
const BETWEEN_FILES: Duration = Duration::from_mins(12);
/// Credentials hold for an hour by the cloud's clock, which does not hurry: a day's others are added.
const CREDENTIALS_A_DAY: u32 = 10;

pub type Calls = BTreeMap<String, u64>;

pub struct Day<'a> {
    pub bed: &'a mut Testbed,
    pub line: &'a Line,
    pub wire: &'a Wire,
    pub program: Program,
}

/// A stretch of the day.
#[derive(Default)]
pub struct Part {
    bytes: f64,
    calls: Calls,
}

#[derive(Default)]
pub struct Report {
    switched_on: Part,
    first_file: Part,
    credentials: f64,
    files: Part,
    idle: Part,
    change: Part,
    line_back: Part,
}

impl Day<'_> {
    pub async fn whole(&mut self) -> Result<Report> {
        let mut report = Report::default();
        let before = self.now().await?;
        let program = self.program.clone();
        self.bed.boxes[0].start_agent_as(&program)?;
        self.connected(1).await?;
        report.switched_on = self.since(before).await?;

        let (before, credentials) = (self.now().await?, self.line.credentials.count.bytes());
        self.save(0).await?;
        report.first_file = self.since(before).await?;
        report.credentials = (self.line.credentials.count.bytes() - credentials) as f64;

        println!("{FILES} files, {} s apart", (BETWEEN_FILES / FASTER).as_secs());
        let (before, start) = (self.now().await?, Instant::now());
        for number in 1..=FILES {
            self.save(number).await?;
            sleep_until(start + BETWEEN_FILES / FASTER * number).await;
        }
        report.files = self.since(before).await?;

        let idle = Duration::from_hours(1) * IDLE_HOURS / FASTER;
        println!("idle for {} s", idle.as_secs());
        let before = self.now().await?;
        sleep(idle).await;
        report.idle = self.now().await?.less(&before);

        let before = self.now().await?;
        self.change().await?;
        report.change = self.since(before).await?;

        self.line.set(Condition::Down);
        self.says("no MQTT connection", 1).await?;
        let before = self.now().await?;
        self.line.set(Condition::Up);
        self.connected(2).await?;
        report.line_back = self.since(before).await?;
        Ok(report)
    }

    /// Saves a file by SMB and waits until the ledger has it.
    async fn save(&self, number: u32) -> Result<()> {
        let one = &self.bed.boxes[0];
        let draft = self.bed.folder.join("sample.csv");
        File::create(&draft)?.write_all(&content(number.into()))?;
        one.share.client(&format!("put {} rx-{number}.csv", draft.display())).output().await?;
        let path = format!("/v1/uploads?thing={}&limit=100", one.thing);
        until("the file is in the ledger", BOUND, || async {
            let all = self.bed.api.get(&path).await?;
            let count = all["items"].as_array().context("no items")?.len();
            Ok((count > number as usize).then_some(()))
        })
        .await
    }

    async fn change(&self) -> Result<()> {
        let lan = json!({"mode": "static", "address": "192.168.10.9/24", "gateway": "192.168.10.1",
            "dns": ["192.168.10.1"]});
        let path = format!("/v1/devices/{}/lan", self.bed.boxes[0].thing);
        let opened = self.bed.api.put(&path, &json!({"lan": lan, "reason": "bench"})).await?;
        let path = format!("/v1/changes/{}", opened["changeId"].as_str().context("no change")?);
        until("the change is applied", BOUND, || async {
            Ok((self.bed.api.get(&path).await?["state"] == "applied").then_some(()))
        })
        .await
    }

    async fn connected(&self, times: usize) -> Result<()> {
        self.says("connected over MQTT", times).await
    }

    async fn says(&self, what: &str, times: usize) -> Result<()> {
        until(what, BOUND, || async {
            let log = fs::read_to_string(self.bed.boxes[0].agent_log())?;
            let said = log.lines().filter(|line| line.contains(&format!("\"{what}"))).count();
            Ok((said >= times).then_some(()))
        })
        .await
    }

    async fn now(&self) -> Result<Part> {
        let state = self.bed.api.http().get(format!("{}/state", self.bed.cloud.admin)).send().await?;
        let state: Value = serde_json::from_str(&state.text().await?)?;
        let calls = serde_json::from_value(state["calls"].clone())?;
        Ok(Part { bytes: self.wire.bytes(self.line)? as f64, calls })
    }

    /// What there was since, once all is quiet.
    async fn since(&self, before: Part) -> Result<Part> {
        loop {
            let bytes = self.wire.bytes(self.line)?;
            sleep(QUIET).await;
            if self.wire.bytes(self.line)? == bytes {
                return Ok(self.now().await?.less(&before));
            }
        }
    }
}

impl Part {
    fn less(mut self, before: &Self) -> Self {
        self.bytes -= before.bytes;
        for (name, count) in &mut self.calls {
            *count -= before.calls.get(name).copied().unwrap_or(0);
        }
        self
    }
}

impl Report {
    pub fn told(&self, unit: &str) -> Result<String> {
        let a_day = f64::from(24 / IDLE_HOURS);
        // The files came while the box was also idle.
        let files_idle = f64::from(FILES) * BETWEEN_FILES.as_secs_f64() / (f64::from(IDLE_HOURS) * 3600.0);
        let of_idle = |part: f64| part * files_idle;
        let credentials = self.credentials * f64::from(CREDENTIALS_A_DAY) / f64::from(FILES_A_DAY);
        let file = (self.files.bytes - of_idle(self.idle.bytes)) / f64::from(FILES) + credentials;
        let idle = self.idle.bytes * a_day;
        let all = idle + file * f64::from(FILES_A_DAY) + self.switched_on.bytes;
        let mut text = format!("the line of one box: {unit}; the agent's time goes {FASTER} times as fast\n");
        let mut row =
            |name: &str, bytes: f64, note: &str| writeln!(text, "  {name:<58} {bytes:>9.0}  {note}");
        row(&format!("idle day, {a_day:.0} times {IDLE_HOURS} hours"), idle, "goal: at most 300,000")?;
        let sizes = file / BYTES as f64;
        row(
            &format!("a file of {BYTES} bytes, {FILES_A_DAY} a day, from {FILES}"),
            file,
            &format!("{sizes:.2} of its size (goal: at most 2)"),
        )?;
        row("  of this: credentials, a fifth of a fetch (payload)", credentials, "")?;
        row("the first file after a start: credentials, login, file", self.first_file.bytes, "")?;
        row("a change of settings, to its verdict", self.change.bytes, "")?;
        row("a morning: the box is switched on", self.switched_on.bytes, "")?;
        row("a morning: the line is back", self.line_back.bytes, "")?;
        row(&format!("a day: switched on, {FILES_A_DAY} files"), all, "")?;
        text += "AWS a box and day: idle, and with the files and a start\n";
        for (name, &idle) in &self.idle.calls {
            let count = |part: &Part| part.calls.get(name).copied().unwrap_or(0) as f64;
            let files =
                (count(&self.files) - of_idle(idle as f64)) / f64::from(FILES) * f64::from(FILES_A_DAY);
            let others = if name == "credentials" { f64::from(CREDENTIALS_A_DAY) } else { 0.0 };
            let idle = idle as f64 * a_day;
            let all = idle + files + count(&self.switched_on) + others;
            writeln!(text, "  {name:<58} {idle:>9.0} {all:>9.0}")?;
        }
        Ok(text)
    }
}
