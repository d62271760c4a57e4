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

/// What a code was used for.
#[derive(Debug)]
pub struct Used {
    pub keys_hash: Vec<u8>,
    pub certificate_id: String,
    pub certificate_pem: String,
}

/// Holds the code until the transaction ends. None: it is none, has expired or is another thing's;
/// `Some(None)`: nobody has used it yet.
#[tracing::instrument(name = "db.enrolment_codes.hold", skip_all, fields(thing.name = %thing))]
pub async fn hold(
    db: &mut PgConnection,
    code_hash: &[u8],
    thing: &ThingName,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Option<Used>>> {
    let row = sqlx::query!(
        "select keys_hash, certificate_id, certificate_pem from enrolment_codes
         where code_hash = $1 and thing = $2 and expires_at > $3 for update",
        code_hash,
        thing.as_str(),
        now,
    );
    Ok(row.fetch_optional(db).await?.map(|row| {
        let (keys_hash, certificate_id) = (row.keys_hash?, row.certificate_id?);
        Some(Used { keys_hash, certificate_id, certificate_pem: row.certificate_pem? })
    }))
}

#[tracing::instrument(name = "db.enrolment_codes.use_up", skip_all)]
pub async fn use_up(
    db: &mut PgConnection,
    code_hash: &[u8],
    used: &Used,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update enrolment_codes set used_at = $2, keys_hash = $3, certificate_id = $4, certificate_pem = $5
         where code_hash = $1 and used_at is null",
        code_hash,
        now,
        used.keys_hash,
        used.certificate_id,
        used.certificate_pem,
    )
    .execute(db)
    .await?;
    Ok(())
}
