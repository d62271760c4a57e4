//! Boxes, what they last reported, and the lock under which one of them is worked on.

use std::time::Duration;

use chrono::{DateTime, Utc};
use device_model::{shadow::Reported, thing_name::ThingName};
use serde_json::Value;
use sqlx::PgConnection;

use crate::fleet::device::{Device, Pharmacy};

/// Which boxes are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The code of the pharmacy where the box stands now.
    pub pharmacy: Option<String>,
    /// Part of the thing's name, or of its pharmacy's code, name or kana.
    pub text: Option<String>,
    /// Only names after this one.
    pub after: String,
    pub limit: i64,
}

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
/// lease is given back by.
#[tracing::instrument(name = "db.things.lease", skip_all, fields(thing.name = %thing))]
pub async fn lease(
    db: &mut PgConnection,
    thing: &ThingName,
    time: Duration,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "update things set dispatched_until = now() + $2::float8 * interval '1 second'
         where name = (select name from things
                       where name = $1 and (dispatched_until is null or dispatched_until <= now())
                       for no key update skip locked)
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

#[tracing::instrument(name = "db.things.find", skip_all, fields(thing.name = %thing))]
pub async fn find(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<Option<Device>> {
    let row = sqlx::query_as!(
        Row,
        "select t.name, t.created_at, t.reported, t.reported_at,
             t.drift_since, t.foreign_desired_at, p.code as \"code?\",
             p.name as \"pharmacy_name?\", p.kana, p.customer_number, p.phone, p.opening_hours,
             p.receipt_computer_vendor,
             (select change_id from lan_changes c where c.thing = t.name and c.closed_at is null
              order by c.seq desc limit 1) as open_change,
             (select min(status) from certificates c where c.thing = t.name) as certificate
         from things t left join assignments a on a.thing = t.name and a.to_at is null
         left join pharmacies p using (pharmacy_id) where t.name = $1",
        thing.as_str(),
    )
    .fetch_optional(db)
    .await?;
    row.map(Row::into_device).transpose()
}

/// By name.
#[tracing::instrument(name = "db.things.list", skip_all)]
pub async fn list(db: &mut PgConnection, filter: &Filter) -> sqlx::Result<Vec<Device>> {
    let rows = sqlx::query_as!(
        Row,
        "select t.name, t.created_at, t.reported, t.reported_at,
             t.drift_since, t.foreign_desired_at, p.code as \"code?\",
             p.name as \"pharmacy_name?\", p.kana, p.customer_number, p.phone, p.opening_hours,
             p.receipt_computer_vendor,
             (select change_id from lan_changes c where c.thing = t.name and c.closed_at is null
              order by c.seq desc limit 1) as open_change,
             (select min(status) from certificates c where c.thing = t.name) as certificate
         from things t left join assignments a on a.thing = t.name and a.to_at is null
         left join pharmacies p using (pharmacy_id)
         where t.name > $1 and ($2::text is null or p.code = $2)
           and ($3::text is null or strpos(lower(t.name), lower($3)) > 0 or strpos(lower(p.code), lower($3)) > 0
                or strpos(p.name, $3) > 0 or strpos(p.kana, $3) > 0 or p.customer_number = $3)
         order by t.name limit $4",
        filter.after,
        filter.pharmacy,
        filter.text,
        filter.limit,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Row::into_device).collect()
}

struct Row {
    name: String,
    created_at: DateTime<Utc>,
    reported: Option<Value>,
    reported_at: Option<DateTime<Utc>>,
    drift_since: Option<DateTime<Utc>>,
    foreign_desired_at: Option<DateTime<Utc>>,
    code: Option<String>,
    pharmacy_name: Option<String>,
    kana: Option<String>,
    customer_number: Option<String>,
    phone: Option<String>,
    opening_hours: Option<String>,
    receipt_computer_vendor: Option<String>,
    open_change: Option<String>,
    certificate: Option<String>,
}

impl Row {
    fn into_device(self) -> sqlx::Result<Device> {
        let undecodable = |error| sqlx::Error::Decode(Box::new(error));
        let open_change = self.open_change.map(|id| id.parse()).transpose();
        let reported = self.reported.and_then(readable).map(|mut reported| {
            if let Some(share) = &mut reported.share {
                share.password_sealed = None;
            }
            reported
        });
        Ok(Device {
            thing: self.name.parse().map_err(undecodable)?,
            created_at: self.created_at,
            pharmacy: self.code.zip(self.pharmacy_name).map(|(code, name)| Pharmacy {
                code,
                name,
                kana: self.kana,
                customer_number: self.customer_number,
                phone: self.phone,
                opening_hours: self.opening_hours,
                receipt_computer_vendor: self.receipt_computer_vendor,
            }),
            reported,
            reported_at: self.reported_at,
            drift_since: self.drift_since,
            foreign_desired_at: self.foreign_desired_at,
            open_change: open_change.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            // `active` sorts before `revoked`.
            certificate: match self.certificate.as_deref() {
                Some("active") => "active",
                Some(_) => "revoked",
                None => "none",
            },
        })
    }
}

/// What an agent of another version wrote may be beyond us; then it is as if it had said nothing.
fn readable(reported: Value) -> Option<Reported> {
    serde_json::from_value(reported).ok()
}
