//! Boxes, what they last reported, and the lock under which one of them is worked on.

use std::time::Duration;

use chrono::{DateTime, Utc};
use device_model::{shadow::Reported, thing_name::ThingName};
use serde_json::Value;
use sqlx::PgConnection;

/// Adds the thing; false: it is there already.
#[tracing::instrument(name = "db.things.add", skip_all, fields(thing.name = %thing))]
pub async fn add(db: &mut PgConnection, thing: &ThingName, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let added = sqlx::query!(
        "insert into things (name, created_at) values ($1, $2) on conflict on constraint things_pkey do nothing",
        thing.as_str(),
        now,
    )
    .execute(db)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Waits until nobody else works on this thing's changes; false: there is no such thing. Uploads,
/// which only refer to the row, do not wait.
#[tracing::instrument(name = "db.things.lock", skip_all, fields(thing.name = %thing))]
pub async fn lock(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<bool> {
    let row = sqlx::query!("select from things where name = $1 for no key update", thing.as_str());
    Ok(row.fetch_optional(db).await?.is_some())
}

/// Gives the thing's shadow to one dispatcher for a while; None: another has it. Answers what the
/// lease is given back by. Whoever only changes the row, as a box that connects, is waited for.
#[tracing::instrument(name = "db.things.lease", skip_all, fields(thing.name = %thing))]
pub async fn lease(
    db: &mut PgConnection,
    thing: &ThingName,
    time: Duration,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "update things set dispatched_until = now() + $2::float8 * interval '1 second'
         where name = $1 and (dispatched_until is null or dispatched_until <= now())
         returning dispatched_until as \"until!\"",
        thing.as_str(),
        time.as_secs_f64(),
    )
    .fetch_optional(db)
    .await
}

#[tracing::instrument(name = "db.things.release", skip_all, fields(thing.name = %thing))]
pub async fn release(db: &mut PgConnection, thing: &ThingName, until: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "update things set dispatched_until = null where name = $1 and dispatched_until = $2",
        thing.as_str(),
        until,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps what the box reported; false: something newer is known.
#[tracing::instrument(name = "db.things.set_reported", skip_all, fields(thing.name = %thing))]
pub async fn set_reported(
    db: &mut PgConnection,
    thing: &ThingName,
    reported: &Value,
    version: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let kept = sqlx::query!(
        "update things set reported = $2, reported_version = $3, reported_at = $4
         where name = $1 and (reported_version is null or reported_version <= $3)",
        thing.as_str(),
        reported,
        version,
        now,
    )
    .execute(db)
    .await?;
    Ok(kept.rows_affected() == 1)
}

/// Says whether the box runs something else than it was asked to; false: that is known.
#[tracing::instrument(name = "db.things.set_drift", skip_all, fields(thing.name = %thing))]
pub async fn set_drift(
    db: &mut PgConnection,
    thing: &ThingName,
    drifts: bool,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let set = sqlx::query!(
        "update things set drift_since = case when $2 then $3::timestamptz end
         where name = $1 and (drift_since is not null) <> $2",
        thing.as_str(),
        drifts,
        now,
    )
    .execute(db)
    .await?;
    Ok(set.rows_affected() == 1)
}

/// When a wish that was not ours was last found in the thing's shadow.
#[tracing::instrument(name = "db.things.foreign_desired_at", skip_all, fields(thing.name = %thing))]
pub async fn foreign_desired_at(
    db: &mut PgConnection,
    thing: &ThingName,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    let row = sqlx::query_scalar!("select foreign_desired_at from things where name = $1", thing.as_str());
    Ok(row.fetch_optional(db).await?.flatten())
}

/// Keeps that a wish stands in the shadow that is not ours; false: this one is known.
#[tracing::instrument(name = "db.things.set_foreign_desired", skip_all, fields(thing.name = %thing))]
pub async fn set_foreign_desired(
    db: &mut PgConnection,
    thing: &ThingName,
    digest: &[u8],
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let set = sqlx::query!(
        "update things set foreign_desired = $2, foreign_desired_at = $3
         where name = $1 and foreign_desired is distinct from $2",
        thing.as_str(),
        digest,
        now,
    )
    .execute(db)
    .await?;
    Ok(set.rows_affected() == 1)
}

/// True if a wish stands in the shadow that is not ours, and ours never did.
#[tracing::instrument(name = "db.things.has_only_a_foreign_desired", skip_all, fields(thing.name = %thing))]
pub async fn has_only_a_foreign_desired(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<bool> {
    let row = sqlx::query!(
        "select from things where name = $1 and foreign_desired is not null
         and not exists (select from lan_changes where thing = name and handed_over_at is not null)",
        thing.as_str(),
    );
    Ok(row.fetch_optional(db).await?.is_some())
}

/// What stands in the shadow is ours again.
#[tracing::instrument(name = "db.things.clear_foreign_desired", skip_all, fields(thing.name = %thing))]
pub async fn clear_foreign_desired(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<()> {
    sqlx::query!(
        "update things set foreign_desired = null where name = $1 and foreign_desired is not null",
        thing.as_str(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes a share of all things, those first whose shadow was not read for longest, if that was before
/// `before`: now they count as read.
#[tracing::instrument(name = "db.things.take_stale", skip_all)]
pub async fn take_stale(
    db: &mut PgConnection,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
    share: f64,
) -> sqlx::Result<Vec<ThingName>> {
    let names = sqlx::query_scalar!(
        "update things set reconciled_at = $2
         where name in (select name from things where reconciled_at is null or reconciled_at <= $1
                        order by reconciled_at nulls first
                        limit (select ceil(count(*) * $3::float8)::bigint from things)
                        for no key update skip locked)
         returning name",
        before,
        now,
        share,
    )
    .fetch_all(db)
    .await?;
    names.into_iter().map(|name| name.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))).collect()
}

#[tracing::instrument(name = "db.things.reported", skip_all, fields(thing.name = %thing))]
pub async fn reported(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<Option<Reported>> {
    let row = sqlx::query_scalar!("select reported from things where name = $1", thing.as_str());
    Ok(row.fetch_optional(db).await?.flatten().and_then(readable))
}

/// What an agent of another version wrote may be beyond us; then it is as if it had said nothing.
pub(super) fn readable(reported: Value) -> Option<Reported> {
    serde_json::from_value(reported).ok()
}

/// Replaces the thing's tags; None: there is no such thing. Answers those that it had.
#[tracing::instrument(name = "db.things.set_tags", skip_all, fields(thing.name = %thing))]
pub async fn set_tags(
    db: &mut PgConnection,
    thing: &ThingName,
    tags: &[String],
) -> sqlx::Result<Option<Vec<String>>> {
    sqlx::query_scalar!(
        "update things set tags = $2 from (select name, tags from things where name = $1 for no key update) before
         where things.name = before.name returning before.tags",
        thing.as_str(),
        tags,
    )
    .fetch_optional(db)
    .await
}
