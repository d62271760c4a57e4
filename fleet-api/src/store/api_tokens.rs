//! Tokens of engineers and programs; only their hashes.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

#[derive(Debug)]
pub struct Token {
    pub name: String,
    pub scope: String,
}

#[tracing::instrument(name = "db.api_tokens.add", skip_all)]
pub async fn add(
    db: &mut PgConnection,
    name: &str,
    token_hash: &[u8],
    scope: &str,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into api_tokens (name, token_hash, scope, created_at, expires_at) values ($1, $2, $3, $4, $5)",
        name,
        token_hash,
        scope,
        now,
        expires_at,
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
        "select name, scope from api_tokens where token_hash = $1 and revoked_at is null and expires_at > $2",
        token_hash,
        now,
    )
    .fetch_optional(db)
    .await
}
