//! What each state does to the interface. Every call is bounded: an interface that hangs is one that failed.

use std::time::Duration;

use device_model::outcome::code;
use tokio::time::{sleep, timeout};

use crate::lan::{
    Fault, LanInterface,
    applier::{Applier, Parts, Woken},
    ending::{Setback, Setbacks},
    pause::Waits,
    state::{Event, Profile, State, Wish},
    window::{self, Missed},
};

/// To tell what is saved nothing has to be waited for.
const SAVED_TIMEOUT: Duration = Duration::from_secs(20);

impl<I: LanInterface> Applier<I> {
    /// The side effect of the present state, which is in the journal already.
    pub(super) async fn act(&self) -> Woken<I::Baseline> {
        if let Some((_, step, _)) = self.machine.state.trial() {
            self.interface.reached(step).await;
        }
        Woken::Event(match &self.machine.state {
            State::Staged { wish, setbacks, .. } => return self.prepare(wish, setbacks).await,
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
                Event::Restored { at: self.parts.clock.now() }
            }
            State::Idle => std::future::pending().await,
        })
    }

    /// Waits until the change may be tried, its outcome can be judged, and it is known what works now.
    async fn prepare(&self, wish: &Wish, setbacks: &Setbacks) -> Woken<I::Baseline> {
        let Parts { clock, waits, .. } = &self.parts;
        let longest = self.interface.longest_trial();
        sleep(waits.pauses.left(setbacks, clock.now())).await;
        loop {
            if let Some(window) = &wish.window
                && let Err(Missed) = window::wait(window, clock, longest, waits.window).await
            {
                return Woken::Event(Event::WindowMissed);
            }
            if !wish.local {
                self.interface.judgeable().await;
            }
            // All that may have taken days.
            if let Some(event) = self.drift().await {
                return Woken::Event(event);
            }
            let baseline = match within(longest, self.interface.baseline(wish)).await {
                Ok(baseline) => baseline,
                Err(Fault { code, detail }) => {
                    let setback = Setback { code, detail: Some(detail), at: clock.now() };
                    return Woken::Event(Event::Impossible(setback));
                }
            };
            if wish.window.as_ref().is_none_or(|window| window::is_open(window, clock, longest)) {
                return Woken::Ready(baseline);
            }
        }
    }

    async fn try_and_probe(&self, profile: &Profile) -> Result<(), Fault> {
        let unknown = || Fault::new(code::INTERRUPTED, "it is not known what worked before");
        let baseline = self.baseline.as_ref().ok_or_else(unknown)?;
        within(self.interface.longest_trial(), async {
            self.interface.try_on(profile).await?;
            self.interface.probe(profile, baseline).await
        })
        .await
    }

    /// Somebody on site may have changed what is saved. That is taken as it is, and told.
    pub(super) async fn drift(&self) -> Option<Event> {
        let current = &self.machine.current;
        match within(SAVED_TIMEOUT, self.interface.saved()).await {
            Ok(saved) => {
                let found = current.as_saved(&saved);
                if !current.is_saved_as(&found) {
                    tracing::warn!("LAN_DRIFT: somebody on site has changed the settings; they are kept");
                }
                (found != *current).then(|| Event::Drifted(Box::new(found)))
            }
            Err(fault) => {
                tracing::warn!(error = %fault, "what the interface has saved cannot be read");
                None
            }
        }
    }

    /// There is only one way from here, so it is gone until it is at its end.
    pub(super) async fn until_done<F>(&self, what: &str, act: impl Fn() -> F)
    where
        F: Future<Output = Result<(), Fault>>,
    {
        let mut backoff = self.parts.waits.backoff();
        while let Err(fault) = within(self.interface.longest_trial(), act()).await {
            tracing::error!(error = %fault, "the interface does not {what}; trying again");
            sleep(backoff.next_wait()).await;
        }
    }
}

/// What the interface has saved, however long it takes to say so: nothing can be said without it.
pub(super) async fn saved_at_last<I: LanInterface>(interface: &I, waits: &Waits) -> Profile {
    let mut backoff = waits.backoff();
    loop {
        match within(SAVED_TIMEOUT, interface.saved()).await {
            Ok(profile) => return profile,
            Err(fault) => tracing::error!(error = %fault, "the interface does not say what it has saved"),
        }
        sleep(backoff.next_wait()).await;
    }
}

async fn within<T>(longest: Duration, act: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let hangs = || Fault::new(code::APPLY_FAILED, &format!("no answer within {} s", longest.as_secs()));
    timeout(longest, act).await.map_err(|_| hangs())?
}
