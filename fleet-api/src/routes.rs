//! What travels over HTTP: one resource a file, each handler beside its answer's shape.

pub mod audit;
pub mod changes;
pub mod device;
pub mod devices;
pub mod events;
pub mod feed;
pub mod health;
pub mod lan;
pub mod pharmacies;
pub mod places;
pub mod stats;
pub mod uploads;

use axum::{
    extract::{FromRequest, FromRequestParts},
    http::request::Parts,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Datelike, Utc};
use device_model::{
    draft::is_prose,
    fault::{FaultCode, Faults},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{error::ApiError, limits::MAX_REASON};

const LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;

/// axum's own, but refusing as problem+json, and with no control character in any text.
pub struct Path<T>(pub T);

/// As [`Path`].
pub struct Query<T>(pub T);

/// axum's own, but refusing as problem+json.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(ApiError))]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        printable(parts.uri.path())?;
        let axum::extract::Path(path) = axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(path))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        printable(parts.uri.query().unwrap_or_default())?;
        let axum::extract::Query(query) = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(query))
    }
}

/// What is written with percent signs may be anything; unescaped, no URI holds a control character.
fn printable(escaped: &str) -> Result<(), ApiError> {
    let control = |part: &str| matches!(part.as_bytes(), [b'0' | b'1', _, ..] | [b'7', b'f' | b'F', ..]);
    if escaped.split('%').skip(1).any(control) {
        return Err(ApiError::malformed("the address holds a control character"));
    }
    Ok(())
}

/// A page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins; null: this was the last.
    pub next: Option<String>,
}

/// How many items a page has at most.
#[derive(Debug, Clone, Copy)]
pub struct Size(i64);

impl<T> Page<T> {
    /// The first rows of those that were asked for by [`Size::with_next`]: if there is one more than
    /// the page has, there is a next page, and `key` says where that begins.
    pub fn of<R, K: Serialize>(
        mut rows: Vec<R>,
        size: Size,
        key: impl Fn(&R) -> K,
        item: impl Fn(R) -> T,
    ) -> Self {
        let size = usize::try_from(size.0).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        let next = rows.last().filter(|_| more).map(|row| cursor(&key(row)));
        Self { items: rows.into_iter().map(item).collect(), next }
    }
}

impl Size {
    /// How many rows to ask for: one more tells whether there is a next page.
    pub fn with_next(self) -> i64 {
        self.0 + 1
    }
}

/// How many a page may have.
pub fn limit(wanted: Option<i64>) -> Result<Size, ApiError> {
    match wanted.unwrap_or(LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(Size(limit)),
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
    let key: Option<Value> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let key = key.filter(is_cursor).and_then(|key| serde_json::from_value(key).ok());
    key.map(Some).ok_or_else(|| ApiError::malformed("cursor is none of ours"))
}

/// Anybody can write a cursor; what ours are made of is safe to look for.
fn is_cursor(key: &Value) -> bool {
    match key {
        Value::String(text) => !text.chars().any(char::is_control),
        Value::Array(parts) => parts.iter().all(is_cursor),
        Value::Number(_) => true,
        _ => false,
    }
}

/// True if a prescription can have been seen or received then; Postgres knows times that other
/// calendars do not, and the other way round.
pub fn is_likely(at: DateTime<Utc>) -> bool {
    (2000..=2100).contains(&at.year())
}

/// Judges why somebody says that he does something.
pub fn reason(given: Option<&str>) -> Result<Option<&str>, ApiError> {
    let mut faults = Faults::default();
    if given.is_some_and(|text| text.chars().count() > MAX_REASON) {
        faults.add("reason", FaultCode::TooLong { max: MAX_REASON });
    } else if given.is_some_and(|text| !is_prose(text)) {
        faults.add("reason", FaultCode::BadCharacter);
    }
    Ok(faults.unless_any(given)?)
}

/// Judges a pharmacy's code that somebody refers to.
pub fn code(given: Option<&str>) -> Result<(), ApiError> {
    let mut faults = Faults::default();
    if given.is_some_and(|code| code.chars().any(char::is_control)) {
        faults.add("pharmacy", FaultCode::BadCharacter);
    }
    Ok(faults.unless_any(())?)
}

/// A body that may be left out.
pub fn optional<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body)
        .map_err(|_| ApiError::malformed("the body is not the JSON that is expected here"))
}
