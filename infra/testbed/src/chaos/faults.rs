//! The faults. Each waits until there is something to interrupt, strikes, lasts for a while, is healed, and
//! tells how much it interrupted.

use std::time::Duration;

use anyhow::{Result, ensure};
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use crate::{
    chaos::stage::{PATIENCE, Stage, fault},
    line::Condition,
    wait::until,
};

/// A strike may come a moment too early or too late; so often it is tried.
const STRIKES: u32 = 40;
const SLOW_BYTES_PER_SECOND: u32 = 20_000;
/// What an answer of S3 waits that is to be waiting when the cloud is killed.
const HELD_MS: u64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    AgentKilled,
    ApiKilled,
    PostgresCrashed,
    CloudKilled,
    S3Fails,
    S3IsSlow,
    StsFails,
    CredentialsFail,
    LineCut,
    LineSilent,
    LineSlow,
    DiskFull,
    DiskReadOnly,
}

impl Fault {
    pub const ALL: [Self; 13] = [
        Self::AgentKilled,
        Self::ApiKilled,
        Self::PostgresCrashed,
        Self::CloudKilled,
        Self::S3Fails,
        Self::S3IsSlow,
        Self::StsFails,
        Self::CredentialsFail,
        Self::LineCut,
        Self::LineSilent,
        Self::LineSlow,
        Self::DiskFull,
        Self::DiskReadOnly,
    ];

    /// Those that this user can bring about: a disk to break is mounted by root.
    pub fn possible() -> Vec<Self> {
        let root = rustix::process::geteuid().is_root();
        Self::ALL
            .into_iter()
            .filter(|fault| root || !matches!(fault, Self::DiskFull | Self::DiskReadOnly))
            .collect()
    }

    /// What it is, and what it interrupts.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::AgentKilled => ("agent killed", "uploads on their way"),
            Self::ApiKilled => ("fleet API killed", "uploads on their way"),
            Self::PostgresCrashed => ("Postgres crashed", "transactions, S3 having the object"),
            Self::CloudKilled => ("local cloud killed", "requests to S3"),
            Self::S3Fails => ("S3 fails", "requests to S3"),
            Self::S3IsSlow => ("S3 is slow", "requests to S3"),
            Self::StsFails => ("STS fails", "logins"),
            Self::CredentialsFail => ("credentials provider fails", "logins"),
            Self::LineCut => ("line cut", "uploads on their way"),
            Self::LineSilent => ("line silent", "uploads on their way"),
            Self::LineSlow => ("line slow", "uploads on their way"),
            Self::DiskFull => ("disk full", "writes"),
            Self::DiskReadOnly => ("disk read-only", "writes"),
        }
    }

    /// Strikes, lasts so long and is healed. Of faults that come in kinds, `round` chooses one.
    pub async fn strike(self, stage: &mut Stage, round: usize, lasts: Duration) -> Result<u64> {
        for strike in 1..=STRIKES {
            // Not always at the first step of what it interrupts, nor at the same one again in vain.
            let moment = lasts / 64 * strike;
            let interrupted = self.once(stage, round, moment, lasts).await?;
            if interrupted > 0 {
                return Ok(interrupted);
            }
        }
        let (name, what) = self.words();
        ensure!(false, "{name}: it never interrupted {what}");
        Ok(0)
    }

    async fn once(self, stage: &mut Stage, round: usize, moment: Duration, lasts: Duration) -> Result<u64> {
        // Nothing is done; it is done and its answer breaks off; an error is answered.
        let kinds = [("refuse", 0), ("cut", 0), ("status", 500), ("status", 503)];
        let (kind, detail) = kinds[round % kinds.len()];
        match self {
            Self::AgentKilled => kill_agent(stage, moment).await,
            Self::ApiKilled => kill_api(stage, moment, lasts).await,
            Self::PostgresCrashed => crash_postgres(stage, lasts).await,
            Self::CloudKilled => kill_cloud(stage, lasts).await,
            Self::S3Fails => disturb(stage, "s3", kind, detail, lasts).await,
            Self::S3IsSlow => disturb(stage, "s3", "delay", 1000, lasts).await,
            Self::StsFails => disturb_login(stage, "sts", kind, detail, lasts).await,
            Self::CredentialsFail => disturb_login(stage, "credentials", kind, detail, lasts).await,
            Self::LineCut => cut_line(stage, moment, lasts).await,
            Self::LineSilent => worsen_line(stage, Condition::Silent, lasts).await,
            Self::LineSlow => worsen_line(stage, Condition::Slow(SLOW_BYTES_PER_SECOND), lasts).await,
            Self::DiskFull => fill_disk(stage, lasts).await,
            Self::DiskReadOnly => fail_disk(stage, lasts).await,
        }
    }
}

async fn kill_agent(stage: &mut Stage, moment: Duration) -> Result<u64> {
    let before = stage.cut_off();
    stage.until_in_flight().await?;
    sleep(moment).await;
    stage.one().kill_agent().await?;
    let interrupted = stage.cut_off_since(before).await;
    stage.one().start_agent()?;
    Ok(interrupted)
}

async fn kill_api(stage: &mut Stage, moment: Duration, lasts: Duration) -> Result<u64> {
    let before = stage.cut_off();
    stage.until_in_flight().await?;
    sleep(moment).await;
    stage.bed.kill_api().await?;
    let interrupted = stage.cut_off_since(before).await;
    sleep(lasts).await;
    stage.bed.start_api().await?;
    Ok(interrupted)
}

/// Holds the ledger's transactions up, so that they are under way when it crashes.
async fn crash_postgres(stage: &mut Stage, lasts: Duration) -> Result<u64> {
    let url = stage.bed.superuser_url();
    let mut holder = PgConnection::connect(&url).await?;
    let mut held = holder.begin().await?;
    sqlx::query("lock table observations in share row exclusive mode").execute(&mut *held).await?;
    let mut looker = PgConnection::connect(&url).await?;
    let mut waiting = async || -> Result<Option<i64>> {
        let count = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
        let count: i64 = sqlx::query_scalar(count).fetch_one(&mut looker).await?;
        Ok((count > 0).then_some(count))
    };
    let started = tokio::time::Instant::now();
    let interrupted = loop {
        if let Some(count) = waiting().await? {
            break count;
        }
        ensure!(started.elapsed() < PATIENCE, "no transaction of the ledger came");
        sleep(Duration::from_millis(20)).await;
    };
    stage.bed.crash_postgres().await?;
    sleep(lasts).await;
    stage.bed.start_postgres().await?;
    Ok(u64::try_from(interrupted)?)
}

/// Holds requests up in the cloud, so that they are under way when it is killed.
async fn kill_cloud(stage: &mut Stage, lasts: Duration) -> Result<u64> {
    let before = stage.fault_hits("s3").await?;
    stage.ask_for_fault(&fault("s3", "delay", HELD_MS)).await?;
    let interrupted = stage.until_hit("s3", before).await?;
    stage.bed.kill_cloud().await?;
    sleep(lasts).await;
    stage.bed.start_cloud().await?;
    Ok(interrupted)
}

async fn disturb(stage: &mut Stage, service: &str, kind: &str, detail: u64, lasts: Duration) -> Result<u64> {
    let before = stage.fault_hits(service).await?;
    stage.ask_for_fault(&fault(service, kind, detail)).await?;
    stage.until_hit(service, before).await?;
    sleep(lasts).await;
    stage.end_faults().await?;
    Ok(stage.fault_hits(service).await? - before)
}

/// Only a box that starts logs in, so its agent is started again.
async fn disturb_login(
    stage: &mut Stage,
    service: &str,
    kind: &str,
    detail: u64,
    lasts: Duration,
) -> Result<u64> {
    stage.one().stop_agent().await?;
    let before = stage.fault_hits(service).await?;
    stage.ask_for_fault(&fault(service, kind, detail)).await?;
    stage.one().start_agent()?;
    stage.until_hit(service, before).await?;
    sleep(lasts).await;
    stage.end_faults().await?;
    Ok(stage.fault_hits(service).await? - before)
}

async fn cut_line(stage: &mut Stage, moment: Duration, lasts: Duration) -> Result<u64> {
    let before = stage.cut_off();
    stage.until_in_flight().await?;
    sleep(moment).await;
    stage.line.set(Condition::Down);
    let interrupted = stage.cut_off_since(before).await;
    sleep(lasts).await;
    stage.line.set(Condition::Up);
    Ok(interrupted)
}

async fn worsen_line(stage: &mut Stage, condition: Condition, lasts: Duration) -> Result<u64> {
    stage.until_in_flight().await?;
    stage.line.set(condition);
    let interrupted = stage.in_flight();
    sleep(lasts).await;
    stage.line.set(Condition::Up);
    Ok(interrupted)
}

async fn fill_disk(stage: &mut Stage, lasts: Duration) -> Result<u64> {
    let before = stage.agent_log()?.len();
    let words = ["no space left", "disk is full"];
    let refused = until_write_refused(stage, before, &words, true).await?;
    sleep(lasts).await;
    stage.disk()?.empty()?;
    start_if_ended(stage)?;
    Ok(refused)
}

async fn fail_disk(stage: &mut Stage, lasts: Duration) -> Result<u64> {
    let before = stage.agent_log()?.len();
    stage.disk()?.fail().await?;
    let words = ["read-only file system", "readonly database", "disk i/o error"];
    let refused = until_write_refused(stage, before, &words, false).await?;
    sleep(lasts).await;
    // Such a disk comes back with the next start of the box only.
    if stage.one().agent.is_some() {
        stage.one().kill_agent().await?;
    }
    stage.disk()?.remount().await?;
    stage.one().start_agent()?;
    Ok(refused)
}

/// Waits until the agent tells of writes that the disk refused; how many it tells of.
async fn until_write_refused(stage: &mut Stage, before: usize, words: &[&str], fill: bool) -> Result<u64> {
    let log = stage.one().agent_log();
    let disk = stage.disk()?;
    until("the disk refuses a write", PATIENCE, || {
        let filled = if fill { disk.fill() } else { Ok(()) };
        let told = std::fs::read(&log);
        async move {
            filled?;
            let told = String::from_utf8_lossy(&told?[before..]).to_lowercase();
            let refused = told.lines().filter(|line| words.iter().any(|word| line.contains(word))).count();
            Ok((refused > 0).then_some(refused as u64))
        }
    })
    .await
}

/// An agent may end of a bad disk; then it is started again, as systemd does.
fn start_if_ended(stage: &mut Stage) -> Result<()> {
    let one = stage.one();
    if let Some(agent) = &mut one.agent
        && agent.ended()?.is_some()
    {
        one.agent = None;
        one.start_agent()?;
    }
    Ok(())
}
