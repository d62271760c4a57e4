//! Changes that wait, or waited, for a second pair of eyes.

use chrono::{DateTime, Utc};
use device_model::change_id::ChangeId;
use sqlx::PgConnection;

#[tracing::instrument(name = "db.approvals.want", skip_all, fields(change.id = %id))]
pub async fn want(db: &mut PgConnection, id: &ChangeId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("insert into change_approvals (change_id, wanted_at) values ($1, $2)", id.as_str(), now)
        .execute(db)
        .await?;
    Ok(())
}

#[tracing::instrument(name = "db.approvals.is_waiting", skip_all, fields(change.id = %id))]
pub async fn is_waiting(db: &mut PgConnection, id: &ChangeId) -> sqlx::Result<bool> {
    let row = sqlx::query!(
        "select from change_approvals where change_id = $1 and approved_at is null",
        id.as_str()
    );
    Ok(row.fetch_optional(db).await?.is_some())
}

/// The caller holds the thing's lock and knows that the change waits.
#[tracing::instrument(name = "db.approvals.give", skip_all, fields(change.id = %id))]
pub async fn give(
    db: &mut PgConnection,
    id: &ChangeId,
    approved_by: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with given as (update change_approvals set approved_at = $3 where change_id = $1)
         update lan_changes set approved_by = $2 where change_id = $1 and closed_at is null",
        id.as_str(),
        approved_by,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
