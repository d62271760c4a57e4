//! Whether the receipt computer has found the box since the last change: the first session from another
//! host, or the first file. Stands between the LAN's reports and the shadow and says so in them.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use device_model::{
    change_id::ChangeId,
    outcome::VerdictKind,
    shadow::{ReceiptComputer, Reported, Sight},
};
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{clock::Clock, health::Health, lan::report, newest, share::sessions::Sessions, store::Store};

/// How long it is between two looks at first, and at most: often while somebody may be waiting at the
/// telephone, seldom through a night.
pub const LOOKS: [Duration; 2] = [Duration::from_secs(2), Duration::from_mins(1)];

pub struct ReceiptWatch<S> {
    pub sessions: S,
    pub store: Store,
    pub clock: Arc<Clock>,
    pub health: Arc<Health>,
    /// What the LAN side reports.
    pub reports: newest::Receiver<Value>,
    /// The same with what is known of the receipt computer.
    pub told: newest::Sender<Value>,
    pub looks: [Duration; 2],
}

/// What is known since a change was applied. It outlives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Milestone {
    #[serde(flatten)]
    seen: ReceiptComputer,
    /// Sessions that were there before; none: they are still to be looked at.
    before: Option<BTreeSet<String>>,
    /// Files that this run of the agent had captured before.
    #[serde(skip)]
    captured: u64,
}

impl<S: Sessions> ReceiptWatch<S> {
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut milestone = recall(&self.store).await;
        let mut last: Option<Value> = None;
        let [first, longest] = self.looks;
        let (mut pause, mut look_at) = (first, Instant::now());
        loop {
            let looks = milestone.as_ref().is_some_and(Milestone::is_open);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                report = self.reports.recv() => {
                    let Some(report) = report else { return Ok(()) };
                    if let Some(change) = last_applied(&report)
                        && milestone.as_ref().is_none_or(|known| known.seen.change_id != change)
                    {
                        let captured = self.health.captured.load(Ordering::Relaxed);
                        milestone = Some(Milestone::new(change, captured));
                        (pause, look_at) = (first, Instant::now());
                        self.keep(milestone.as_ref()).await;
                    }
                    self.tell(&report, milestone.as_ref());
                    last = Some(report);
                }
                () = sleep_until(look_at), if looks => {
                    if let Some(milestone) = &mut milestone
                        && self.look(milestone).await
                    {
                        self.keep(Some(milestone)).await;
                        if let Some(report) = last.as_ref().filter(|_| !milestone.is_open()) {
                            self.tell(report, Some(milestone));
                        }
                    }
                    look_at = Instant::now() + pause;
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }

    /// True if there is something to write down.
    async fn look(&self, milestone: &mut Milestone) -> bool {
        let is_captured = self.health.captured.load(Ordering::Relaxed) > milestone.captured;
        let sessions = self.sessions.others().await;
        let is_new = match (&milestone.before, &sessions) {
            (Some(before), Some(now)) => !now.is_subset(before),
            _ => false,
        };
        if is_captured || is_new {
            let (at, clock) = (self.clock.now(), self.clock.standing());
            milestone.seen.sight = Sight::Confirmed { at, clock };
            tracing::info!(change.id = %milestone.seen.change_id, "the receipt computer has found the box");
            return true;
        }
        let is_first_look = milestone.before.is_none() && sessions.is_some();
        if is_first_look {
            milestone.before = sessions;
        }
        is_first_look
    }

    fn tell(&self, report: &Value, milestone: Option<&Milestone>) {
        let with = milestone.and_then(|milestone| {
            let mut reported: Reported = serde_json::from_value(report.clone()).ok()?;
            reported.receipt_computer = Some(milestone.seen.clone());
            report::fit(&mut reported);
            Some(json!(reported))
        });
        // While the process ends, nobody may be left to send it; the next start reports again.
        drop(self.told.send(with.unwrap_or_else(|| report.clone())));
    }

    /// What is not written down is only seen again after a restart.
    async fn keep(&self, milestone: Option<&Milestone>) {
        let Ok(text) = serde_json::to_string(&milestone) else { return };
        let put = "insert or replace into meta values ('receipt_computer', ?1)";
        if let Err(error) = self.store.run(move |db| db.execute(put, [text])).await {
            tracing::warn!(%error, "what is known of the receipt computer cannot be written down now");
        }
    }
}

impl Milestone {
    fn new(change_id: ChangeId, captured: u64) -> Self {
        Self { seen: ReceiptComputer { change_id, sight: Sight::Unconfirmed }, before: None, captured }
    }

    fn is_open(&self) -> bool {
        self.seen.sight == Sight::Unconfirmed
    }
}

async fn recall(store: &Store) -> Option<Milestone> {
    match store.read(kept).await {
        Ok(text) => text.and_then(|text| serde_json::from_str(&text).ok()),
        Err(error) => {
            tracing::warn!(%error, "what was known of the receipt computer cannot be read");
            None
        }
    }
}

fn kept(db: &Connection) -> rusqlite::Result<Option<String>> {
    let kept = "select value from meta where key = 'receipt_computer'";
    db.query_row(kept, [], |row| row.get(0)).optional()
}

fn last_applied(report: &Value) -> Option<ChangeId> {
    let reported: Reported = serde_json::from_value(report.clone()).ok()?;
    let applied = reported.verdicts.into_iter().find(|verdict| verdict.verdict == VerdictKind::Applied);
    applied.map(|verdict| verdict.change_id)
}
