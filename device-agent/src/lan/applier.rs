//! Drives the LAN machine: the journal has each state before the interface does, and what comes of it
//! takes the machine one step on.

mod act;
mod wishes;

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use device_model::{
    change_id::ChangeId,
    outcome::{Verdict, code},
    shadow::KEPT_VERDICTS,
};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    health::Health,
    lan::{
        LanInterface,
        desire::{Desire, Reader},
        ending::Ending,
        journal::{Corrupt, Found, Journal, Stamp},
        pause::Waits,
        report,
        state::{Event, Machine, State},
    },
    newest,
    store::StoreError,
};

/// Of the interface's many words this one is only for the report.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(5);

/// What the machine works with, beside its interface.
pub struct Parts {
    pub journal: Journal,
    pub clock: Arc<Clock>,
    pub reader: Reader,
    pub reports: newest::Sender<Value>,
    pub health: Arc<Health>,
    pub waits: Waits,
}

/// What is wanted, by whom.
pub struct Inbox {
    /// The shadow's desired state, whole.
    pub desired: newest::Receiver<Value>,
    /// By somebody who stands in front of the box.
    pub local: newest::Receiver<Desire>,
}

pub struct Applier<I: LanInterface> {
    interface: I,
    parts: Parts,
    machine: Machine,
    since: DateTime<Utc>,
    ended: HashSet<ChangeId>,
    /// The last ones, newest first.
    verdicts: VecDeque<Verdict>,
    /// The newest wish that is not in hand yet.
    pending: Option<Desire>,
    /// What worked before the first attempt of the change in hand: what its attempts themselves have broken
    /// is no excuse.
    baseline: Option<I::Baseline>,
    look_at: Instant,
}

enum Woken<B> {
    Event(Event),
    /// A trial may begin, and this worked before it.
    Ready(B),
    Desire(Desire),
    /// Somebody may have changed what is saved.
    Look,
    /// Whoever tells what is desired has ended.
    Nobody,
}

impl<I: LanInterface> Applier<I> {
    /// Goes on from the journal, whether the last stop was planned or a power cut.
    pub async fn resume(interface: I, parts: Parts) -> anyhow::Result<Self> {
        let found = patiently(&parts.waits, "read", || parts.journal.read()).await?;
        let (machine, is_new, corrupt) = match found {
            Found::Machine(machine) => (*machine, false, None),
            Found::Nothing => {
                (Machine::settled(act::saved_at_last(&interface, &parts.waits).await), true, None)
            }
            Found::Corrupt(corrupt) => {
                (Machine::settled(act::saved_at_last(&interface, &parts.waits).await), true, Some(*corrupt))
            }
        };
        let mut applier = Self {
            ended: patiently(&parts.waits, "read", || parts.journal.ended()).await?,
            verdicts: patiently(&parts.waits, "read", || parts.journal.verdicts(KEPT_VERDICTS)).await?.into(),
            since: parts.clock.now(),
            look_at: Instant::now(),
            interface,
            parts,
            machine,
            pending: None,
            baseline: None,
        };
        if let Some(corrupt) = corrupt {
            applier.go_on_without_journal(corrupt).await?;
            return Ok(applier);
        }
        if is_new && let Err(error) = applier.write_once(&applier.machine, None).await {
            // The next step is written anyway; until then only a manual change may go unseen.
            tracing::error!(%error, "the first LAN settings cannot be written down");
        }
        let boot_id = applier.interface.boot_id();
        applier.advance(Event::Restarted { boot_id }).await?;
        Ok(applier)
    }

    /// A trial may be on the interface that nobody knows of: what is saved goes on first, so that what
    /// is reported then is what runs.
    async fn go_on_without_journal(&mut self, corrupt: Corrupt) -> anyhow::Result<()> {
        tracing::error!(error = corrupt.error, "JOURNAL_CORRUPT: going on with what the interface has saved");
        Health::set(&self.parts.health.journal_corrupt, true);
        self.until_done("roll back", || self.interface.roll_back(&self.machine.current)).await;
        let is_saved = corrupt.wanted.is_some_and(|wanted| wanted.is_saved_as(&self.machine.current));
        let ending = corrupt.change.map(|change| Ending::unjournalled(change, is_saved));
        let verdict = ending.map(|ending| self.verdict(ending));
        self.write(&self.machine, verdict.as_ref()).await?;
        if let Some(verdict) = verdict {
            self.note(verdict);
        }
        self.report().await;
        Ok(())
    }

    pub async fn run(mut self, mut inbox: Inbox, stop: CancellationToken) -> anyhow::Result<()> {
        let stopped = stop.clone();
        tokio::select! {
            () = stopped.cancelled() => Ok(()),
            over = self.go_on(&mut inbox) => over,
        }
    }

    async fn go_on(&mut self, inbox: &mut Inbox) -> anyhow::Result<()> {
        loop {
            match self.wake(inbox).await {
                Woken::Event(event) => self.advance(event).await?,
                Woken::Ready(baseline) => {
                    self.baseline.get_or_insert(baseline);
                    self.advance(Event::Begin { boot_id: self.interface.boot_id() }).await?;
                }
                Woken::Desire(desire) => self.take(desire).await?,
                Woken::Look => {
                    self.look_at = Instant::now() + self.parts.waits.drift;
                    if let Some(event) = self.drift().await {
                        self.advance(event).await?;
                    }
                }
                Woken::Nobody => return Ok(()),
            }
            self.settle_pending().await?;
        }
    }

    /// Takes the state one step on: the journal has it before the network does.
    async fn advance(&mut self, event: Event) -> anyhow::Result<()> {
        let is_on_site = matches!(event, Event::Drifted(_));
        let (machine, ending) = self.machine.clone().on(event)?;
        let verdict = ending.map(|ending| self.verdict(ending));
        // What stands in the journal already need not be written: a restart works on a full disk too.
        if verdict.is_some() || machine != self.machine {
            self.write(&machine, verdict.as_ref()).await?;
        }
        if let Some((change, phase, attempt)) = machine.state.trial() {
            let code = machine.state.setback().unwrap_or_default();
            tracing::info!(change.id = %change, attempt, code, "LAN change is {phase:?}");
        }
        self.since = self.parts.clock.now();
        self.machine = machine;
        if is_on_site || self.machine.state == State::Idle {
            self.baseline = None;
        }
        Health::set(&self.parts.health.lan_drift, self.machine.drifted_from.is_some());
        if let Some(verdict) = verdict {
            self.note(verdict);
        }
        self.report().await;
        Ok(())
    }

    /// Nothing happens before it is in the journal: as long as the store cannot take it, it waits.
    async fn write(&self, machine: &Machine, verdict: Option<&Verdict>) -> Result<(), StoreError> {
        patiently(&self.parts.waits, "written", || self.write_once(machine, verdict)).await
    }

    async fn write_once(&self, machine: &Machine, verdict: Option<&Verdict>) -> Result<(), StoreError> {
        let clock = &self.parts.clock;
        let stamp = Stamp { at: clock.now(), clock: clock.standing() };
        self.parts.journal.write(machine, verdict.cloned(), stamp).await
    }

    fn verdict(&self, ending: Ending) -> Verdict {
        let clock = &self.parts.clock;
        Verdict {
            change_id: ending.change_id,
            verdict: ending.verdict,
            code: ending.code,
            detail: ending.detail,
            at: clock.now(),
            clock: clock.standing(),
        }
    }

    fn note(&mut self, verdict: Verdict) {
        if verdict.code.as_deref() != Some(code::JOURNAL_CORRUPT) {
            // A change has come to its end by the journal: it works again.
            Health::set(&self.parts.health.journal_corrupt, false);
        }
        let code = verdict.code.as_deref().unwrap_or_default();
        tracing::info!(change.id = %verdict.change_id, code, "LAN change is {}", verdict.verdict.as_str());
        self.ended.insert(verdict.change_id.clone());
        self.verdicts.push_front(verdict);
        self.verdicts.truncate(KEPT_VERDICTS);
    }

    async fn report(&self) {
        let effective = timeout(ADDRESS_TIMEOUT, self.interface.effective()).await.ok().flatten();
        let verdicts = self.verdicts.iter().cloned().collect();
        let report = report::report(&self.machine, effective, verdicts, self.since);
        // While the process ends, nobody may be left to send it; the next start reports again.
        drop(self.parts.reports.send(report));
    }
}

/// A database that cannot be asked now may be later, and nothing else is to be done without it.
async fn patiently<T, F>(waits: &Waits, what: &str, ask: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut backoff = waits.backoff();
    loop {
        match ask().await {
            Err(StoreError::Sqlite(error)) => {
                tracing::error!(error, "the journal cannot be {what}; trying again");
                sleep(backoff.next_wait()).await;
            }
            done => return done,
        }
    }
}
