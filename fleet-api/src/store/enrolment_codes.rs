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

/// Holds the code until the transaction ends. None: it is none, has expired or is another thing's; else whether
/// it was used.
#[tracing::instrument(name = "db.enrolment_codes.hold", skip_all, fields(thing.name = %thing))]
pub async fn hold(
    db: &mut PgConnection,
    code_hash: &[u8],
    thing: &ThingName,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<bool>> {
    sqlx::query_scalar!(
        "select used_at is not null as \"used!\" from enrolment_codes
         where code_hash = $1 and thing = $2 and expires_at > $3 for update",
        code_hash,
        thing.as_str(),
        now,
    )
    .fetch_optional(db)
    .await
}

#[tracing::instrument(name = "db.enrolment_codes.use_up", skip_all)]
pub async fn use_up(
    db: &mut PgConnection,
    code_hash: &[u8],
    certificate_id: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update enrolment_codes set used_at = $2, certificate_id = $3 where code_hash = $1 and used_at is null",
        code_hash,
        now,
        certificate_id,
    )
    .execute(db)
    .await?;
    Ok(())
}
