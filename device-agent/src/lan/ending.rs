//! How a change came to nothing for now, and how it ends for good.

use chrono::{DateTime, Utc};
use device_model::{
    change_id::ChangeId,
    outcome::{VerdictKind, code},
};
use serde::{Deserialize, Serialize};

/// The last word on a change, still without the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub change_id: ChangeId,
    pub verdict: VerdictKind,
    pub code: Option<String>,
    pub detail: Option<String>,
}

/// How often a change came to nothing, and how it did last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setbacks {
    pub count: u32,
    pub last: Option<Setback>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setback {
    pub code: String,
    pub detail: Option<String>,
    /// By the box's clock, which may jump.
    pub at: DateTime<Utc>,
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

    pub fn applied(change_id: ChangeId) -> Self {
        Self::new(change_id, VerdictKind::Applied, None, None)
    }

    /// What was never on the interface was not rolled back.
    pub fn given_up(change_id: ChangeId, attempts: u32, code: &str, detail: Option<String>) -> Self {
        let kind = if attempts > 0 { VerdictKind::RolledBack } else { VerdictKind::Refused };
        Self::new(change_id, kind, Some(code), detail)
    }

    fn new(change_id: ChangeId, verdict: VerdictKind, code: Option<&str>, detail: Option<String>) -> Self {
        Self { change_id, verdict, code: code.map(ToOwned::to_owned), detail }
    }
}

impl Setback {
    pub fn interrupted(attempt: u32, by_power: bool, at: DateTime<Utc>) -> Self {
        let what = if by_power { "the power was cut" } else { "the agent was restarted" };
        let detail = Some(format!("{what} during attempt {attempt}"));
        Self { code: code::INTERRUPTED.to_owned(), detail, at }
    }
}
