//! Drives the LAN machine: the journal has each state before the interface does, and what comes of it
//! takes the machine one step on.

use std::{collections::HashSet, pin::pin, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use device_model::{
    change_id::ChangeId,
    outcome::{Verdict, code},
    shadow::KEPT_VERDICTS,
};
use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::Backoff,
    clock::Clock,
    health::Health,
    lan::{
        Fault, LanInterface,
        desire::{Desire, Reader},
        journal::{Corrupt, Found, Journal},
        report,
        state::{Ending, Event, Machine, Profile, State, Wish},
        window::{self, Missed},
    },
    newest,
    store::StoreError,
};

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_mins(1);

pub struct Applier<I: LanInterface> {
    interface: I,
    journal: Journal,
    clock: Arc<Clock>,
    reader: Reader,
    reports: newest::Sender<Value>,
    health: Arc<Health>,
    machine: Machine,
    since: DateTime<Utc>,
    ended: HashSet<ChangeId>,
    /// The newest wish that is not in hand yet.
    pending: Option<Desire>,
    /// What worked before the trial that is under way.
    baseline: Option<I::Baseline>,
}

enum Woken<B> {
    Event(Event),
    /// A trial may begin, and this worked before it.
    Ready(B),
    Desire(Desire),
    /// Whoever tells what is desired has ended.
    Nobody,
}

impl<I: LanInterface> Applier<I> {
    /// Goes on from the journal, whether the last stop was planned or a power cut.
    pub async fn resume(
        interface: I,
        journal: Journal,
        clock: Arc<Clock>,
        reader: Reader,
        reports: newest::Sender<Value>,
        health: Arc<Health>,
    ) -> anyhow::Result<Self> {
        let found = journal.read().await?;
        let (machine, corrupt) = match found {
            Found::Machine(machine) => (*machine, None),
            Found::Nothing => (Machine::settled(interface.saved().await?), None),
            Found::Corrupt(corrupt) => (Machine::settled(interface.saved().await?), Some(*corrupt)),
        };
        let mut applier = Self {
            ended: journal.ended().await?,
            since: clock.now(),
            interface,
            journal,
            clock,
            reader,
            reports,
            health,
            machine,
            pending: None,
            baseline: None,
        };
        match corrupt {
            Some(corrupt) => applier.go_on_without_journal(corrupt).await?,
            None => applier.advance(Event::Restarted).await?,
        }
        Ok(applier)
    }

    /// A trial may be on the interface that nobody knows of: what is saved goes on first, so that what
    /// is reported then is what runs.
    async fn go_on_without_journal(&mut self, corrupt: Corrupt) -> anyhow::Result<()> {
        tracing::error!(error = corrupt.error, "JOURNAL_CORRUPT: going on with what the interface has saved");
        Health::set(&self.health.journal_corrupt, true);
        self.until_done("roll back", || self.interface.roll_back(&self.machine.current)).await;
        let is_saved = corrupt.wanted.is_some_and(|wanted| wanted == self.machine.current);
        let ending = corrupt.change.map(|change| Ending::unjournalled(change, is_saved));
        let verdict = ending.map(|ending| self.verdict(ending));
        self.write(&self.machine, verdict.as_ref()).await?;
        if let Some(verdict) = verdict {
            self.note(&verdict);
        }
        self.report().await;
        Ok(())
    }

    pub async fn run(
        mut self,
        mut desired: newest::Receiver<Value>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            let woken = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                woken = self.wake(&mut desired) => woken,
            };
            let act = async {
                match woken {
                    Woken::Event(event) => self.advance(event).await?,
                    Woken::Ready(baseline) => {
                        self.baseline = Some(baseline);
                        self.advance(Event::Begin { boot_id: self.interface.boot_id() }).await?;
                    }
                    Woken::Desire(desire) => self.take(desire).await?,
                    Woken::Nobody => return Ok(true),
                }
                self.settle_pending().await.map(|()| false)
            };
            let over = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                over = act => over?,
            };
            if over {
                return Ok(());
            }
        }
    }

    /// Acts on the present state until something comes of it. Before the commit point a newer wish
    /// cuts in; from there on it waits. What is known already disturbs nothing.
    async fn wake(&self, desired: &mut newest::Receiver<Value>) -> Woken<I::Baseline> {
        let may_cut_in =
            matches!(self.machine.state, State::Idle | State::Staged { .. } | State::Trying { .. });
        let mut act = pin!(self.act());
        loop {
            tokio::select! {
                // The wish first: a trial that is overtaken need not be finished.
                biased;
                value = desired.recv(), if may_cut_in => match value {
                    None => return Woken::Nobody,
                    Some(value) => {
                        if let Some(desire) = self.news(value) {
                            return Woken::Desire(desire);
                        }
                    }
                },
                woken = &mut act => return woken,
            }
        }
    }

    /// What the desired state asks for, unless that is in hand, waiting or over.
    fn news(&self, value: Value) -> Option<Desire> {
        let Some(desire) = self.reader.read(value) else {
            tracing::warn!("the shadow's desired state does not say which change it is");
            return None;
        };
        let id = desire.change_id();
        let in_hand = self.machine.state.trial().is_some_and(|(change, ..)| change == id);
        let waiting = self.pending.as_ref().is_some_and(|pending| pending.change_id() == id);
        (!in_hand && !waiting && !self.ended.contains(id)).then_some(desire)
    }

    /// The side effect of the present state, which is in the journal already.
    async fn act(&self) -> Woken<I::Baseline> {
        if let Some((_, step, _)) = self.machine.state.trial() {
            self.interface.reached(step).await;
        }
        Woken::Event(match &self.machine.state {
            State::Staged { wish, .. } => return self.prepare(wish).await,
            State::Trying { wish, .. } => match self.try_and_probe(&wish.profile).await {
                Ok(()) => Event::Passed,
                Err(Fault { code, detail }) => Event::Failed { code, detail: Some(detail) },
            },
            State::Committing { wish, .. } => {
                self.until_done("commit", || self.interface.commit(&wish.profile)).await;
                Event::Committed
            }
            State::RollingBack { .. } => {
                self.until_done("roll back", || self.interface.roll_back(&self.machine.current)).await;
                Event::Restored
            }
            State::Idle => std::future::pending().await,
        })
    }

    /// Waits until the change may be tried, its outcome can be judged, and it is known what works now.
    async fn prepare(&self, wish: &Wish) -> Woken<I::Baseline> {
        let longest = self.interface.longest_trial();
        loop {
            if let Some(window) = &wish.window
                && let Err(Missed) = window::wait(window, &self.clock, longest).await
            {
                return Woken::Event(Event::WindowMissed);
            }
            self.interface.judgeable().await;
            let baseline = match self.interface.baseline(&wish.profile).await {
                Ok(baseline) => baseline,
                Err(Fault { code, detail }) => {
                    return Woken::Event(Event::Impossible { code, detail: Some(detail) });
                }
            };
            // All that took its time.
            let still_open = |window| window::is_open(window, &self.clock, longest);
            if wish.window.as_ref().is_none_or(still_open) {
                return Woken::Ready(baseline);
            }
        }
    }

    async fn try_and_probe(&self, profile: &Profile) -> Result<(), Fault> {
        let unknown = || Fault::new(code::INTERRUPTED, "it is not known what worked before");
        let baseline = self.baseline.as_ref().ok_or_else(unknown)?;
        self.interface.try_on(profile).await?;
        self.interface.probe(profile, baseline).await
    }

    /// There is only one way from here, so it is gone until it is at its end.
    async fn until_done<F: Future<Output = Result<(), Fault>>>(&self, what: &str, act: impl Fn() -> F) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        while let Err(fault) = act().await {
            tracing::error!(error = fault.detail, "the interface does not {what}; trying again");
            sleep(backoff.next_wait()).await;
        }
    }

    /// Takes the state one step on: the journal has it before the network does.
    async fn advance(&mut self, event: Event) -> anyhow::Result<()> {
        let (machine, ending) = self.machine.clone().on(event)?;
        let verdict = ending.map(|ending| self.verdict(ending));
        // What stands in the journal already need not be written: a restart works on a full disk too.
        if verdict.is_some() || machine != self.machine {
            self.write(&machine, verdict.as_ref()).await?;
        }
        if let Some((change, phase, attempt)) = machine.state.trial() {
            tracing::info!(change.id = %change, attempt, "LAN change is {phase:?}");
        }
        self.since = self.clock.now();
        self.machine = machine;
        if let Some(verdict) = verdict {
            self.note(&verdict);
        }
        self.report().await;
        Ok(())
    }

    /// Nothing happens before it is in the journal: as long as the store cannot take it, it waits.
    async fn write(&self, machine: &Machine, verdict: Option<&Verdict>) -> Result<(), StoreError> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        loop {
            match self.journal.write(machine, verdict.cloned()).await {
                Err(StoreError::Sqlite(error)) => {
                    tracing::error!(error, "the journal cannot be written; trying again");
                    sleep(backoff.next_wait()).await;
                }
                written => return written,
            }
        }
    }

    async fn take(&mut self, desire: Desire) -> anyhow::Result<()> {
        if let Some(older) = self.pending.replace(desire) {
            self.close(Ending::superseded(older.change_id().clone())).await?;
        }
        match self.machine.state {
            State::Staged { .. } | State::Trying { .. } => self.advance(Event::Overtaken).await,
            State::Idle | State::Committing { .. } | State::RollingBack { .. } => Ok(()),
        }
    }

    async fn settle_pending(&mut self) -> anyhow::Result<()> {
        if self.machine.state != State::Idle {
            return Ok(());
        }
        match self.pending.take() {
            Some(Desire::Wish(wish)) => self.advance(Event::Wished(wish)).await,
            Some(Desire::Unusable(ending)) => self.close(ending).await,
            None => Ok(()),
        }
    }

    /// Ends a change that was never in hand.
    async fn close(&mut self, ending: Ending) -> anyhow::Result<()> {
        let verdict = self.verdict(ending);
        self.write(&self.machine, Some(&verdict)).await?;
        self.note(&verdict);
        self.report().await;
        Ok(())
    }

    fn verdict(&self, ending: Ending) -> Verdict {
        Verdict {
            change_id: ending.change_id,
            verdict: ending.verdict,
            code: ending.code,
            detail: ending.detail,
            at: self.clock.now(),
            clock: self.clock.standing(),
        }
    }

    fn note(&mut self, verdict: &Verdict) {
        if verdict.code.as_deref() != Some(code::JOURNAL_CORRUPT) {
            // A change has come to its end by the journal: it works again.
            Health::set(&self.health.journal_corrupt, false);
        }
        let code = verdict.code.as_deref().unwrap_or_default();
        tracing::info!(change.id = %verdict.change_id, code, "LAN change is {}", verdict.verdict.as_str());
        self.ended.insert(verdict.change_id.clone());
    }

    async fn report(&self) {
        let verdicts = match self.journal.verdicts(KEPT_VERDICTS).await {
            Ok(verdicts) => verdicts,
            Err(error) => {
                tracing::error!(%error, "the LAN's state cannot be reported now");
                return;
            }
        };
        let effective = self.interface.effective().await;
        let report = report::report(&self.machine, effective, verdicts, self.since);
        // While the process ends, nobody may be left to send it; the next start reports again.
        drop(self.reports.send(report));
    }
}
