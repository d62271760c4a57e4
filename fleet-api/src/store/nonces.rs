//! Nonces of logins; only their hashes.

use chrono::{DateTime, Utc};
use device_model::thing_name::ThingName;
use sqlx::PgConnection;

#[tracing::instrument(name = "db.nonces.add", skip_all)]
pub async fn add(
    db: &mut PgConnection,
    nonce_hash: &[u8],
    thing: &ThingName,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into nonces (nonce_hash, thing, expires_at) values ($1, $2, $3)",
        nonce_hash,
        thing.as_str(),
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Uses the nonce up, in one statement, so that of two replicas one gets it.
#[tracing::instrument(name = "db.nonces.consume", skip_all)]
pub async fn consume(
    db: &mut PgConnection,
    nonce_hash: &[u8],
    thing: &ThingName,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let used = sqlx::query!(
        "update nonces set used_at = $3
         where nonce_hash = $1 and thing = $2 and used_at is null and expires_at > $3",
        nonce_hash,
        thing.as_str(),
        now,
    )
    .execute(db)
    .await?;
    Ok(used.rows_affected() == 1)
}

/// Forgets what has expired.
#[tracing::instrument(name = "db.nonces.sweep", skip_all)]
pub async fn sweep(db: &mut PgConnection, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let gone = sqlx::query!(
        "delete from nonces where nonce_hash in
             (select nonce_hash from nonces where expires_at < $1 limit 10000)",
        before
    );
    Ok(gone.execute(db).await?.rows_affected())
}
