//! A box as engineers and operators see it.

use chrono::{DateTime, Utc};
use device_model::{change_id::ChangeId, shadow::Reported, thing_name::ThingName};

#[derive(Debug, Clone)]
pub struct Device {
    pub thing: ThingName,
    pub created_at: DateTime<Utc>,
    /// Where it stands now.
    pub pharmacy: Option<Pharmacy>,
    /// What it last said, share passwords taken out; none: it has not said anything yet.
    pub reported: Option<Reported>,
    pub reported_at: Option<DateTime<Utc>>,
    /// Since when it has run something else than it was asked to; none: it does not.
    pub drift_since: Option<DateTime<Utc>>,
    /// When a wish that is not ours was last found in its shadow.
    pub foreign_desired_at: Option<DateTime<Utc>>,
    /// The newest change that is not closed.
    pub open_change: Option<ChangeId>,
    /// `none`, `active` or `revoked`.
    pub certificate: &'static str,
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
