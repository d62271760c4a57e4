//! People who come with a token of the company's own identity provider: who issued it, for whom, until
//! when, and which roles it names.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    config::OidcConfig,
    error::ApiError,
    fleet::{
        actor::Proof,
        tokens::{Holder, Scope, Scopes},
    },
};

const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 256 * 1024;
/// The keys are asked for again after this, and for a key that is not among them.
const KEPT: Duration = Duration::from_hours(1);
/// But no more often than this, whatever ids tokens name.
const BETWEEN: Duration = Duration::from_secs(30);
/// Clocks may differ by so much.
const LEEWAY: i64 = 60;
const MAX_TOKEN: usize = 16 * 1024;
/// Only keys that verify and cannot sign.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];

pub struct Oidc {
    config: OidcConfig,
    http: reqwest::Client,
    keys: Mutex<Option<Keys>>,
    /// One asks, the others wait for the answer.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Keys {
    set: Arc<JwkSet>,
    asked: Instant,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: url::Url,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    nbf: Option<i64>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

impl Oidc {
    pub fn new(config: OidcConfig) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { config, http, keys: Mutex::new(None), asking: tokio::sync::Mutex::new(()) })
    }

    /// Who holds the token; None: it is not good here. A holder without a role of ours has no scope.
    pub async fn holder(&self, token: &str, now: DateTime<Utc>) -> Result<Option<Holder>, ApiError> {
        if token.len() > MAX_TOKEN {
            return Ok(None);
        }
        let Ok(header) = decode_header(token) else {
            return Ok(None);
        };
        if !ALGORITHMS.contains(&header.alg) {
            return Ok(None);
        }
        let Some(key) = self.key(header.kid.as_deref()).await? else {
            return Ok(None);
        };
        let Ok(decoding) = DecodingKey::from_jwk(&key) else {
            return Ok(None);
        };
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[self.issuer()]);
        validation.set_audience(&[&self.config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // By the clock that was handed in, below.
        validation.validate_exp = false;
        let Ok(token) = decode::<Claims>(token, &decoding, &validation) else {
            return Ok(None);
        };
        let (claims, now) = (token.claims, now.timestamp());
        let is_time = claims.exp > now - LEEWAY && claims.nbf.is_none_or(|from| from <= now + LEEWAY);
        let is_name = !claims.sub.is_empty() && claims.sub.len() <= 255;
        if !is_time || !is_name || claims.sub.chars().any(char::is_control) {
            return Ok(None);
        }
        let scopes = self.scopes(&claims.others);
        Ok(Some(Holder { actor: format!("oidc:{}", claims.sub), proof: Proof::Oidc, scopes }))
    }

    /// The widest scope of all roles that the token names.
    fn scopes(&self, claims: &serde_json::Map<String, Value>) -> Option<Scopes> {
        let mut found = claims.get(&self.config.role_claim);
        if found.is_none() {
            let mut path = self.config.role_claim.split('.');
            found = path.next().and_then(|first| claims.get(first));
            for name in path {
                found = found.and_then(|value| value.get(name));
            }
        }
        let roles: Vec<&str> = match found {
            Some(Value::String(text)) => text.split_whitespace().collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => return None,
        };
        let named = |role: &&str| -> Vec<String> {
            let mapped = self.config.roles.iter().filter(|(name, _)| name == role);
            let mapped: Vec<String> = mapped.map(|(_, scope)| scope.clone()).collect();
            if self.config.roles.is_empty() { vec![(*role).to_owned()] } else { mapped }
        };
        let scopes: Vec<String> = roles.iter().flat_map(named).collect();
        let scope = scopes.iter().filter_map(|scope| Scope::parse(scope)).max();
        let paths = scopes.iter().any(|scope| scope == "paths");
        // Whoever may see paths may see the uploads that they belong to.
        scope.or(paths.then_some(Scope::Read)).map(|scope| Scopes { scope, paths })
    }

    async fn key(&self, id: Option<&str>) -> Result<Option<Jwk>, ApiError> {
        if let Some(keys) = self.known()
            && keys.asked.elapsed() < KEPT
        {
            let found = find(&keys.set, id);
            if found.is_some() || keys.asked.elapsed() < BETWEEN {
                return Ok(found);
            }
        }
        let _one = self.asking.lock().await;
        // Somebody else may have asked while we waited.
        if let Some(keys) = self.known()
            && keys.asked.elapsed() < BETWEEN
        {
            return Ok(find(&keys.set, id));
        }
        match self.ask().await {
            Ok(set) => {
                let keys = Keys { set: Arc::new(set), asked: Instant::now() };
                let found = find(&keys.set, id);
                *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Some(keys);
                Ok(found)
            }
            // Keys that are known stay good while the issuer is away.
            Err(error) => match self.known().and_then(|keys| find(&keys.set, id)) {
                Some(key) => Ok(Some(key)),
                None => Err(ApiError::unavailable("the OIDC issuer", error)),
            },
        }
    }

    fn known(&self) -> Option<Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn ask(&self) -> anyhow::Result<JwkSet> {
        let base = self.issuer();
        let discovery: Discovery =
            self.get(&format!("{base}/.well-known/openid-configuration").parse()?).await?;
        anyhow::ensure!(discovery.issuer.trim_end_matches('/') == base, "the issuer says that it is another");
        let secure = discovery.jwks_uri.scheme() == "https" || self.config.issuer.scheme() == "http";
        anyhow::ensure!(secure, "the issuer's keys lie behind no https");
        self.get(&discovery.jwks_uri).await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &url::Url) -> anyhow::Result<T> {
        let mut answer = self.http.get(url.clone()).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            anyhow::ensure!(body.len() + chunk.len() <= MAX_ANSWER, "more than {MAX_ANSWER} bytes came");
            body.extend_from_slice(&chunk);
        }
        Ok(serde_json::from_slice(&body)?)
    }

    /// As tokens name it; a URL without a path gets a slash when it is parsed.
    fn issuer(&self) -> &str {
        self.config.issuer.as_str().trim_end_matches('/')
    }
}

/// A token without an id can only mean the one key that there is.
fn find(set: &JwkSet, id: Option<&str>) -> Option<Jwk> {
    match id {
        Some(id) => set.find(id).cloned(),
        None => set.keys.first().filter(|_| set.keys.len() == 1).cloned(),
    }
}
