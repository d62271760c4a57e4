//! What is wanted, from the cloud and on the spot: what is news, what may cut in, and what has to wait.

use std::pin::pin;

use serde_json::Value;
use tokio::time::sleep_until;

use crate::lan::{
    LanInterface,
    applier::{Applier, Inbox, Woken},
    desire::Desire,
    ending::Ending,
    state::{Event, State},
};

impl<I: LanInterface> Applier<I> {
    /// Acts on the present state until something comes of it. Before the commit point a newer wish
    /// cuts in; from there on it waits. What is known already disturbs nothing.
    pub(super) async fn wake(&self, inbox: &mut Inbox) -> Woken<I::Baseline> {
        let is_idle = self.machine.state == State::Idle;
        let may_cut_in = is_idle || matches!(self.machine.state, State::Staged { .. } | State::Trying { .. });
        let mut act = pin!(self.act());
        loop {
            tokio::select! {
                // The wish first: a trial that is overtaken need not be finished.
                biased;
                value = inbox.desired.recv(), if may_cut_in => match value {
                    None => return Woken::Nobody,
                    Some(value) => match self.read(value) {
                        Some(desire) => return Woken::Desire(desire),
                        // Told again, as at each connect.
                        None if is_idle => return Woken::Look,
                        None => {}
                    }
                },
                Some(desire) = inbox.local.recv(), if may_cut_in => {
                    if self.is_news(&desire) {
                        return Woken::Desire(desire);
                    }
                }
                () = sleep_until(self.look_at), if is_idle => return Woken::Look,
                woken = &mut act => return woken,
            }
        }
    }

    /// What the desired state asks for, unless that is known.
    fn read(&self, value: Value) -> Option<Desire> {
        let desire = self.parts.reader.read(value);
        if desire.is_none() {
            tracing::warn!("the shadow's desired state does not say which change it is");
        }
        desire.filter(|desire| self.is_news(desire))
    }

    /// True unless it is in hand, waiting or over.
    fn is_news(&self, desire: &Desire) -> bool {
        let id = desire.change_id();
        let in_hand = self.machine.state.trial().is_some_and(|(change, ..)| change == id);
        let waiting = self.pending.as_ref().is_some_and(|pending| pending.change_id() == id);
        !in_hand && !waiting && !self.ended.contains(id)
    }

    pub(super) async fn take(&mut self, desire: Desire) -> anyhow::Result<()> {
        if let Some(older) = self.pending.replace(desire) {
            self.close(Ending::superseded(older.change_id().clone())).await?;
        }
        match self.machine.state {
            State::Staged { .. } | State::Trying { .. } => self.advance(Event::Overtaken).await,
            State::Idle | State::Committing { .. } | State::RollingBack { .. } => Ok(()),
        }
    }

    pub(super) async fn settle_pending(&mut self) -> anyhow::Result<()> {
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
        self.note(verdict);
        self.report().await;
        Ok(())
    }
}
