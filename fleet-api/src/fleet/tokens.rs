//! API tokens: made beside the database, shown once.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgPool;

use crate::{
    error::ApiError,
    fleet::{Fleet, actor::Actor, audit::Entry, secret},
    store::{self, api_tokens, audit_entries},
};

/// What a token may do; each may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Read,
    Change,
    Admin,
}

impl Scope {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Change => "change",
            Self::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Read, Self::Change, Self::Admin].into_iter().find(|scope| scope.as_str() == text)
    }
}

/// What a token that is good says of its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub name: String,
    pub scope: Scope,
}

/// Makes a token and answers it, this once. Needs nothing but the database.
pub async fn create(
    db: &PgPool,
    name: &str,
    scope: Scope,
    lifetime: TimeDelta,
    by: &Actor,
    now: DateTime<Utc>,
) -> Result<String, ApiError> {
    let (token, expires_at) = (secret::fresh("rh_"), now + lifetime);
    let mut tx = db.begin().await?;
    let hash = secret::hash(&token);
    let added = api_tokens::add(&mut tx, name, &hash, scope.as_str(), now, expires_at).await;
    added.map_err(|error| match store::constraint(&error) {
        Some("api_tokens_name_unique") => ApiError::TokenExists,
        _ => error.into(),
    })?;
    let mut entry = Entry::new(now, by, "token.created");
    entry.after = Some(json!({"name": name, "scope": scope.as_str(), "expiresAt": expires_at}));
    audit_entries::add(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(token)
}

impl Fleet {
    /// Whose token this is; None: nobody's, or it has expired.
    pub async fn token_holder(&self, token: &str) -> Result<Option<Holder>, ApiError> {
        let mut db = self.db().acquire().await?;
        let found = api_tokens::find(&mut db, &secret::hash(token), self.clock().now()).await?;
        Ok(found.and_then(|token| {
            let scope = Scope::parse(&token.scope)?;
            Some(Holder { name: token.name, scope })
        }))
    }
}
