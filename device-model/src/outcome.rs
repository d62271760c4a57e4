//! How a change ended on the box, and by which clock.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::change_id::ChangeId;

/// The box's last word on one change. Only this closes a change that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub change_id: ChangeId,
    pub verdict: VerdictKind,
    /// Why, for whatever is not `applied`: one of [`code`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What an engineer wants to know beyond the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The box's clock.
    pub at: DateTime<Utc>,
    pub clock: Clock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// The new settings run and outlive a power cut.
    Applied,
    /// They were tried and did not work; the old ones run.
    RolledBack,
    /// They were never tried.
    Refused,
    /// A newer wish came before they were committed.
    Superseded,
    Cancelled,
}

/// How far a time of the box can be trusted: it has no clock chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Set by NTP or by the cloud's answer.
    Synced,
    /// Counted on from the last time known.
    Estimated,
}

impl VerdictKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::RolledBack => "rolled_back",
            Self::Refused => "refused",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Clock {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Estimated => "estimated",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Synced, Self::Estimated].into_iter().find(|clock| clock.as_str() == text)
    }
}

/// The reasons that a box gives, as they stand in `verdicts[].code`, and those of the cloud's own.
pub mod code {
    pub const GATEWAY_SILENT: &str = "GATEWAY_SILENT";
    pub const SHARE_LOGIN: &str = "SHARE_LOGIN";
    pub const CLOUD_UNREACHABLE: &str = "CLOUD_UNREACHABLE";
    pub const ADDRESS_IN_USE: &str = "ADDRESS_IN_USE";
    pub const DEFAULT_ROUTE_MOVED: &str = "DEFAULT_ROUTE_MOVED";
    pub const OVERLAPS_WAN: &str = "OVERLAPS_WAN";
    /// There is no link on the interface.
    pub const NO_CARRIER: &str = "NO_CARRIER";
    /// No DHCP server gave an address.
    pub const NO_LEASE: &str = "NO_LEASE";
    /// A DHCP server gave settings that break the rules for settings.
    pub const LEASE_REFUSED: &str = "LEASE_REFUSED";
    pub const DNS_SILENT: &str = "DNS_SILENT";
    /// Address or routes on the interface are not those that were asked for.
    pub const ADDRESS_NOT_SET: &str = "ADDRESS_NOT_SET";
    /// The box's file server did not take the share's settings.
    pub const SHARE_NOT_SET: &str = "SHARE_NOT_SET";
    /// The share stands on another machine: its settings are not the box's to change.
    pub const SHARE_NOT_HOSTED: &str = "SHARE_NOT_HOSTED";
    /// The interface did not take the settings.
    pub const APPLY_FAILED: &str = "APPLY_FAILED";
    /// Three attempts were cut short.
    pub const INTERRUPTED: &str = "INTERRUPTED";
    /// The shadow holds something that is not settings.
    pub const BAD_SETTINGS: &str = "BAD_SETTINGS";
    /// The schema is one this agent does not speak.
    pub const AGENT_TOO_OLD: &str = "AGENT_TOO_OLD";
    pub const WINDOW_MISSED: &str = "WINDOW_MISSED";
    /// The sealed share password does not open with the box's key.
    pub const PASSWORD_UNREADABLE: &str = "PASSWORD_UNREADABLE";
    /// A newer change took this one's place.
    pub const NEWER_CHANGE: &str = "NEWER_CHANGE";
    /// It was taken back before the box took it in hand; nothing was changed.
    pub const NOT_TAKEN_UP: &str = "NOT_TAKEN_UP";

    /// Somebody else wrote into the box's shadow, and the cloud writes back what it shall have.
    pub const DESIRED_FOREIGN: &str = "DESIRED_FOREIGN";
    /// The box could not read how far it had got; it runs what its interface had saved.
    pub const JOURNAL_CORRUPT: &str = "JOURNAL_CORRUPT";

    /// Every one of them, for whoever has to have words for each.
    pub const ALL: [&str; 23] = [
        GATEWAY_SILENT,
        SHARE_LOGIN,
        CLOUD_UNREACHABLE,
        ADDRESS_IN_USE,
        DEFAULT_ROUTE_MOVED,
        OVERLAPS_WAN,
        NO_CARRIER,
        NO_LEASE,
        LEASE_REFUSED,
        DNS_SILENT,
        ADDRESS_NOT_SET,
        SHARE_NOT_SET,
        SHARE_NOT_HOSTED,
        APPLY_FAILED,
        INTERRUPTED,
        BAD_SETTINGS,
        AGENT_TOO_OLD,
        WINDOW_MISSED,
        PASSWORD_UNREADABLE,
        NEWER_CHANGE,
        NOT_TAKEN_UP,
        JOURNAL_CORRUPT,
        DESIRED_FOREIGN,
    ];

    /// True if the same settings would fail again: they are not worth a second trial, which would
    /// disturb the pharmacy for nothing. A code of another version may be anything, so it is tried again.
    pub fn is_deterministic(code: &str) -> bool {
        matches!(
            code,
            ADDRESS_IN_USE
                | DEFAULT_ROUTE_MOVED
                | OVERLAPS_WAN
                | LEASE_REFUSED
                | SHARE_NOT_HOSTED
                | BAD_SETTINGS
                | AGENT_TOO_OLD
                | PASSWORD_UNREADABLE
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::code::*;

    #[test]
    fn every_code_stands_in_the_list_once() {
        assert_eq!(ALL.iter().collect::<HashSet<_>>().len(), ALL.len());
    }

    #[test]
    fn only_what_is_wrong_with_the_settings_themselves_is_not_tried_again() {
        for code in [ADDRESS_IN_USE, DEFAULT_ROUTE_MOVED, OVERLAPS_WAN, LEASE_REFUSED, BAD_SETTINGS] {
            assert!(is_deterministic(code), "{code}");
        }
        for code in
            [GATEWAY_SILENT, SHARE_LOGIN, CLOUD_UNREACHABLE, NO_CARRIER, NO_LEASE, DNS_SILENT, APPLY_FAILED]
        {
            assert!(!is_deterministic(code), "{code}");
        }
        assert!(!is_deterministic("SOMETHING_NEWER"));
    }
}
