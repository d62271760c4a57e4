//! Connections that were thrown out by another one of the same name.

use chrono::{DateTime, TimeDelta, Utc};
use device_model::thing_name::ThingName;
use sqlx::PgConnection;

/// So long after two clients threw each other out somebody should still look.
pub const ALARMING: TimeDelta = TimeDelta::days(1);

/// Notes that `session` was thrown out. True: so was another one shortly before or after, and nobody was told of
/// that for `quiet`.
#[tracing::instrument(name = "db.takeovers.take", skip_all, fields(thing.name = %thing))]
pub async fn take(
    db: &mut PgConnection,
    thing: &ThingName,
    session: &str,
    at: DateTime<Utc>,
    (within, quiet): (TimeDelta, TimeDelta),
) -> sqlx::Result<bool> {
    let row = sqlx::query!(
        "with was as (
             select name, duplicate_client_at, takeover_session <> $2
                 and takeover_at between $3::timestamptz - $4::float8 * interval '1 second'
                                     and $3::timestamptz + $4::float8 * interval '1 second' as again
             from things where name = $1 for no key update)
         update things t set
             takeover_session = case when t.takeover_at > $3::timestamptz then t.takeover_session else $2 end,
             takeover_at = greatest(t.takeover_at, $3::timestamptz),
             duplicate_client_at = case when was.again then greatest(t.duplicate_client_at, $3::timestamptz)
                                        else t.duplicate_client_at end
         from was where t.name = was.name
         returning coalesce(was.again and (was.duplicate_client_at is null
             or was.duplicate_client_at < $3::timestamptz - $5::float8 * interval '1 second'), false) as \"is_news!\"",
        thing.as_str(),
        session,
        at,
        within.as_seconds_f64(),
        quiet.as_seconds_f64(),
    );
    Ok(row.fetch_optional(db).await?.is_some_and(|row| row.is_news))
}
