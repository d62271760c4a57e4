//! API tokens: made beside the database, shown once, kept as their hash.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgPool;

use crate::{
    error::ApiError,
    fleet::{
        Fleet,
        actor::{Actor, Proof},
        audit::Entry,
        secret,
    },
    store::{self, api_tokens, audit_entries},
};

/// How exactly it is known when a token was last used.
const USED: TimeDelta = TimeDelta::minutes(1);
/// What tells our tokens from others, to people and to programs that look for leaked ones.
const PREFIX: &str = "rh_";

/// What a token may do; each may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Read,
    Change,
    Admin,
}

/// A scope, and whether it comes with the one for the original paths of prescriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes {
    pub scope: Scope,
    pub paths: bool,
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

impl Scopes {
    /// `read`, `change` or `admin`, and `paths` beside it or not.
    pub fn parse(text: &str) -> Option<Self> {
        let (paths, rest): (Vec<_>, Vec<_>) = text.split(',').map(str::trim).partition(|one| *one == "paths");
        let [scope] = rest[..] else {
            return None;
        };
        Some(Self { scope: Scope::parse(scope)?, paths: !paths.is_empty() })
    }

    /// What a row says.
    pub fn of(scope: &str, paths: bool) -> Option<Self> {
        Some(Self { scope: Scope::parse(scope)?, paths })
    }
}

impl From<Scope> for Scopes {
    fn from(scope: Scope) -> Self {
        Self { scope, paths: false }
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.scope.as_str(), if self.paths { ",paths" } else { "" })
    }
}

/// What a token that is good says of its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// As the audit log names it.
    pub actor: String,
    pub proof: Proof,
    /// None: somebody who may do nothing here.
    pub scopes: Option<Scopes>,
}

/// Makes a token and answers it, this once. Needs nothing but the database.
pub async fn create(
    db: &PgPool,
    name: &str,
    scopes: impl Into<Scopes>,
    lifetime: TimeDelta,
    by: &Actor,
    now: DateTime<Utc>,
) -> Result<String, ApiError> {
    let (token, expires_at, scopes) = (secret::fresh(PREFIX), now + lifetime, scopes.into());
    let mut tx = db.begin().await?;
    let new = api_tokens::NewToken {
        name,
        hash: &secret::hash(&token),
        scope: scopes.scope.as_str(),
        paths: scopes.paths,
        now,
        expires_at,
    };
    api_tokens::add(&mut tx, &new).await.map_err(|error| match store::constraint(&error) {
        Some("api_tokens_name_unique") => ApiError::TokenExists,
        _ => error.into(),
    })?;
    let mut entry = Entry::new(now, by, "token.created");
    entry.after = Some(json!({"name": name, "scope": scopes.to_string(), "expiresAt": expires_at}));
    audit_entries::add(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(token)
}

/// All there ever were, by name.
pub async fn list(db: &PgPool) -> Result<Vec<api_tokens::Row>, ApiError> {
    Ok(api_tokens::list(&mut *db.acquire().await?).await?)
}

/// Makes a token worthless, on every replica from its next request on.
pub async fn revoke(db: &PgPool, name: &str, by: &Actor, now: DateTime<Utc>) -> Result<(), ApiError> {
    let mut tx = db.begin().await?;
    match api_tokens::revoke(&mut tx, name, now).await? {
        // Once is enough, and is in the log already.
        Some(false) => return Ok(()),
        Some(true) => {}
        None => return Err(ApiError::UnknownToken),
    }
    let mut entry = Entry::new(now, by, "token.revoked");
    entry.before = Some(json!({"name": name}));
    audit_entries::add(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(())
}

impl Fleet {
    /// Whose token this is, ours or the identity provider's; None: nobody's, or it has expired or was
    /// revoked.
    pub async fn token_holder(&self, token: &str) -> Result<Option<Holder>, ApiError> {
        if let Some(oidc) = &self.parts.oidc
            && !token.starts_with(PREFIX)
        {
            return oidc.holder(token, self.clock().now()).await;
        }
        let (hash, now) = (secret::hash(token), self.clock().now());
        let mut db = self.db().acquire().await?;
        let Some(found) = api_tokens::find(&mut db, &hash, now).await? else {
            return Ok(None);
        };
        if found.last_used_at.is_none_or(|at| at <= now - USED) {
            api_tokens::used(&mut db, &hash, now, now - USED).await?;
        }
        Ok(Some(Holder {
            actor: format!("token:{}", found.name),
            proof: Proof::ApiToken,
            scopes: Scopes::of(&found.scope, found.paths),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_is_a_scope_beside_one_of_the_others() {
        let read = |text| Scopes::parse(text).map(|scopes| scopes.to_string());

        assert_eq!(read("read").as_deref(), Some("read"));
        assert_eq!(read("paths, change").as_deref(), Some("change,paths"));
        assert!(!Scopes::parse("admin").unwrap().paths);
        for none in ["", "paths", "read,change", "root", "admin,"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
