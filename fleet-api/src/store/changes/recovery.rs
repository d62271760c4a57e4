//! Changes that are written down from a box's shadow, since the database does not know them.

use chrono::{DateTime, Utc};
use device_model::{change_id::ChangeId, thing_name::ThingName};
use sqlx::{PgConnection, types::Json};

use crate::fleet::change::Settings;

pub struct Recovered<'a> {
    pub id: &'a ChangeId,
    pub thing: &'a ThingName,
    /// None: nobody can tell.
    pub after: Option<&'a Settings>,
    pub reason: &'a str,
    pub requested_at: DateTime<Utc>,
    /// It was handed over by us once.
    pub is_ours: bool,
    pub expires_at: Option<DateTime<Utc>>,
    pub now: DateTime<Utc>,
}

/// Which of these ids no change has, of whatever thing.
#[tracing::instrument(name = "db.changes.unknown", skip_all)]
pub async fn unknown(db: &mut PgConnection, ids: &[String]) -> sqlx::Result<Vec<String>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_scalar!(
        "select distinct id as \"id!\" from unnest($1::text[]) as id
         where not exists (select from lan_changes where change_id = id)",
        ids,
    )
    .fetch_all(db)
    .await
}

#[tracing::instrument(name = "db.changes.recover", skip_all, fields(thing.name = %change.thing, change.id = %change.id))]
pub async fn recover(db: &mut PgConnection, change: &Recovered<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into lan_changes (change_id, thing, pharmacy_id, state, after, requested_by, reason, recovered,
             handed_over_at, requested_at, next_attempt_at, expires_at)
         values ($1, $2, (select pharmacy_id from assignments where thing = $2 and to_at is null), 'queued', $3,
             'unknown', $4, true, case when $5 then $6::timestamptz end, $7, $6, $8)",
        change.id.as_str(),
        change.thing.as_str(),
        change.after.map(Json) as _,
        change.reason,
        change.is_ours,
        change.now,
        change.requested_at,
        change.expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Puts what no box can have yet at the end of the order of asking, in the order in which it stood.
#[tracing::instrument(name = "db.changes.ask_later", skip_all, fields(thing.name = %thing))]
pub async fn ask_later(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<()> {
    let waiting = sqlx::query_scalar!(
        "select change_id from lan_changes
         where thing = $1 and closed_at is null and handed_over_at is null and not recovered order by seq",
        thing.as_str(),
    );
    for id in waiting.fetch_all(&mut *db).await? {
        let later = sqlx::query!("update lan_changes set seq = default where change_id = $1", id);
        later.execute(&mut *db).await?;
    }
    Ok(())
}
