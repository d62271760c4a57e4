//! Who is connected, who was last seen when, and how each box says it is. A disconnect counts once it has
//! lasted for [`DEBOUNCE`]: boxes on a cellular line come and go.

use chrono::{DateTime, TimeDelta, Utc};
use device_model::thing_name::ThingName;
use serde_json::Value;
use sqlx::PgConnection;

use crate::aws::things::Indexed;

/// So long a box may be away before it counts as offline.
pub const DEBOUNCE: TimeDelta = TimeDelta::seconds(30);
/// AWS counts connections from 0 again after about an hour offline.
const COUNTED_ANEW: TimeDelta = TimeDelta::minutes(45);

/// An event in the life of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub connected: bool,
    /// Connect and disconnect of one connection share it.
    pub version: i64,
    pub session: String,
    pub at: DateTime<Utc>,
    pub reason: Option<String>,
}

/// Takes an event in, unless something newer is known.
#[tracing::instrument(name = "db.presence.take", skip_all, fields(thing.name = %thing))]
pub async fn take(db: &mut PgConnection, thing: &ThingName, event: &Event) -> sqlx::Result<()> {
    // Of one connection the disconnect is the later one, whenever it comes in. A lower version is a newer
    // connection only long after the one that is known. What was read from the index has no version.
    let taken = sqlx::query!(
        "update things set connected = $2, connection_version = $3, connection_session = $4, connection_at = $5,
             disconnected_at = case when $2 then disconnected_at else $5 end,
             disconnect_reason = case when $2 then disconnect_reason else $6 end,
             seen_at = greatest(seen_at, $5)
         where name = $1 and (connected is null
             or case when connection_version is null then $5 > connection_at
                     when $3 > connection_version then true
                     when $3 < connection_version then $5 > connection_at + $7::float8 * interval '1 second'
                     when $4 = connection_session then connected and not $2
                     else $5 > connection_at end)",
        thing.as_str(),
        event.connected,
        event.version,
        event.session,
        event.at,
        event.reason,
        COUNTED_ANEW.as_seconds_f64(),
    );
    taken.execute(db).await?;
    Ok(())
}

/// Takes in what the index knows and we do not; answers how many boxes that told something new of.
#[tracing::instrument(name = "db.presence.heal", skip_all)]
pub async fn heal(db: &mut PgConnection, found: &[Indexed]) -> sqlx::Result<u64> {
    let things: Vec<_> = found.iter().map(|it| it.thing.clone()).collect();
    let connected: Vec<_> = found.iter().map(|it| it.connected).collect();
    let at: Vec<_> = found.iter().map(|it| it.at).collect();
    let reasons: Vec<_> = found.iter().map(|it| it.reason.clone().unwrap_or_default()).collect();
    // The index lags: what it says is taken only if it is later than what an event said.
    let healed = sqlx::query!(
        "update things t set connected = i.connected, connection_version = null, connection_session = null,
             connection_at = i.at,
             disconnected_at = case when i.connected then t.disconnected_at else i.at end,
             disconnect_reason = case when i.connected then t.disconnect_reason else nullif(i.reason, '') end,
             seen_at = greatest(t.seen_at, i.at)
         from unnest($1::text[], $2::boolean[], $3::timestamptz[], $4::text[]) as i (name, connected, at, reason)
         where t.name = i.name and (t.connection_at is null or t.connection_at < i.at
               or t.connection_at = i.at and not i.connected)
           and t.connected is distinct from i.connected",
        &things,
        &connected,
        &at,
        &reasons,
    );
    Ok(healed.execute(db).await?.rows_affected())
}

/// Something was heard of the box.
#[tracing::instrument(name = "db.presence.seen", skip_all, fields(thing.name = %thing))]
pub async fn seen(db: &mut PgConnection, thing: &ThingName, at: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("update things set seen_at = greatest(seen_at, $2) where name = $1", thing.as_str(), at)
        .execute(db)
        .await?;
    Ok(())
}

/// Keeps how the box says it is; false: this or something newer is known.
#[tracing::instrument(name = "db.presence.set_status", skip_all, fields(thing.name = %thing))]
pub async fn set_status(
    db: &mut PgConnection,
    thing: &ThingName,
    status: &Value,
    version: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let kept = sqlx::query!(
        "update things set status = $2, status_version = $3, status_at = $4, seen_at = greatest(seen_at, $4)
         where name = $1 and (status_version is null or status_version < $3)",
        thing.as_str(),
        status,
        version,
        now,
    )
    .execute(db)
    .await?;
    Ok(kept.rows_affected() == 1)
}

/// Takes some boxes that are connected and have not told how they are since `before`, unless that was
/// looked for since then.
#[tracing::instrument(name = "db.presence.take_silent", skip_all)]
pub async fn take_silent(
    db: &mut PgConnection,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<ThingName>> {
    let names = sqlx::query_scalar!(
        "update things set status_read_at = $2
         where name in (select name from things
                        where connected and coalesce(status_at, connection_at) <= $1
                          and (status_read_at is null or status_read_at <= $1)
                        limit $3 for no key update skip locked)
         returning name",
        before,
        now,
        limit,
    )
    .fetch_all(db)
    .await?;
    names.into_iter().map(|name| name.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))).collect()
}
