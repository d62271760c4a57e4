//! Counts over the whole fleet, for a dashboard.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{presence::DEBOUNCE, takeovers::ALARMING};

#[derive(Debug, Clone, Default)]
pub struct Boxes {
    pub all: i64,
    pub registered: i64,
    pub enrolled: i64,
    pub revoked: i64,
    pub online: i64,
    pub never_connected: i64,
    pub drifting: i64,
    pub with_alarm: i64,
    pub duplicate_clients: i64,
    pub with_backlog: i64,
    /// Prescriptions that boxes hold and the cloud has not.
    pub waiting: i64,
    pub quarantined: i64,
    pub oldest_waiting_at: Option<DateTime<Utc>>,
    pub oldest_certificate_days: Option<i64>,
}

/// So many of one kind.
#[derive(Debug, Clone)]
pub struct Count {
    pub name: String,
    pub count: i64,
}

#[derive(Debug, Clone, Default)]
pub struct Uploads {
    pub in_last_hour: i64,
    pub in_last_day: i64,
    pub bytes_in_last_day: i64,
    pub last_at: Option<DateTime<Utc>>,
}

#[tracing::instrument(name = "db.stats.boxes", skip_all)]
pub async fn boxes(db: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<Boxes> {
    // What a box says of itself is read as text first: nobody but the box has checked it.
    sqlx::query_as!(
        Boxes,
        "with certificate as (select thing, min(status) as status from certificates group by thing),
              told as (select t.*, c.status as certificate, t.status->'backlog' as backlog
                       from things t left join certificate c on c.thing = t.name)
         select count(*) as \"all!\",
             count(*) filter (where certificate is null) as \"registered!\",
             count(*) filter (where certificate = 'active') as \"enrolled!\",
             count(*) filter (where certificate = 'revoked') as \"revoked!\",
             count(*) filter (where connected or connected is not null and disconnected_at > $1) as \"online!\",
             count(*) filter (where connected is null) as \"never_connected!\",
             count(*) filter (where drift_since is not null) as \"drifting!\",
             count(*) filter (where jsonb_array_length(status->'alarms') > 0) as \"with_alarm!\",
             count(*) filter (where duplicate_client_at > $2) as \"duplicate_clients!\",
             count(*) filter (where (backlog->>'count')::numeric > 0) as \"with_backlog!\",
             coalesce(sum((backlog->>'count')::numeric), 0)::bigint as \"waiting!\",
             coalesce(sum((backlog->>'quarantined')::numeric), 0)::bigint as \"quarantined!\",
             min((backlog->>'oldestAt')::timestamptz) as oldest_waiting_at,
             max((status->'certificate'->>'ageDays')::numeric) filter (where certificate = 'active')::bigint
                 as oldest_certificate_days
         from told",
        now - DEBOUNCE,
        now - ALARMING,
    )
    .fetch_one(db)
    .await
}

#[tracing::instrument(name = "db.stats.alarms", skip_all)]
pub async fn alarms(db: &mut PgConnection) -> sqlx::Result<Vec<Count>> {
    sqlx::query_as!(
        Count,
        "select alarm as \"name!\", count(*) as \"count!\" from things,
             jsonb_array_elements_text(status->'alarms') alarm group by alarm order by alarm limit 100",
    )
    .fetch_all(db)
    .await
}

#[tracing::instrument(name = "db.stats.versions", skip_all)]
pub async fn versions(db: &mut PgConnection) -> sqlx::Result<Vec<Count>> {
    sqlx::query_as!(
        Count,
        "select coalesce(status->>'agentVersion', reported->>'agentVersion') as \"name!\", count(*) as \"count!\"
         from things where coalesce(status->>'agentVersion', reported->>'agentVersion') is not null
         group by 1 order by 2 desc, 1 limit 100",
    )
    .fetch_all(db)
    .await
}

/// Changes that are open, and those that were closed after `since`, by their state.
#[tracing::instrument(name = "db.stats.changes", skip_all)]
pub async fn changes(db: &mut PgConnection, since: DateTime<Utc>) -> sqlx::Result<Vec<Count>> {
    sqlx::query_as!(
        Count,
        "select state as \"name!\", count(*) as \"count!\" from lan_changes
         where closed_at is null or closed_at > $1 group by state order by state",
        since,
    )
    .fetch_all(db)
    .await
}

#[tracing::instrument(name = "db.stats.uploads", skip_all)]
pub async fn uploads(
    db: &mut PgConnection,
    hour_ago: DateTime<Utc>,
    day_ago: DateTime<Utc>,
) -> sqlx::Result<Uploads> {
    sqlx::query_as!(
        Uploads,
        "select count(*) filter (where received_at > $1) as \"in_last_hour!\", count(*) as \"in_last_day!\",
             coalesce(sum(size), 0)::bigint as \"bytes_in_last_day!\",
             (select max(received_at) from uploads) as last_at
         from uploads where received_at > $2",
        hour_ago,
        day_ago,
    )
    .fetch_one(db)
    .await
}
