//! Tokens of engineers and programs; only their hashes.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A token that is good.
#[derive(Debug)]
pub struct Token {
    pub name: String,
    pub scope: String,
    pub paths: bool,
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A token as it is listed.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub scope: String,
    pub paths: bool,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
}

pub struct NewToken<'a> {
    pub name: &'a str,
    pub hash: &'a [u8],
    pub scope: &'a str,
    pub paths: bool,
    pub now: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

#[tracing::instrument(name = "db.api_tokens.add", skip_all)]
pub async fn add(db: &mut PgConnection, token: &NewToken<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into api_tokens (name, token_hash, scope, paths, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
        token.name,
        token.hash,
        token.scope,
        token.paths,
        token.now,
        token.expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

#[tracing::instrument(name = "db.api_tokens.find", skip_all)]
pub async fn find(
    db: &mut PgConnection,
    token_hash: &[u8],
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Token>> {
    sqlx::query_as!(
        Token,
        "select name, scope, paths, last_used_at from api_tokens
         where token_hash = $1 and revoked_at is null and expires_at > $2",
        token_hash,
        now,
    )
    .fetch_optional(db)
    .await
}

/// Notes that it was used, unless that was noted after `before`.
#[tracing::instrument(name = "db.api_tokens.used", skip_all)]
pub async fn used(
    db: &mut PgConnection,
    token_hash: &[u8],
    now: DateTime<Utc>,
    before: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update api_tokens set last_used_at = $2
         where token_hash = $1 and (last_used_at is null or last_used_at <= $3)",
        token_hash,
        now,
        before,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// All of them, by name.
#[tracing::instrument(name = "db.api_tokens.list", skip_all)]
pub async fn list(db: &mut PgConnection) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        "select name, scope, paths, created_at, expires_at, revoked_at, last_used_at from api_tokens order by name",
    )
    .fetch_all(db)
    .await
}

/// True: it was good until now; false: it was revoked before; None: there is none of this name.
#[tracing::instrument(name = "db.api_tokens.revoke", skip_all)]
pub async fn revoke(db: &mut PgConnection, name: &str, now: DateTime<Utc>) -> sqlx::Result<Option<bool>> {
    sqlx::query_scalar!(
        "with found as (select token_id, revoked_at from api_tokens where name = $1 for update),
              gone as (update api_tokens set revoked_at = $2 where token_id in
                           (select token_id from found where revoked_at is null))
         select revoked_at is null as \"first!\" from found",
        name,
        now,
    )
    .fetch_optional(db)
    .await
}
