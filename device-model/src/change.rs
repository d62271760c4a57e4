//! Which states a change goes through.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::outcome::VerdictKind;

/// The life of a change; terminal states never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChangeState {
    /// Waits for its time.
    Scheduled,
    /// Written down; not in the shadow yet.
    Queued,
    /// The desired state stands in the shadow.
    Sent,
    /// The box has it and is trying.
    Trying,
    Applied,
    RolledBack,
    Refused,
    Superseded,
    Cancelled,
    Expired,
}

impl ChangeState {
    pub const ALL: [Self; 10] = [
        Self::Scheduled,
        Self::Queued,
        Self::Sent,
        Self::Trying,
        Self::Applied,
        Self::RolledBack,
        Self::Refused,
        Self::Superseded,
        Self::Cancelled,
        Self::Expired,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Trying => "trying",
            Self::Applied => "applied",
            Self::RolledBack => "rolled_back",
            Self::Refused => "refused",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Scheduled | Self::Queued | Self::Sent | Self::Trying)
    }

    /// The state in which a verdict leaves a change. A missed window is no fault of the settings.
    pub fn closed_by(verdict: VerdictKind, code: Option<&str>) -> Self {
        match verdict {
            _ if code == Some(crate::outcome::code::WINDOW_MISSED) => Self::Expired,
            VerdictKind::Applied => Self::Applied,
            VerdictKind::RolledBack => Self::RolledBack,
            VerdictKind::Refused => Self::Refused,
            VerdictKind::Superseded => Self::Superseded,
            VerdictKind::Cancelled => Self::Cancelled,
        }
    }
}

impl FromStr for ChangeState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownState)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a change's state")]
pub struct UnknownState;

impl fmt::Display for ChangeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_read_back_as_they_are_written() {
        for state in ChangeState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert_eq!("done".parse::<ChangeState>(), Err(UnknownState));
    }

    #[test]
    fn a_missed_window_expires_a_change() {
        assert_eq!(ChangeState::closed_by(VerdictKind::Refused, Some("WINDOW_MISSED")), ChangeState::Expired);
        assert_eq!(ChangeState::closed_by(VerdictKind::Refused, Some("BAD_SETTINGS")), ChangeState::Refused);
    }
}
