//! Which things have a change that waits: to be carried, to be answered, or for too long.

use chrono::{DateTime, Utc};
use device_model::{change_id::ChangeId, thing_name::ThingName};
use sqlx::PgConnection;

use super::undecodable;

/// Things that have a change to be carried, and whose time has come; and those with a foreign wish in
/// their shadow for which nobody has ever asked for anything.
#[tracing::instrument(name = "db.changes.due_things", skip_all)]
pub async fn due_things(db: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<Vec<ThingName>> {
    let rows = sqlx::query_scalar!(
        "select distinct thing as \"thing!\" from lan_changes c
         where closed_at is null and next_attempt_at <= $1
           and (state = 'queued' and shadow_version is null and withdrawing is null
                or withdrawing is not null and not exists
                    (select from lan_changes other
                     where other.thing = c.thing and other.closed_at is null and other.withdrawing is null))
         union
         select name from things
         where foreign_desired is not null
           and not exists (select from lan_changes where thing = name and handed_over_at is not null)",
        now,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|name| name.parse().map_err(undecodable)).collect()
}

/// Things with a change that a box may have answered.
#[tracing::instrument(name = "db.changes.awaited_things", skip_all)]
pub async fn awaited_things(db: &mut PgConnection) -> sqlx::Result<Vec<ThingName>> {
    let rows = sqlx::query_scalar!("select distinct thing from lan_changes where closed_at is null")
        .fetch_all(db)
        .await?;
    rows.into_iter().map(|name| name.parse().map_err(undecodable)).collect()
}

/// Changes whose time has passed and that nobody is taking back yet.
#[tracing::instrument(name = "db.changes.expired", skip_all)]
pub async fn expired(db: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<Vec<ChangeId>> {
    let rows = sqlx::query_scalar!(
        "select change_id from lan_changes
         where closed_at is null and withdrawing is null and expires_at <= $1 order by expires_at limit 1000",
        now,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|id| id.parse().map_err(undecodable)).collect()
}

/// Puts the thing's waiting changes off; the longer, the more often it failed.
#[tracing::instrument(name = "db.changes.put_off", skip_all, fields(thing.name = %thing))]
pub async fn put_off(
    db: &mut PgConnection,
    thing: &ThingName,
    now: DateTime<Utc>,
    jitter: f64,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update lan_changes set attempts = attempts + 1,
             next_attempt_at = $2::timestamptz + least(2 ^ least(attempts, 10), 600) * $3::float8 * interval '1 second'
         where thing = $1 and closed_at is null",
        thing.as_str(),
        now,
        jitter,
    )
    .execute(db)
    .await?;
    Ok(())
}
