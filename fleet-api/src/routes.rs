//! What travels over HTTP: one resource a file, each handler beside its answer's shape.

pub mod audit;
pub mod changes;
pub mod device;
pub mod devices;
pub mod events;
pub mod health;
pub mod lan;
pub mod pharmacies;
pub mod uploads;

use axum::extract::{FromRequest, FromRequestParts};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::ApiError;

const LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;

/// axum's own, but refusing as problem+json.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub struct Path<T>(pub T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub struct Query<T>(pub T);

#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(ApiError))]
pub struct Json<T>(pub T);

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins; null: this was the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A full page has a next one; `key` says where that begins.
    pub fn of<R, K: Serialize>(
        rows: Vec<R>,
        limit: i64,
        key: impl Fn(&R) -> K,
        item: impl Fn(R) -> T,
    ) -> Self {
        let full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
        let next = rows.last().filter(|_| full).map(|row| cursor(&key(row)));
        Self { items: rows.into_iter().map(item).collect(), next }
    }
}

/// How many a page may have.
pub fn limit(wanted: Option<i64>) -> Result<i64, ApiError> {
    match wanted.unwrap_or(LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        _ => Err(ApiError::malformed(format!("limit must be 1 to {MAX_LIMIT}"))),
    }
}

fn cursor(key: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

/// What a cursor of ours stands for.
pub fn position<K: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<K>, ApiError> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let key = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    key.map(Some).ok_or_else(|| ApiError::malformed("cursor is none of ours"))
}

/// A body that may be left out.
pub fn optional<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body)
        .map_err(|_| ApiError::malformed("the body is not the JSON that is expected here"))
}
