//! A box as engineers and operators see it.

use chrono::{DateTime, Utc};
use device_model::{change_id::ChangeId, shadow::Reported, status::Status, thing_name::ThingName};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone)]
pub struct Device {
    pub thing: ThingName,
    pub created_at: DateTime<Utc>,
    /// Where it stands now, and since when.
    pub pharmacy: Option<Pharmacy>,
    pub stands_since: Option<DateTime<Utc>>,
    pub tags: Vec<String>,
    /// What it last said, share passwords taken out; none: it has not said anything yet.
    pub reported: Option<Reported>,
    pub reported_at: Option<DateTime<Utc>>,
    /// Since when it has run something else than it was asked to; none: it does not.
    pub drift_since: Option<DateTime<Utc>>,
    /// When a wish that is not ours was last found in its shadow.
    pub foreign_desired_at: Option<DateTime<Utc>>,
    /// When two clients with its certificate were last seen to throw each other out.
    pub duplicate_client_at: Option<DateTime<Utc>>,
    /// None: it has never been connected, as far as anybody knows.
    pub connection: Option<Connection>,
    /// When anything was last heard of it.
    pub seen_at: Option<DateTime<Utc>>,
    /// How it says it is, and when that was heard.
    pub status: Option<Status>,
    pub status_at: Option<DateTime<Utc>>,
    /// The newest change that is not closed.
    pub open_change: Option<ChangeId>,
    pub state: DeviceState,
}

/// What is known of a box's connection to AWS IoT Core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Connected, or gone so shortly that it may only have changed its line.
    pub online: bool,
    /// When it last began or ended.
    pub since: DateTime<Utc>,
    /// When and why one last ended.
    pub disconnected_at: Option<DateTime<Utc>>,
    pub disconnect_reason: Option<String>,
}

/// How far a box has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// It has no certificate yet.
    Registered,
    /// It has a certificate that is good.
    Enrolled,
    /// Its certificates are revoked.
    Revoked,
}

impl DeviceState {
    /// By its best certificate.
    pub fn of(certificate: Option<&str>) -> Self {
        match certificate {
            None => Self::Registered,
            Some("active") => Self::Enrolled,
            Some(_) => Self::Revoked,
        }
    }

    /// What its best certificate is: `none`, `active` or `revoked`.
    pub fn certificate(self) -> &'static str {
        match self {
            Self::Registered => "none",
            Self::Enrolled => "active",
            Self::Revoked => "revoked",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pharmacy {
    pub code: String,
    pub name: String,
    pub kana: Option<String>,
    pub customer_number: Option<String>,
    pub phone: Option<String>,
    pub opening_hours: Option<String>,
    pub receipt_computer_vendor: Option<String>,
}

/// That a box stood in a pharmacy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub thing: String,
    pub pharmacy: String,
    pub from: DateTime<Utc>,
    /// None: it stands there now.
    pub to: Option<DateTime<Utc>>,
}
