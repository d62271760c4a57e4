//! `/v1/uploads`: prescriptions come in here, and what came in is listed; never content or path.

use axum::{
    Json as Answer,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use device_model::{
    login::THING_HEADER,
    thing_name::ThingName,
    upload::{
        ContentHash, DIGEST_HEADER, MAX_PATH_BYTES, OBSERVED_AT_HEADER, PATH_HEADER, SEQUENCE_HEADER,
        UploadId,
    },
};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::{Page, Path, Query, limit, position};
use crate::{
    auth::{Device, Reader},
    error::ApiError,
    fleet::{
        Fleet,
        uploads::{Announced, MAX_BYTES},
    },
    store,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadView {
    upload_id: String,
    thing: String,
    pharmacy: Option<String>,
    sha256: String,
    size: i64,
    observed_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
    object_key: String,
    /// True if this is what the path holds now.
    current: bool,
}

#[derive(Deserialize)]
pub struct Listing {
    thing: Option<String>,
    pharmacy: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
}

pub async fn receive(
    Device(thing): Device,
    State(fleet): State<Fleet>,
    Path(upload_id): Path<UploadId>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, ApiError> {
    let upload = announced(upload_id, thing, &headers)?;
    let content = body.into_data_stream().map_err(std::io::Error::other);
    let (receipt, first) = fleet.receive(&upload, content).await?;
    let status = if first { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Answer(receipt)))
}

pub async fn list(
    _: Reader,
    State(fleet): State<Fleet>,
    Query(listing): Query<Listing>,
) -> Result<Answer<Page<UploadView>>, ApiError> {
    let filter = store::uploads::Filter {
        thing: listing.thing,
        pharmacy: listing.pharmacy,
        before: position(listing.cursor.as_deref())?,
        limit: limit(listing.limit)?,
    };
    let rows = fleet.uploads(&filter).await?;
    let key = |row: &store::uploads::Row| (row.received_at, row.upload_id.clone());
    Ok(Answer(Page::of(rows, filter.limit, key, UploadView::from)))
}

pub async fn one(
    _: Reader,
    State(fleet): State<Fleet>,
    Path(id): Path<UploadId>,
) -> Result<Answer<UploadView>, ApiError> {
    Ok(Answer(fleet.upload(id).await?.into()))
}

/// What the headers announce. No refusal quotes a header: they name patients.
fn announced(upload_id: UploadId, thing: ThingName, headers: &HeaderMap) -> Result<Announced, ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bad = |name: &str, what: &str| ApiError::malformed(format!("{name} must be {what}"));
    if text(THING_HEADER).is_some_and(|other| other != thing.as_str()) {
        return Err(ApiError::Forbidden);
    }
    let size = text(header::CONTENT_LENGTH.as_str()).ok_or(ApiError::LengthRequired)?;
    let size: u64 = size.parse().map_err(|_| bad("content-length", "a number"))?;
    if size > MAX_BYTES {
        return Err(ApiError::TooLarge(MAX_BYTES));
    }
    let sha256 = text(DIGEST_HEADER).and_then(ContentHash::from_digest_header);
    let path = text(PATH_HEADER).and_then(|path| URL_SAFE_NO_PAD.decode(path).ok());
    let path = path.filter(|path| (1..=MAX_PATH_BYTES).contains(&path.len()));
    let observed_at = text(OBSERVED_AT_HEADER).and_then(|at| at.parse().ok());
    let sequence = text(SEQUENCE_HEADER).and_then(|number| number.parse().ok());
    let sequence = sequence.filter(|&number: &u64| i64::try_from(number).is_ok());
    Ok(Announced {
        upload_id,
        thing,
        path: path.ok_or_else(|| bad(PATH_HEADER, "a path in base64url"))?,
        sha256: sha256.ok_or_else(|| bad(DIGEST_HEADER, "a sha-256"))?,
        size,
        observed_at: observed_at.ok_or_else(|| bad(OBSERVED_AT_HEADER, "a time as in RFC 3339"))?,
        sequence: sequence.ok_or_else(|| bad(SEQUENCE_HEADER, "a count"))?,
    })
}

impl From<store::uploads::Row> for UploadView {
    fn from(row: store::uploads::Row) -> Self {
        Self {
            upload_id: row.upload_id,
            thing: row.thing,
            pharmacy: row.pharmacy,
            sha256: row.sha256,
            size: row.size,
            observed_at: row.observed_at,
            received_at: row.received_at,
            object_key: row.object_key,
            current: row.current,
        }
    }
}
