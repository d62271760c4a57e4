//! `/v1/stats`: counts over the whole fleet.

use std::collections::BTreeMap;

use axum::{Json as Answer, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    auth::Reader,
    error::ApiError,
    fleet::{Fleet, stats::Stats},
    store::stats::Count,
};

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatsView {
    devices: DeviceStats,
    /// By the alarm that boxes raise.
    alarms: BTreeMap<String, i64>,
    /// By the agent's version.
    agent_versions: BTreeMap<String, i64>,
    /// By state: those that are open, and those that were closed within a day.
    changes: BTreeMap<String, i64>,
    uploads: UploadStats,
}

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStats {
    total: i64,
    registered: i64,
    enrolled: i64,
    revoked: i64,
    online: i64,
    offline: i64,
    never_connected: i64,
    drifting: i64,
    with_alarm: i64,
    /// Boxes of whose certificate there seem to be two, within a day.
    duplicate_clients: i64,
    with_backlog: i64,
    /// Prescriptions that boxes hold and the cloud has not.
    backlog: i64,
    backlog_oldest_at: Option<DateTime<Utc>>,
    quarantined: i64,
    oldest_certificate_days: Option<i64>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UploadStats {
    in_last_hour: i64,
    in_last_day: i64,
    bytes_in_last_day: i64,
    last_received_at: Option<DateTime<Utc>>,
}

#[utoipa::path(
    get, path = "/v1/stats", tag = "stats", operation_id = "stats_show",
    responses(
        (status = 200, description = "Counts over the whole fleet", body = StatsView),
    ),
    security(("token" = []))
)]
pub async fn show(_: Reader, State(fleet): State<Fleet>) -> Result<Answer<StatsView>, ApiError> {
    Ok(Answer(fleet.stats().await?.into()))
}

impl From<Stats> for StatsView {
    fn from(stats: Stats) -> Self {
        let boxes = stats.boxes;
        Self {
            devices: DeviceStats {
                total: boxes.all,
                registered: boxes.registered,
                enrolled: boxes.enrolled,
                revoked: boxes.revoked,
                online: boxes.online,
                offline: boxes.all - boxes.online - boxes.never_connected,
                never_connected: boxes.never_connected,
                drifting: boxes.drifting,
                with_alarm: boxes.with_alarm,
                duplicate_clients: boxes.duplicate_clients,
                with_backlog: boxes.with_backlog,
                backlog: boxes.waiting,
                backlog_oldest_at: boxes.oldest_waiting_at,
                quarantined: boxes.quarantined,
                oldest_certificate_days: boxes.oldest_certificate_days,
            },
            alarms: by_name(stats.alarms),
            agent_versions: by_name(stats.versions),
            changes: by_name(stats.changes),
            uploads: UploadStats {
                in_last_hour: stats.uploads.in_last_hour,
                in_last_day: stats.uploads.in_last_day,
                bytes_in_last_day: stats.uploads.bytes_in_last_day,
                last_received_at: stats.uploads.last_at,
            },
        }
    }
}

fn by_name(counts: Vec<Count>) -> BTreeMap<String, i64> {
    counts.into_iter().map(|count| (count.name, count.count)).collect()
}
