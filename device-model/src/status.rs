//! The reported side of the shadow `status`: how a box is.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::outcome::Clock;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub agent_version: String,
    pub backlog: Backlog,
    /// Free space where the spool lies.
    pub free_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_receipt_at: Option<DateTime<Utc>>,
    pub certificate: CertificateAge,
    pub clock: Clock,
    /// As it was last seen, by an upload or by MQTT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<Line>,
    /// What someone should look at; empty on most days.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
    /// Files and folders of the share that are left out by their names.
    #[serde(default)]
    pub excluded: u64,
    /// Files of the share that are not captured because they are too big.
    #[serde(default)]
    pub too_big: u64,
    /// Files and folders of the share that are not captured because their paths are too long.
    #[serde(default)]
    pub too_long: u64,
    pub at: DateTime<Utc>,
}

/// What the box has and the cloud has not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Backlog {
    pub count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_at: Option<DateTime<Utc>>,
    /// How old that was at the status' own `at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_age_seconds: Option<i64>,
    /// Entries set aside because they cannot be sent as they are.
    pub quarantined: u64,
}

/// The box's own line to the cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Line {
    pub up: bool,
    pub since: DateTime<Utc>,
}

/// Something that does not mend itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Alarm {
    /// Entries are set aside.
    Quarantined,
    /// The oldest entry waits for longer than [`BACKLOG_OLD_AFTER`].
    BacklogOld,
    /// Too little free space: the share is not captured.
    DiskLow,
    /// The spool holds as much as it may: the share is not captured.
    SpoolFull,
    /// The box's database cannot be written now: the share is not captured.
    StoreFailing,
    /// The box's database could not be read at its last start; a fresh one began, and the share is read again.
    StoreReplaced,
    /// The fleet API refuses the box's uploads.
    UploadsRefused,
    /// The LAN journal could not be read; what was saved runs.
    JournalCorrupt,
    /// The share cannot be looked into: nothing is captured.
    ShareUnreadable,
    /// Files stand on the share that are too big to be captured, or whose paths are too long.
    NotCaptured,
    /// Somebody on site has changed the LAN's settings: they are not those that were last applied.
    LanDrift,
    /// One that a newer agent knows.
    #[serde(other)]
    Unknown,
}

impl Alarm {
    /// Every one of them, for whoever has to have words for each.
    pub const ALL: [Self; 12] = [
        Self::Quarantined,
        Self::BacklogOld,
        Self::DiskLow,
        Self::SpoolFull,
        Self::StoreFailing,
        Self::StoreReplaced,
        Self::UploadsRefused,
        Self::JournalCorrupt,
        Self::ShareUnreadable,
        Self::NotCaptured,
        Self::LanDrift,
        Self::Unknown,
    ];
}

/// What waits for longer raises an alarm.
pub const BACKLOG_OLD_AFTER: TimeDelta = TimeDelta::minutes(15);

impl Backlog {
    /// With the age of the oldest entry as it is at this moment.
    #[must_use]
    pub fn aged(mut self, at: DateTime<Utc>) -> Self {
        self.oldest_age_seconds = self.oldest_at.map(|oldest| (at - oldest).num_seconds().max(0));
        self
    }

    pub fn is_old(&self) -> bool {
        self.oldest_age_seconds.is_some_and(|age| age > BACKLOG_OLD_AFTER.num_seconds())
    }
}

/// AWS IoT's certificates are valid to 2049: their age counts, not their end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CertificateAge {
    pub serial: String,
    pub age_days: i64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn waiting_since(minutes: i64) -> Backlog {
        let at: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        let oldest_at = Some(at - TimeDelta::minutes(minutes));
        Backlog { count: 1, oldest_at, ..Backlog::default() }.aged(at)
    }

    #[test]
    fn a_backlog_is_old_after_a_quarter_of_an_hour() {
        assert_eq!(waiting_since(15).oldest_age_seconds, Some(900));
        assert!(!waiting_since(15).is_old());
        assert!(waiting_since(16).is_old());
        assert!(!Backlog::default().aged(DateTime::UNIX_EPOCH).is_old());
    }

    #[test]
    fn an_older_agents_status_and_a_newer_ones_alarm_can_be_read() {
        let status: Status = serde_json::from_value(json!({"agentVersion": "0", "freeBytes": 1,
            "backlog": {"count": 0, "quarantined": 0}, "certificate": {"serial": "1", "ageDays": 0},
            "clock": "synced", "at": "2026-11-22T12:00:00Z"}))
        .unwrap();
        let alarms: Vec<Alarm> = serde_json::from_value(json!(["DISK_LOW", "ON_FIRE"])).unwrap();

        assert_eq!((status.line, status.alarms), (None, vec![]));
        assert_eq!(alarms, [Alarm::DiskLow, Alarm::Unknown]);
    }
}
