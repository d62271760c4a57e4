//! How a change of settings goes, as a pure function: no clock, no I/O. Whoever drives it journals
//! each state before acting on it, so a power cut leaves the box on exactly the old or the new settings.

use device_model::{
    change_id::ChangeId,
    lan::LanSettings,
    outcome::{VerdictKind, code},
    shadow::{ProbePolicy, TrialPhase},
    share::ShareSettings,
    window::Window,
};
use serde::{Deserialize, Serialize};

/// An interrupted trial is made again, but not for ever.
pub const MAX_ATTEMPTS: u32 = 3;

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

/// A change that operators want and that can be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    pub change_id: ChangeId,
    pub profile: Profile,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// What runs for good, and what is being tried on top of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub current: Profile,
    pub state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "phase")]
pub enum State {
    Idle,
    /// Taken in hand; nothing was touched yet.
    Staged {
        wish: Wish,
        attempts: u32,
    },
    /// On the interface, and lost at a power cut.
    #[serde(rename_all = "camelCase")]
    Trying {
        wish: Wish,
        attempt: u32,
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
    Interrupted,
    /// A newer change came.
    Superseded,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Wished(Box<Wish>),
    /// Something newer than the change in hand is wanted.
    Overtaken,
    WindowMissed,
    /// As things are, the change cannot be tried.
    Impossible {
        code: String,
        detail: Option<String>,
    },
    Begin {
        boot_id: String,
    },
    Failed {
        code: String,
        detail: Option<String>,
    },
    Passed,
    Committed,
    Restored,
    /// The agent starts and finds this state in its journal.
    Restarted,
}

/// The last word on a change, still without the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub change_id: ChangeId,
    pub verdict: VerdictKind,
    pub code: Option<String>,
    pub detail: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("{event:?} makes no sense in {state:?}")]
pub struct InvalidTransition {
    state: Box<State>,
    event: Box<Event>,
}

impl Machine {
    pub fn settled(current: Profile) -> Self {
        Self { current, state: State::Idle }
    }

    /// One step on, and the verdict if a change ends with it.
    pub fn on(self, event: Event) -> Result<(Self, Option<Ending>), InvalidTransition> {
        use State::{Committing, Idle, RollingBack, Staged, Trying};
        let Self { current, state } = self;
        let (state, ending) = match (state, event) {
            (Idle, Event::Wished(wish)) => (Staged { wish: *wish, attempts: 0 }, None),
            (Idle, Event::Restarted) => (Idle, None),
            (Staged { wish, .. }, Event::Overtaken) => (Idle, Some(Ending::superseded(wish.change_id))),
            (Staged { wish, .. }, Event::WindowMissed) => {
                (Idle, Some(Ending::refused(wish.change_id, code::WINDOW_MISSED, None)))
            }
            (Staged { wish, .. }, Event::Impossible { code, detail }) => {
                (Idle, Some(Ending::refused(wish.change_id, &code, detail)))
            }
            (Staged { wish, attempts }, Event::Begin { boot_id }) => {
                let attempt = attempts + 1;
                (Trying { wish, attempt, boot_id }, None)
            }
            (Trying { wish, attempt, .. }, Event::Passed) => (Committing { wish, attempt }, None),
            (Trying { wish, attempt, .. }, Event::Failed { code, detail }) => {
                let reason = Reason::Failed { code, detail };
                (RollingBack { wish, attempt, reason }, None)
            }
            (Trying { wish, attempt, .. }, Event::Overtaken) => {
                let reason = Reason::Superseded;
                (RollingBack { wish, attempt, reason }, None)
            }
            (Trying { wish, attempt, .. }, Event::Restarted) => {
                let reason = Reason::Interrupted;
                (RollingBack { wish, attempt, reason }, None)
            }
            (Committing { wish, .. }, Event::Committed) => {
                let ending = Ending::applied(wish.change_id);
                let current = wish.profile;
                let state = Idle;
                return Ok((Self { current, state }, Some(ending)));
            }
            (RollingBack { wish, attempt, reason }, Event::Restored) => restored(wish, attempt, reason),
            // Each of these goes on where it was: what it does may be done twice.
            (state @ (Staged { .. } | Committing { .. } | RollingBack { .. }), Event::Restarted) => {
                (state, None)
            }
            (state, event) => {
                return Err(InvalidTransition { state: Box::new(state), event: Box::new(event) });
            }
        };
        Ok((Self { current, state }, ending))
    }
}

fn restored(wish: Wish, attempt: u32, reason: Reason) -> (State, Option<Ending>) {
    let id = wish.change_id.clone();
    match reason {
        Reason::Superseded => (State::Idle, Some(Ending::superseded(id))),
        Reason::Failed { code, detail } => (State::Idle, Some(Ending::rolled_back(id, &code, detail))),
        Reason::Interrupted if attempt < MAX_ATTEMPTS => {
            let attempts = attempt;
            (State::Staged { wish, attempts }, None)
        }
        Reason::Interrupted => {
            let detail = Some(format!("{attempt} attempts were cut short"));
            (State::Idle, Some(Ending::rolled_back(id, code::INTERRUPTED, detail)))
        }
    }
}

impl State {
    /// The change in hand, its phase as the shadow names it, and which attempt it is.
    pub fn trial(&self) -> Option<(&ChangeId, TrialPhase, u32)> {
        match self {
            Self::Idle => None,
            Self::Staged { wish, attempts } => Some((&wish.change_id, TrialPhase::Staged, *attempts)),
            Self::Trying { wish, attempt, .. } => Some((&wish.change_id, TrialPhase::Trying, *attempt)),
            Self::Committing { wish, attempt } => Some((&wish.change_id, TrialPhase::Committing, *attempt)),
            Self::RollingBack { wish, attempt, .. } => {
                Some((&wish.change_id, TrialPhase::RollingBack, *attempt))
            }
        }
    }
}

impl Ending {
    pub fn refused(change_id: ChangeId, code: &str, detail: Option<String>) -> Self {
        Self::new(change_id, VerdictKind::Refused, Some(code), detail)
    }

    pub fn superseded(change_id: ChangeId) -> Self {
        Self::new(change_id, VerdictKind::Superseded, Some(code::NEWER_CHANGE), None)
    }

    /// The journal is lost; what is saved on the interface says how the change ended.
    pub fn unjournalled(change_id: ChangeId, is_saved: bool) -> Self {
        let kind = if is_saved { VerdictKind::Applied } else { VerdictKind::RolledBack };
        Self::new(change_id, kind, Some(code::JOURNAL_CORRUPT), None)
    }

    fn applied(change_id: ChangeId) -> Self {
        Self::new(change_id, VerdictKind::Applied, None, None)
    }

    fn rolled_back(change_id: ChangeId, code: &str, detail: Option<String>) -> Self {
        Self::new(change_id, VerdictKind::RolledBack, Some(code), detail)
    }

    fn new(change_id: ChangeId, verdict: VerdictKind, code: Option<&str>, detail: Option<String>) -> Self {
        Self { change_id, verdict, code: code.map(ToOwned::to_owned), detail }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wish(id: &str) -> Wish {
        serde_json::from_value(json!({"changeId": id, "profile": {"lan":
            {"mode": "static", "address": "192.168.10.9/24"}}}))
        .unwrap()
    }

    fn idle() -> Machine {
        Machine::settled(Profile { lan: LanSettings::dhcp(), share: None, probe: ProbePolicy::default() })
    }

    fn after(events: impl IntoIterator<Item = Event>) -> (Machine, Vec<Ending>) {
        events.into_iter().fold((idle(), Vec::new()), |(machine, mut endings), event| {
            let (machine, ending) = machine.on(event).unwrap();
            endings.extend(ending);
            (machine, endings)
        })
    }

    fn begin() -> Event {
        Event::Begin { boot_id: "boot".to_owned() }
    }

    #[test]
    fn settings_that_work_become_the_current_ones() {
        let (machine, endings) =
            after([Event::Wished(Box::new(wish("a"))), begin(), Event::Passed, Event::Committed]);

        assert_eq!(machine.current, wish("a").profile);
        assert_eq!(endings, [Ending::applied("a".parse().unwrap())]);
    }

    #[test]
    fn three_interrupted_attempts_end_a_change() {
        let attempt = || [begin(), Event::Restarted, Event::Restored];
        let twice = [Event::Wished(Box::new(wish("a")))].into_iter().chain(attempt()).chain(attempt());
        let (machine, endings) = after(twice.clone());
        assert_eq!(endings, []);
        assert!(matches!(machine.state, State::Staged { attempts: 2, .. }));

        let (machine, endings) = after(twice.chain(attempt()));

        assert_eq!(machine, idle());
        assert_eq!(endings[0].code.as_deref(), Some(code::INTERRUPTED));
    }

    #[test]
    fn a_newer_change_undoes_a_trial_but_not_a_commit() {
        let (machine, endings) =
            after([Event::Wished(Box::new(wish("a"))), begin(), Event::Overtaken, Event::Restored]);
        assert_eq!((machine, endings[0].verdict), (idle(), VerdictKind::Superseded));

        let (committing, _) = after([Event::Wished(Box::new(wish("a"))), begin(), Event::Passed]);
        assert!(committing.on(Event::Overtaken).is_err());
    }

    #[test]
    fn the_journal_is_read_back_as_it_was_written() {
        let failed = Event::Failed { code: code::GATEWAY_SILENT.to_owned(), detail: None };
        let (machine, _) = after([Event::Wished(Box::new(wish("a"))), begin(), failed]);

        let text = serde_json::to_string(&machine).unwrap();

        assert_eq!(serde_json::from_str::<Machine>(&text).unwrap(), machine);
    }
}
