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
    outcome,
    thing_name::ThingName,
    upload::{
        CLOCK_HEADER, ContentHash, DIGEST_HEADER, MAX_PATH_BYTES, OBSERVED_AT_HEADER, PATH_HEADER, Receipt,
        SEQUENCE_HEADER, UploadId, is_share_path,
    },
};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Page, Path, Query, is_likely, limit, position};
use crate::{
    auth::{Device, PathReader, Reader},
    error::ApiError,
    fleet::{
        Fleet,
        uploads::{Announced, MAX_BYTES},
    },
    store,
};

/// What counts without loss everywhere, in JSON's numbers too.
const SEQUENCES: std::ops::RangeInclusive<u64> = 1..=1 << 53;

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UploadView {
    upload_id: String,
    thing: String,
    pharmacy: Option<String>,
    sha256: String,
    size: i64,
    observed_at: DateTime<Utc>,
    /// How far that can be trusted, `synced` or `estimated`, if the box said so.
    clock: Option<String>,
    received_at: DateTime<Utc>,
    object_key: String,
    /// True if this is what the path holds now.
    current: bool,
    /// The upload of another box of the same pharmacy that brought the same content before.
    duplicate_of: Option<String>,
}

/// Where a prescription lay on its share.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OriginalPath {
    upload_id: String,
    /// As text, unless the share's names are no UTF-8.
    path: Option<String>,
    /// The bytes themselves, in base64url without padding.
    path_base64: String,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    thing: Option<String>,
    pharmacy: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
}

#[utoipa::path(
    put, path = "/v1/uploads/{id}", tag = "boxes themselves", operation_id = "uploads_receive",
    params(("id" = UploadId, Path), ("content-digest" = String, Header, description = "`sha-256=:...:`"), ("x-recehub-path" = String, Header, description = "The path below the share, in base64url without padding"), ("x-recehub-observed-at" = String, Header, format = DateTime), ("x-recehub-sequence" = u64, Header, minimum = 1), ("x-recehub-clock" = Option<String>, Header, description = "`synced` or `estimated`")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "Received before: the same receipt", body = Receipt),
        (status = 201, description = "Received", body = Receipt),
        (
            status = 400,
            description = "malformed-request, digest-mismatch, upload-id-mismatch, length-mismatch"
        ),
        (status = 411, description = "length-required"),
    ),
    security(("device" = []))
)]
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

#[utoipa::path(
    get, path = "/v1/uploads", tag = "uploads", operation_id = "uploads_list",
    params(Listing),
    responses(
        (status = 200, description = "Prescriptions, newest first; never their contents", body = Page<UploadView>),
    ),
    security(("token" = []))
)]
pub async fn list(
    Reader(by): Reader,
    State(fleet): State<Fleet>,
    Query(listing): Query<Listing>,
) -> Result<Answer<Page<UploadView>>, ApiError> {
    let size = limit(listing.limit)?;
    let before: Option<(DateTime<Utc>, String)> = position(listing.cursor.as_deref())?;
    if before.as_ref().is_some_and(|&(at, _)| !is_likely(at)) {
        return Err(ApiError::malformed("cursor is none of ours"));
    }
    let filter = store::uploads::Filter {
        thing: listing.thing,
        pharmacy: listing.pharmacy,
        before,
        limit: size.with_next(),
    };
    let rows = fleet.uploads(&filter).await?;
    let what = json!({"thing": filter.thing, "pharmacy": filter.pharmacy, "uploads": rows.len()});
    let thing = filter.thing.as_deref().and_then(|thing| thing.parse().ok());
    fleet.note_reading(&by, "uploads.listed", thing.as_ref(), what).await?;
    let key = |row: &store::uploads::Row| (row.received_at, row.upload_id.clone());
    Ok(Answer(Page::of(rows, size, key, UploadView::from)))
}

#[utoipa::path(
    get, path = "/v1/uploads/{id}", tag = "uploads", operation_id = "uploads_one",
    params(("id" = UploadId, Path)),
    responses(
        (status = 200, description = "What is known of it", body = UploadView),
        (status = 404, description = "unknown-upload"),
    ),
    security(("token" = []))
)]
pub async fn one(
    Reader(by): Reader,
    State(fleet): State<Fleet>,
    Path(id): Path<UploadId>,
) -> Result<Answer<UploadView>, ApiError> {
    let row = fleet.upload(id).await?;
    let thing = row.thing.parse().ok();
    fleet.note_reading(&by, "upload.read", thing.as_ref(), json!({"uploadId": row.upload_id})).await?;
    Ok(Answer(row.into()))
}

#[utoipa::path(
    get, path = "/v1/uploads/{id}/path", tag = "uploads", operation_id = "uploads_path",
    params(("id" = UploadId, Path)),
    responses(
        (status = 200, description = "Where it lay on its share; each reading is written down", body = OriginalPath),
        (status = 404, description = "unknown-upload"),
    ),
    security(("token" = []))
)]
pub async fn path(
    PathReader(by): PathReader,
    State(fleet): State<Fleet>,
    Path(id): Path<UploadId>,
) -> Result<Answer<OriginalPath>, ApiError> {
    let path = fleet.upload_path(id, &by).await?;
    let path_base64 = URL_SAFE_NO_PAD.encode(&path);
    Ok(Answer(OriginalPath { upload_id: id.to_string(), path: String::from_utf8(path).ok(), path_base64 }))
}

/// What the headers announce. No refusal quotes a header: they name patients.
fn announced(upload_id: UploadId, thing: ThingName, headers: &HeaderMap) -> Result<Announced, ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bad = |name: &str, what: &str| ApiError::malformed(format!("{name} must be {what}"));
    if headers.contains_key(THING_HEADER) {
        let named = text(THING_HEADER).ok_or_else(|| bad(THING_HEADER, "the name of a thing"))?;
        if named != thing.as_str() {
            return Err(ApiError::Forbidden);
        }
    }
    let size = text(header::CONTENT_LENGTH.as_str()).ok_or(ApiError::LengthRequired)?;
    let size = digits(size).ok_or_else(|| bad("content-length", "a number"))?;
    if size > MAX_BYTES {
        return Err(ApiError::TooLarge(MAX_BYTES));
    }
    let sha256 = text(DIGEST_HEADER).and_then(ContentHash::from_digest_header);
    let path = text(PATH_HEADER).and_then(|path| URL_SAFE_NO_PAD.decode(path).ok());
    let path = path.ok_or_else(|| bad(PATH_HEADER, "a path in base64url without padding"))?;
    if path.len() > MAX_PATH_BYTES {
        return Err(bad(PATH_HEADER, &format!("a path of at most {MAX_PATH_BYTES} bytes")));
    }
    let observed_at = text(OBSERVED_AT_HEADER).and_then(|at| at.parse().ok()).filter(|&at| is_likely(at));
    let clock = match headers.get(CLOCK_HEADER) {
        None => None,
        Some(_) => Some(
            text(CLOCK_HEADER)
                .and_then(outcome::Clock::parse)
                .ok_or_else(|| bad(CLOCK_HEADER, "`synced` or `estimated`"))?,
        ),
    };
    let sequence = text(SEQUENCE_HEADER).and_then(digits).filter(|count| SEQUENCES.contains(count));
    Ok(Announced {
        upload_id,
        thing,
        path: Some(path).filter(|path| is_share_path(path)).ok_or_else(|| {
            bad(PATH_HEADER, "a relative path without NUL and without empty, `.` and `..` parts")
        })?,
        sha256: sha256.ok_or_else(|| bad(DIGEST_HEADER, "a sha-256"))?,
        size,
        observed_at: observed_at
            .ok_or_else(|| bad(OBSERVED_AT_HEADER, "a time as in RFC 3339, of the years 2000 to 2100"))?,
        clock,
        sequence: sequence.ok_or_else(|| bad(SEQUENCE_HEADER, "a count from 1 to 2^53"))?,
    })
}

/// A number as we write them: no sign, no spaces.
fn digits(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
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
            clock: row.clock,
            received_at: row.received_at,
            object_key: row.object_key,
            current: row.current,
            duplicate_of: row.duplicate_of,
        }
    }
}
