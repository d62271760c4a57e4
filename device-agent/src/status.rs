//! How the box is: for the shadow `status`, and for whoever stands in front of it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use device_model::{outcome::Verdict, status::Status};
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    capture::spool::{self, Spool},
    clock::Clock,
    config::Home,
    identity::Identity,
    lan::{journal, state::Machine},
    store::{self, StoreError},
};

const AT_LEAST_EVERY: Duration = Duration::from_hours(1);

/// Knows the box's status, and when it is worth a message.
pub struct StatusSource {
    pub spool: Spool,
    pub clock: Arc<Clock>,
    pub identity: Arc<Identity>,
    pub state_dir: PathBuf,
    pub sent: Option<(Instant, Status)>,
}

impl StatusSource {
    pub fn forget_what_was_sent(&mut self) {
        self.sent = None;
    }

    /// The update to publish, if there is news or an hour has gone by.
    pub async fn due(&mut self) -> Result<Option<Value>, StoreError> {
        let status = self.now().await?;
        let worth_it = match &self.sent {
            None => true,
            Some((at, last)) => at.elapsed() >= AT_LEAST_EVERY || is_news(last, &status),
        };
        if !worth_it {
            return Ok(None);
        }
        let update = update(&status);
        self.sent = Some((Instant::now(), status));
        Ok(Some(update))
    }

    async fn now(&self) -> Result<Status, StoreError> {
        let (backlog, last_receipt_at) = self.spool.backlog().await?;
        Ok(Status {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            backlog,
            free_bytes: free_bytes(&self.state_dir),
            last_receipt_at,
            certificate: self.identity.certificate_age(&self.clock),
            clock: self.clock.standing(),
            at: self.clock.now(),
        })
    }
}

fn is_news(last: &Status, now: &Status) -> bool {
    (last.backlog.count == 0) != (now.backlog.count == 0)
        || last.backlog.quarantined != now.backlog.quarantined
        || last.last_receipt_at != now.last_receipt_at
        || last.clock != now.clock
}

/// Updates merge, so what is not there any more is nulled.
fn update(status: &Status) -> Value {
    let mut reported = json!(status);
    for (parent, field) in [("/backlog", "oldestAt"), ("", "lastReceiptAt")] {
        if let Some(Value::Object(fields)) = reported.pointer_mut(parent) {
            fields.entry(field).or_insert(Value::Null);
        }
    }
    json!({"state": {"reported": reported}})
}

fn free_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize))
}

/// What `device-agent status` shows: read from the store, whether the agent runs or not.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalStatus {
    pub thing: String,
    pub agent_version: String,
    pub backlog: device_model::status::Backlog,
    pub free_bytes: u64,
    pub last_receipt_at: Option<DateTime<Utc>>,
    pub receipts: u64,
    pub lan: LocalLan,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalLan {
    /// `idle`, or the step that a change is at.
    pub phase: String,
    pub change_id: Option<String>,
    pub settings: Value,
    pub last_verdict: Option<Verdict>,
}

impl LocalStatus {
    pub fn read(home: &Home) -> anyhow::Result<Self> {
        let db = store::open_to_read(&home.state_dir)?;
        Ok(Self {
            thing: home.thing.to_string(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            backlog: spool::backlog(&db)?,
            free_bytes: free_bytes(&home.state_dir),
            last_receipt_at: spool::last_receipt_at(&db)?,
            receipts: db.query_row("select count(*) from receipts", [], |row| row.get(0))?,
            lan: LocalLan::read(&db)?,
        })
    }

    pub fn table(&self) -> String {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let time =
            |at: Option<DateTime<Utc>>| or_dash(at.map(|at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string()));
        let verdict = self.lan.last_verdict.as_ref().map(|last| {
            let code = last.code.as_deref().unwrap_or_default();
            format!("{} {} {code}", last.change_id, last.verdict.as_str())
        });
        let rows = [
            ("thing", self.thing.clone()),
            ("agent", self.agent_version.clone()),
            ("backlog", self.backlog.count.to_string()),
            ("oldest", time(self.backlog.oldest_at)),
            ("quarantined", self.backlog.quarantined.to_string()),
            ("receipts", self.receipts.to_string()),
            ("last receipt", time(self.last_receipt_at)),
            ("free space", format!("{} MiB", self.free_bytes / (1024 * 1024))),
            ("lan phase", self.lan.phase.clone()),
            ("lan change", or_dash(self.lan.change_id.clone())),
            ("lan settings", self.lan.settings.to_string()),
            ("last verdict", or_dash(verdict)),
        ];
        let line = |(name, value): &(&str, String)| format!("{name:<14}{}\n", value.trim_end());
        rows.iter().map(line).collect()
    }
}

impl LocalLan {
    fn read(db: &Connection) -> anyhow::Result<Self> {
        let machine: Option<String> =
            db.query_row("select machine from lan_journal", [], |row| row.get(0)).optional()?;
        let machine = machine.and_then(|text| serde_json::from_str::<Machine>(&text).ok());
        let trial = machine.as_ref().and_then(|machine| machine.state.trial());
        Ok(Self {
            phase: trial.as_ref().map_or_else(
                || "idle".to_owned(),
                |(_, phase, _)| json!(phase).as_str().unwrap_or_default().to_owned(),
            ),
            change_id: trial.map(|(change, _, _)| change.to_string()),
            settings: machine.map_or(Value::Null, |machine| json!(machine.current.lan)),
            last_verdict: journal::verdicts(db, 1)?.into_iter().next(),
        })
    }
}
