//! The reported side of the shadow `status`: how a box is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::outcome::Clock;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    pub at: DateTime<Utc>,
}

/// What the box has and the cloud has not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backlog {
    pub count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_at: Option<DateTime<Utc>>,
    /// Entries set aside because they cannot be sent as they are.
    pub quarantined: u64,
}

/// AWS IoT's certificates are valid to 2049: their age counts, not their end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateAge {
    pub serial: String,
    pub age_days: i64,
}
