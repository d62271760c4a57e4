//! How the box is: for the shadow `status`, and for whoever stands in front of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use device_model::{
    outcome::{self, Verdict},
    shadow::merge_patch,
    status::{Alarm, Backlog, Status},
};
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    backoff::Backoff,
    capture::spool::{self, Spool},
    clock::{Clock, moment::Moment},
    config::Home,
    health::Health,
    identity::Identity,
    lan::{journal, state::Machine},
    space::{Space, free_bytes},
    store, timekeeper,
};

const AT_LEAST_EVERY: Duration = Duration::from_hours(1);
/// A little less than the look that it is for.
const WHILE_AN_ALARM_STANDS: Duration = Duration::from_secs(55);
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_MOST: Duration = Duration::from_mins(10);

/// Knows the box's status, and when it is worth a message.
pub struct StatusSource {
    pub spool: Spool,
    pub clock: Arc<Clock>,
    pub identity: Arc<Identity>,
    pub space: Arc<Space>,
    pub health: Arc<Health>,
    /// Backlog, last receipt and what waits the longest, as the store told them last.
    known: ((Backlog, Option<DateTime<Utc>>), Option<Moment>),
    sent: Option<Sent>,
    retry: Backoff,
    retry_at: Option<Instant>,
}

/// What the shadow was told on this connection.
struct Sent {
    at: Instant,
    /// When all of it was told.
    whole_at: Instant,
    status: Status,
}

impl StatusSource {
    pub fn new(
        spool: Spool,
        clock: Arc<Clock>,
        identity: Arc<Identity>,
        space: Arc<Space>,
        health: Arc<Health>,
    ) -> Self {
        let retry = Backoff::new(RETRY_FIRST, RETRY_MOST);
        let known = Default::default();
        Self { spool, clock, identity, space, health, known, sent: None, retry, retry_at: None }
    }

    pub fn forget_what_was_sent(&mut self) {
        self.sent = None;
        self.retry_at = None;
    }

    /// The shadow did not take it: it is sent again, after a while that grows.
    pub fn not_taken(&mut self, code: &Value) {
        let wait = self.retry.next_wait();
        tracing::warn!(%code, "the shadow does not take the status; it is sent again");
        self.sent = None;
        self.retry_at = Some(Instant::now() + wait);
    }

    pub fn taken(&mut self) {
        self.retry.reset();
    }

    /// When to look again, if that is not at the next usual look.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// The update to publish, if there is news, or an alarm that stands, or an hour has gone by.
    pub async fn due(&mut self) -> Option<Value> {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return None;
        }
        self.retry_at = None;
        let status = self.now().await;
        let now = Instant::now();
        let (update, whole_at) = match &self.sent {
            Some(sent) if now - sent.whole_at < AT_LEAST_EVERY => {
                if now - sent.at < at_least_every(&status) && !is_news(&sent.status, &status) {
                    return None;
                }
                (changes(&sent.status, &status), sent.whole_at)
            }
            // Now and then all of it: what somebody else did to the shadow is healed.
            _ => (whole(&status), now),
        };
        self.sent = Some(Sent { at: now, whole_at, status });
        Some(update)
    }

    async fn now(&mut self) -> Status {
        // A database that cannot be asked is worth an alarm, and none could be told without an answer.
        let asked = tokio::try_join!(self.spool.backlog(), self.spool.oldest());
        Health::set(&self.health.store_failing, asked.is_err());
        if let Ok(known) = asked {
            self.known = known;
        }
        let ((backlog, last_receipt_at), oldest) = self.known.clone();
        let at = self.clock.now();
        let backlog = waiting_since(backlog, oldest.as_ref(), &self.clock);
        let full = self.spool.quota().is_full();
        let alarms = alarms(&backlog, self.space.is_low(), full, &self.health);
        Status {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            backlog,
            free_bytes: self.space.free(),
            last_receipt_at,
            certificate: self.identity.certificate_age(&self.clock),
            clock: self.clock.standing(),
            line: self.health.line(),
            alarms,
            excluded: self.health.excluded.load(Ordering::Relaxed),
            too_big: self.health.too_big.load(Ordering::Relaxed),
            too_long: self.health.too_long.load(Ordering::Relaxed),
            at,
        }
    }
}

fn waiting_since(mut backlog: Backlog, oldest: Option<&Moment>, clock: &Clock) -> Backlog {
    backlog.oldest_at = oldest.map(|moment| clock.place(moment).0);
    backlog.aged(clock.now())
}

fn alarms(backlog: &Backlog, disk_low: bool, spool_full: bool, health: &Health) -> Vec<Alarm> {
    let is_set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
    let is_any = |count: &AtomicU64| count.load(Ordering::Relaxed) > 0;
    [
        (backlog.quarantined > 0, Alarm::Quarantined),
        (backlog.is_old(), Alarm::BacklogOld),
        (disk_low, Alarm::DiskLow),
        (spool_full, Alarm::SpoolFull),
        (is_set(&health.store_failing), Alarm::StoreFailing),
        (is_set(&health.store_replaced), Alarm::StoreReplaced),
        (is_set(&health.refused), Alarm::UploadsRefused),
        (is_set(&health.journal_corrupt), Alarm::JournalCorrupt),
        (is_set(&health.lan_drift), Alarm::LanDrift),
        (is_set(&health.share_unreadable), Alarm::ShareUnreadable),
        (is_any(&health.too_big) || is_any(&health.too_long), Alarm::NotCaptured),
    ]
    .into_iter()
    .filter_map(|(stands, alarm)| stands.then_some(alarm))
    .collect()
}

/// The line is metered: once a minute only while there is something to look at.
fn at_least_every(status: &Status) -> Duration {
    if status.alarms.is_empty() { AT_LEAST_EVERY } else { WHILE_AN_ALARM_STANDS }
}

fn is_news(last: &Status, now: &Status) -> bool {
    (last.backlog.count == 0) != (now.backlog.count == 0)
        || last.backlog.quarantined != now.backlog.quarantined
        || last.last_receipt_at != now.last_receipt_at
        || last.clock != now.clock
        || last.alarms != now.alarms
        || last.line.as_ref().map(|line| line.up) != now.line.as_ref().map(|line| line.up)
}

/// Updates merge: the line need not carry again what the shadow has.
fn changes(last: &Status, now: &Status) -> Value {
    json!({"state": {"reported": merge_patch(&json!(last), &json!(now))}})
}

/// Updates merge, so what is not there any more is nulled.
fn whole(status: &Status) -> Value {
    let mut reported = json!(status);
    for (parent, field) in
        [("/backlog", "oldestAt"), ("/backlog", "oldestAgeSeconds"), ("", "lastReceiptAt"), ("", "line")]
    {
        if let Some(Value::Object(fields)) = reported.pointer_mut(parent) {
            fields.entry(field).or_insert(Value::Null);
        }
    }
    json!({"state": {"reported": reported}})
}

/// What `device-agent status` shows: read from the store, whether the agent runs or not.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalStatus {
    pub thing: String,
    pub agent_version: String,
    pub backlog: Backlog,
    pub clock: outcome::Clock,
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
        let clock = Clock::system();
        if let Some(trusted) = timekeeper::last(&db)? {
            clock.recall(&trusted);
        }
        Ok(Self {
            thing: home.thing.to_string(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            backlog: waiting_since(spool::backlog(&db)?, spool::oldest(&db)?.as_ref(), &clock),
            clock: clock.standing(),
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
            ("oldest waits", or_dash(self.backlog.oldest_age_seconds.map(|age| format!("{age} s")))),
            ("quarantined", self.backlog.quarantined.to_string()),
            ("receipts", self.receipts.to_string()),
            ("last receipt", time(self.last_receipt_at)),
            ("clock", self.clock.as_str().to_owned()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_alarm_stands_for_its_own_reason_and_is_told_every_minute() {
        let aside = Backlog { quarantined: 1, ..Backlog::default() };
        let old = Backlog { oldest_age_seconds: Some(901), ..Backlog::default() };
        let none = Backlog::default();

        let well = || Health::new(Clock::system());
        let with = |flag: fn(&Health) -> &AtomicBool| {
            let health = well();
            Health::set(flag(&health), true);
            alarms(&none, false, false, &health)
        };
        let counted = |count: fn(&Health) -> &AtomicU64| {
            let health = well();
            count(&health).store(1, Ordering::Relaxed);
            alarms(&none, false, false, &health)
        };

        assert_eq!(alarms(&none, false, false, &well()), []);
        assert_eq!(alarms(&aside, false, false, &well()), [Alarm::Quarantined]);
        assert_eq!(alarms(&old, false, false, &well()), [Alarm::BacklogOld]);
        assert_eq!(alarms(&none, true, false, &well()), [Alarm::DiskLow]);
        assert_eq!(alarms(&none, false, true, &well()), [Alarm::SpoolFull]);
        assert_eq!(with(|health| &health.store_failing), [Alarm::StoreFailing]);
        assert_eq!(with(|health| &health.store_replaced), [Alarm::StoreReplaced]);
        assert_eq!(with(|health| &health.refused), [Alarm::UploadsRefused]);
        assert_eq!(with(|health| &health.journal_corrupt), [Alarm::JournalCorrupt]);
        assert_eq!(with(|health| &health.lan_drift), [Alarm::LanDrift]);
        assert_eq!(with(|health| &health.share_unreadable), [Alarm::ShareUnreadable]);
        assert_eq!(counted(|health| &health.too_big), [Alarm::NotCaptured]);
        assert_eq!(counted(|health| &health.too_long), [Alarm::NotCaptured]);
        let mut status: Status = serde_json::from_value(json!({"agentVersion": "0", "freeBytes": 1,
            "backlog": {"count": 0, "quarantined": 0}, "certificate": {"serial": "1", "ageDays": 0},
            "clock": "synced", "at": "2026-11-22T12:00:00Z"}))
        .unwrap();
        let quiet = status.clone();
        assert_eq!(at_least_every(&status), Duration::from_hours(1));
        status.alarms.push(Alarm::DiskLow);
        assert_eq!(changes(&quiet, &status), json!({"state": {"reported": {"alarms": ["DISK_LOW"]}}}));
        assert!(at_least_every(&status) < Duration::from_mins(1));
        assert!(is_news(&quiet, &status));
    }
}
