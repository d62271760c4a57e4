//! One-time codes by which a new box gets its certificate; only their hashes.

use chrono::{DateTime, Utc};
use device_model::thing_name::ThingName;
use sqlx::PgConnection;

/// A new code makes the thing's older ones worthless.
#[tracing::instrument(name = "db.enrolment_codes.add", skip_all, fields(thing.name = %thing))]
pub async fn add(
    db: &mut PgConnection,
    code_hash: &[u8],
    thing: &ThingName,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update enrolment_codes set expires_at = $2 where thing = $1 and used_at is null and expires_at > $2",
        thing.as_str(),
        now,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into enrolment_codes (code_hash, thing, created_at, expires_at) values ($1, $2, $3, $4)",
        code_hash,
        thing.as_str(),
        now,
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Uses the code up; false: it is none, is used, has expired or is another thing's. Until the
/// transaction ends nobody else can use it.
#[tracing::instrument(name = "db.enrolment_codes.consume", skip_all, fields(thing.name = %thing))]
pub async fn consume(
    db: &mut PgConnection,
    code_hash: &[u8],
    thing: &ThingName,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let used = sqlx::query!(
        "update enrolment_codes set used_at = $3
         where code_hash = $1 and thing = $2 and used_at is null and expires_at > $3",
        code_hash,
        thing.as_str(),
        now,
    )
    .execute(db)
    .await?;
    Ok(used.rows_affected() == 1)
}
