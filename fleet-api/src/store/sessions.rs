//! Sessions of boxes; only the hashes of their tokens.

use chrono::{DateTime, Utc};
use device_model::thing_name::ThingName;
use sqlx::PgConnection;

#[tracing::instrument(name = "db.sessions.add", skip_all, fields(thing.name = %thing))]
pub async fn add(
    db: &mut PgConnection,
    token_hash: &[u8],
    thing: &ThingName,
    certificate_id: &str,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<bool> {
    // A revocation that came between the check and here must win, here as in AWS.
    let added = sqlx::query!(
        "insert into sessions (token_hash, thing, certificate_id, created_at, expires_at)
         select $1, $2, certificate_id, $4, $5 from certificates
         where certificate_id = $3 and thing = $2 and status = 'active' and confirmed_at is not null for share",
        token_hash,
        thing.as_str(),
        certificate_id,
        now,
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Whose token this is: the one query that a box's every request makes.
#[tracing::instrument(name = "db.sessions.thing_of", skip_all)]
pub async fn thing_of(
    db: &mut PgConnection,
    token_hash: &[u8],
    now: DateTime<Utc>,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "select t.name from sessions s join certificates c using (certificate_id) join things t on t.name = s.thing
         where s.token_hash = $1 and s.ended_at is null and s.expires_at > $2
           and c.status = 'active' and c.thing = s.thing",
        token_hash,
        now,
    )
    .fetch_optional(db)
    .await
}

#[tracing::instrument(name = "db.sessions.end_of", skip_all)]
pub async fn end_of(db: &mut PgConnection, certificate_id: &str, now: DateTime<Utc>) -> sqlx::Result<u64> {
    let ended = sqlx::query!(
        "update sessions set ended_at = $2 where certificate_id = $1 and ended_at is null",
        certificate_id,
        now,
    );
    Ok(ended.execute(db).await?.rows_affected())
}

/// Forgets what has expired.
#[tracing::instrument(name = "db.sessions.sweep", skip_all)]
pub async fn sweep(db: &mut PgConnection, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let gone = sqlx::query!(
        "delete from sessions where token_hash in
             (select token_hash from sessions where expires_at < $1 limit 10000)",
        before
    );
    Ok(gone.execute(db).await?.rows_affected())
}
