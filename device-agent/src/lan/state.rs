//! How a change of settings goes, as a pure function: no clock, no I/O. Whoever drives it journals
//! each state before acting on it, so a power cut leaves the box on exactly the old or the new settings.

use chrono::{DateTime, Utc};
use device_model::{
    change_id::ChangeId,
    lan::LanSettings,
    outcome::code,
    shadow::{ProbePolicy, TrialPhase},
    share::ShareSettings,
    window::Window,
};
use serde::{Deserialize, Serialize};

use crate::lan::ending::{Ending, Setback, Setbacks};

/// A change is this often on the interface, and never again.
pub const MAX_ATTEMPTS: u32 = 3;
/// A change that comes to nothing more often is given up, tried or not.
pub const MAX_SETBACKS: u32 = 3;

/// Everything that a change puts in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    pub lan: LanSettings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareSettings>,
    #[serde(default)]
    pub probe: ProbePolicy,
}

/// A change that somebody wants and that can be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    pub change_id: ChangeId,
    pub profile: Profile,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Somebody who stands in front of the box asks for it: it waits neither for the cloud nor for a
    /// second attempt.
    #[serde(default)]
    pub local: bool,
}

/// What runs for good, and what is being tried on top of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub current: Profile,
    /// What ran until somebody on site changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drifted_from: Option<Profile>,
    pub state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "phase")]
pub enum State {
    Idle,
    /// Taken in hand; nothing is on the interface.
    Staged {
        wish: Wish,
        attempts: u32,
        #[serde(default)]
        setbacks: Setbacks,
    },
    /// On the interface, and lost at a power cut.
    #[serde(rename_all = "camelCase")]
    Trying {
        wish: Wish,
        attempt: u32,
        #[serde(default)]
        setbacks: Setbacks,
        boot_id: String,
    },
    /// It works. From here on there is no way back: this state is the commit point.
    Committing {
        wish: Wish,
        attempt: u32,
    },
    /// The old settings are being put back.
    RollingBack {
        wish: Wish,
        attempt: u32,
        #[serde(default)]
        setbacks: Setbacks,
        reason: Reason,
    },
}

/// Why a trial is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Reason {
    /// The settings do not work.
    Failed { code: String, detail: Option<String> },
    /// The agent or the power went away in the middle.
    Interrupted {
        #[serde(default)]
        by_power: bool,
    },
    /// A newer change came.
    Superseded,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Wished(Box<Wish>),
    /// Something newer than the change in hand is wanted.
    Overtaken,
    /// Somebody on site has changed what is saved.
    Drifted(Box<Profile>),
    WindowMissed,
    /// As things are, the change cannot be tried.
    Impossible(Setback),
    Begin {
        boot_id: String,
    },
    Failed {
        code: String,
        detail: Option<String>,
    },
    Passed,
    Committed,
    Restored {
        at: DateTime<Utc>,
    },
    /// The agent starts and finds this state in its journal.
    Restarted {
        boot_id: String,
    },
}

#[derive(Debug, thiserror::Error)]
#[error("{event:?} makes no sense in {state:?}")]
pub struct InvalidTransition {
    state: Box<State>,
    event: Box<Event>,
}

impl Machine {
    pub fn settled(current: Profile) -> Self {
        Self { current, drifted_from: None, state: State::Idle }
    }

    /// One step on, and the verdict if a change ends with it.
    pub fn on(self, event: Event) -> Result<(Self, Option<Ending>), InvalidTransition> {
        use State::{Committing, Idle, RollingBack, Staged, Trying};
        let Self { current, drifted_from, state } = self;
        let (state, ending) = match (state, event) {
            (Idle, Event::Wished(wish)) => {
                (Staged { wish: *wish, attempts: 0, setbacks: Setbacks::default() }, None)
            }
            (Idle, Event::Restarted { .. }) => (Idle, None),
            // Nothing of ours is on the interface in these, so what is saved is what somebody wants.
            (state @ (Idle | Staged { .. }), Event::Drifted(found)) => {
                return Ok((Self { current, drifted_from, state }.moved_to(*found), None));
            }
            (Staged { wish, .. }, Event::Overtaken) => (Idle, Some(Ending::superseded(wish.change_id))),
            (Staged { wish, attempts, setbacks }, Event::WindowMissed) => {
                let detail = setbacks.last.map(|last| format!("the last attempt ended with {}", last.code));
                (Idle, Some(Ending::given_up(wish.change_id, attempts, code::WINDOW_MISSED, detail)))
            }
            (Staged { wish, attempts, setbacks }, Event::Impossible(setback)) => {
                put_off(wish, attempts, &setbacks, setback)
            }
            (Staged { wish, attempts, setbacks }, Event::Begin { boot_id }) => {
                let attempt = attempts + 1;
                (Trying { wish, attempt, setbacks, boot_id }, None)
            }
            (Trying { wish, attempt, .. }, Event::Passed) => (Committing { wish, attempt }, None),
            (Trying { wish, attempt, setbacks, .. }, Event::Failed { code, detail }) => {
                let reason = Reason::Failed { code, detail };
                (RollingBack { wish, attempt, setbacks, reason }, None)
            }
            (Trying { wish, attempt, setbacks, .. }, Event::Overtaken) => {
                let reason = Reason::Superseded;
                (RollingBack { wish, attempt, setbacks, reason }, None)
            }
            // After a power cut the old settings are live already. Putting them back does no harm, and
            // spares a second path.
            (Trying { wish, attempt, setbacks, boot_id: of_trial }, Event::Restarted { boot_id }) => {
                let reason = Reason::Interrupted { by_power: boot_id != of_trial };
                (RollingBack { wish, attempt, setbacks, reason }, None)
            }
            (Committing { wish, .. }, Event::Committed) => {
                let Wish { change_id, profile, local, .. } = wish;
                // A change that says nothing of the share has left it as it is.
                let profile = Profile { share: profile.share.or_else(|| current.share.clone()), ..profile };
                let settled = Self { current, drifted_from, state: Idle };
                let settled = if local { settled.moved_to(profile) } else { Self::settled(profile) };
                return Ok((settled, Some(Ending::applied(change_id))));
            }
            (RollingBack { wish, attempt, setbacks, reason }, Event::Restored { at }) => match reason {
                Reason::Superseded => (Idle, Some(Ending::superseded(wish.change_id))),
                Reason::Failed { code, detail } => {
                    put_off(wish, attempt, &setbacks, Setback { code, detail, at })
                }
                Reason::Interrupted { by_power } => {
                    put_off(wish, attempt, &setbacks, Setback::interrupted(attempt, by_power, at))
                }
            },
            // Each of these goes on where it was: what it does may be done twice.
            (state @ (Staged { .. } | Committing { .. } | RollingBack { .. }), Event::Restarted { .. }) => {
                (state, None)
            }
            (state, event) => {
                return Err(InvalidTransition { state: Box::new(state), event: Box::new(event) });
            }
        };
        Ok((Self { current, drifted_from, state }, ending))
    }

    /// Something else runs now, and the cloud has not asked for it.
    fn moved_to(self, found: Profile) -> Self {
        let Self { current, drifted_from, state } = self;
        let asked_for = drifted_from.unwrap_or(current);
        let drifted_from = (!asked_for.is_saved_as(&found)).then_some(asked_for);
        Self { current: found, drifted_from, state }
    }
}

/// Whether a change that came to nothing gets another attempt.
fn put_off(wish: Wish, attempts: u32, setbacks: &Setbacks, last: Setback) -> (State, Option<Ending>) {
    let count = setbacks.count + 1;
    let hopeless = code::is_deterministic(&last.code) || attempts >= MAX_ATTEMPTS || count > MAX_SETBACKS;
    // An interruption says nothing about the settings, whoever asked for them.
    let asks_no_more = wish.local && last.code != code::INTERRUPTED;
    if hopeless || asks_no_more {
        let ending = Ending::given_up(wish.change_id, attempts, &last.code, last.detail);
        return (State::Idle, Some(ending));
    }
    (State::Staged { wish, attempts, setbacks: Setbacks { count, last: Some(last) } }, None)
}

impl Profile {
    /// True if what is saved is this, as far as both tell: an interface may know no share, and a change may
    /// say nothing of it.
    pub fn is_saved_as(&self, saved: &Self) -> bool {
        let same_share =
            self.share.as_ref().zip(saved.share.as_ref()).is_none_or(|(own, found)| own == found);
        self.lan == saved.lan && same_share
    }

    /// What runs if the interface has saved this: it knows no probes.
    #[must_use]
    pub fn as_saved(&self, saved: &Self) -> Self {
        let share = saved.share.clone().or_else(|| self.share.clone());
        Self { lan: saved.lan.clone(), share, probe: self.probe }
    }
}

impl State {
    /// The change in hand, its phase as the shadow names it, and which attempt it is.
    pub fn trial(&self) -> Option<(&ChangeId, TrialPhase, u32)> {
        let (wish, phase, attempt) = match self {
            Self::Idle => return None,
            Self::Staged { wish, attempts, .. } => (wish, TrialPhase::Staged, attempts),
            Self::Trying { wish, attempt, .. } => (wish, TrialPhase::Trying, attempt),
            Self::Committing { wish, attempt } => (wish, TrialPhase::Committing, attempt),
            Self::RollingBack { wish, attempt, .. } => (wish, TrialPhase::RollingBack, attempt),
        };
        Some((&wish.change_id, phase, *attempt))
    }

    /// The code by which the change in hand came to nothing for now, if it did.
    pub fn setback(&self) -> Option<&str> {
        match self {
            Self::RollingBack { reason: Reason::Failed { code, .. }, .. } => Some(code),
            Self::Staged { setbacks, .. } => setbacks.last.as_ref().map(|last| last.code.as_str()),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
