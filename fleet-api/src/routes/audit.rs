//! `/v1/audit`: who did what, in the log's order; the log as a file; and whether it is what was written.

use axum::{
    Json as Answer,
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Page, Query, limit, position};
use crate::{
    auth::Reader,
    error::ApiError,
    fleet::{
        Fleet,
        audit::{
            export::{self, Filter, Format},
            verify::Report,
        },
    },
    store::audit_entries::{self, After},
};

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntryView {
    /// Its place in the log, and the hash over it and all before it; null in its first second.
    seq: Option<i64>,
    hash: Option<String>,
    entry_id: i64,
    at: DateTime<Utc>,
    actor: String,
    actor_proof: String,
    origin: String,
    ip: Option<String>,
    action: String,
    thing: Option<String>,
    pharmacy: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
    reason: Option<String>,
    ticket: Option<String>,
    change_id: Option<String>,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    thing: Option<String>,
    #[serde(alias = "change")]
    change_id: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
}

#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", operation_id = "audit_list",
    params(Listing),
    responses(
        (status = 200, description = "Entries, oldest first", body = Page<EntryView>),
    ),
    security(("token" = []))
)]
pub async fn list(
    _: Reader,
    State(fleet): State<Fleet>,
    Query(listing): Query<Listing>,
) -> Result<Answer<Page<EntryView>>, ApiError> {
    let size = limit(listing.limit)?;
    let (seq, waiting): (i64, i64) = position(listing.cursor.as_deref())?.unwrap_or_default();
    let (thing, change) = (listing.thing.as_deref(), listing.change_id.as_deref());
    let rows = fleet.audit(thing, change, After { seq, waiting }, size.with_next()).await?;
    // What waits for its place stands behind all that has one, and may come once more when it has.
    let placed = rows.iter().filter_map(|row| row.seq).next_back().unwrap_or(seq);
    let key = |row: &audit_entries::Row| row.seq.map_or((placed, row.entry_id), |seq| (seq, 0));
    Ok(Answer(Page::of(rows, size, key, EntryView::from)))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct Exporting {
    /// JSON Lines if it is left out.
    format: Option<Format>,
    thing: Option<String>,
    #[serde(alias = "change")]
    change_id: Option<String>,
    /// Only rows after this one.
    after: Option<i64>,
}

#[utoipa::path(
    get, path = "/v1/audit/export", tag = "audit", operation_id = "audit_export",
    params(Exporting),
    responses(
        (status = 200, description = "The whole log as a file; taking it is an entry itself",
            content((String = "application/jsonl"), (String = "text/csv"))),
    ),
    security(("token" = []))
)]
pub async fn take(
    Reader(by): Reader,
    State(fleet): State<Fleet>,
    Query(asked): Query<Exporting>,
) -> Result<Response, ApiError> {
    let format = asked.format.unwrap_or(Format::Jsonl);
    let after = asked.after.unwrap_or(0);
    let filter = Filter { thing: asked.thing, change_id: asked.change_id, after };
    let pieces = export::take(fleet.db(), &by, fleet.clock().now(), format, filter).await?;
    let kind = HeaderValue::from_static(format.media_type());
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(pieces)).into_response())
}

#[utoipa::path(
    get, path = "/v1/audit/verify", tag = "audit", operation_id = "audit_verify",
    responses(
        (status = 200, description = "Whether the log is what was written", body = Report),
    ),
    security(("token" = []))
)]
pub async fn verify(_: Reader, State(fleet): State<Fleet>) -> Result<Answer<Report>, ApiError> {
    Ok(Answer(fleet.verify_audit().await?))
}

impl From<audit_entries::Row> for EntryView {
    fn from(row: audit_entries::Row) -> Self {
        Self {
            seq: row.seq,
            hash: row.hash.map(hex::encode),
            entry_id: row.entry_id,
            at: row.at,
            actor: row.actor,
            actor_proof: row.actor_proof,
            origin: row.origin,
            ip: row.ip,
            action: row.action,
            thing: row.thing,
            pharmacy: row.pharmacy,
            before: row.before,
            after: row.after,
            reason: row.reason,
            ticket: row.ticket,
            change_id: row.change_id,
        }
    }
}
