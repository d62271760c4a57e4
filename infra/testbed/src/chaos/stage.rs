//! Where the chaos takes place: a whole system, one box, its line and its disk; and what can be asked of
//! them while they fail.

use std::{fs, sync::atomic::Ordering, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::timeout;

use crate::{Testbed, boxes::RecehubBox, chaos::disk::Disk, line::Line, wait::until};

/// Longer than the box's longest wait between two tries.
pub const PATIENCE: Duration = Duration::from_mins(4);

pub struct Stage {
    pub bed: Testbed,
    pub line: Line,
    /// The disk of the box's state, if this user can mount one.
    disk: Option<Disk>,
    pub ledger: PgPool,
    http: reqwest::Client,
}

impl Stage {
    pub async fn build() -> Result<Self> {
        let mut bed = Testbed::for_test(1).await?;
        let line = Line::to(&bed.cloud, &bed.fleet_api).await?;
        let disk = if rustix::process::geteuid().is_root() { Some(Disk::make().await?) } else { None };
        let one = &mut bed.boxes[0];
        one.stop_agent().await?;
        // To the last byte: what comes before it is tried elsewhere.
        let mut program = line
            .reached_by(one.agent_program())
            .env("RECEHUB_FREE_FLOOR_BYTES", 0)
            .env("RECEHUB_RESCAN_SECONDS", 2);
        if let Some(disk) = &disk {
            disk.take_over(&one.home.join("state")).await?;
            program = program.env("RECEHUB_STATE_DIR", disk.root().display());
        }
        one.run_agent_as(program);
        one.start_agent()?;
        let ledger = PgPool::connect_lazy(&bed.database_url())?;
        Ok(Self { bed, line, disk, ledger, http: reqwest::Client::new() })
    }

    pub fn one(&mut self) -> &mut RecehubBox {
        &mut self.bed.boxes[0]
    }

    pub fn disk(&mut self) -> Result<&mut Disk> {
        self.disk.as_mut().context("only root can mount a disk to break")
    }

    /// Waits until an upload is on its way over the line and not answered yet.
    pub async fn until_in_flight(&self) -> Result<()> {
        let mut waiting = self.line.api.count.waiting.subscribe();
        let seen = timeout(PATIENCE, waiting.wait_for(|waiting| *waiting > 0)).await;
        seen.context("no upload was on its way")?.map(drop).context("the line is gone")
    }

    pub fn in_flight(&self) -> u64 {
        *self.line.api.count.waiting.borrow()
    }

    /// Uploads that were cut off so far.
    pub fn cut_off(&self) -> u64 {
        self.line.api.count.interrupted.load(Ordering::Relaxed)
    }

    /// How many uploads were cut off since, once it is seen; none, if nothing is seen for a while.
    pub async fn cut_off_since(&self, before: u64) -> u64 {
        let seen = until("an upload was cut off", Duration::from_secs(1), || async {
            Ok((self.cut_off() > before).then_some(()))
        });
        drop(seen.await);
        self.cut_off() - before
    }

    /// How many observations the ledger has.
    pub async fn observations(&self) -> Result<i64> {
        count(&self.ledger).await
    }

    /// Waits until the ledger has more than so many; the agent must not end meanwhile.
    pub async fn until_more_than(&mut self, observations: i64) -> Result<()> {
        let agent = self.bed.boxes[0].agent.as_mut().context("the agent does not run")?;
        let ledger = &self.ledger;
        until("something arrives again", PATIENCE, || {
            let alive = agent.ensure_alive();
            async move {
                alive?;
                Ok((count(ledger).await? > observations).then_some(()))
            }
        })
        .await
    }

    /// Asks the local cloud for a fault.
    pub async fn ask_for_fault(&self, fault: &Value) -> Result<()> {
        let call = self.http.post(format!("{}/faults", self.bed.cloud.admin)).json(fault);
        call.send().await?.error_for_status()?;
        Ok(())
    }

    pub async fn end_faults(&self) -> Result<()> {
        let call = self.http.delete(format!("{}/faults", self.bed.cloud.admin));
        call.send().await?.error_for_status()?;
        Ok(())
    }

    /// How many requests of a service the local cloud's faults have hit since it started.
    pub async fn fault_hits(&self, service: &str) -> Result<u64> {
        let state = self.http.get(format!("{}/state", self.bed.cloud.admin)).send().await?;
        let state: Value = state.error_for_status()?.json().await?;
        Ok(state["faultHits"][service].as_u64().unwrap_or_default())
    }

    /// Waits until a fault has hit more requests than so many.
    pub async fn until_hit(&self, service: &str, before: u64) -> Result<u64> {
        until(&format!("a fault hits {service}"), PATIENCE, || async {
            let hits = self.fault_hits(service).await?;
            Ok((hits > before).then_some(hits - before))
        })
        .await
    }

    pub fn agent_log(&self) -> Result<String> {
        let log = self.bed.boxes[0].agent_log();
        Ok(String::from_utf8_lossy(&fs::read(log)?).into_owned())
    }

    /// What the box says that it still has to send.
    pub async fn backlog(&self) -> Result<Value> {
        let program = self.bed.boxes[0].agent_program().clone();
        let text = program.arg("status").arg("--json").output().await?;
        let status: Value = serde_json::from_str(&text)?;
        Ok(status["backlog"].clone())
    }

    /// Fails if the agent has ended of itself.
    pub fn ensure_alive(&mut self) -> Result<()> {
        ensure!(self.one().agent.is_some(), "the agent does not run");
        self.bed.ensure_alive()
    }

    pub async fn stop(self) -> Result<()> {
        self.ledger.close().await;
        self.bed.stop().await.context("the system does not end")
    }
}

async fn count(ledger: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("select count(*) from observations").fetch_one(ledger).await?)
}

/// A fault as the local cloud takes it.
pub fn fault(service: &str, fault: &str, detail: u64) -> Value {
    json!({"service": service, "fault": fault, "status": detail, "delayMs": detail})
}
