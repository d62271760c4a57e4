//! `/v1/audit`: who did what, oldest first.

use axum::{Json as Answer, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Page, Query, limit, position};
use crate::{auth::Reader, error::ApiError, fleet::Fleet, store::audit_entries};

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntryView {
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
    let after: i64 = position(listing.cursor.as_deref())?.unwrap_or(0);
    let (thing, change) = (listing.thing.as_deref(), listing.change_id.as_deref());
    let rows = fleet.audit(thing, change, after, size.with_next()).await?;
    Ok(Answer(Page::of(rows, size, |row| row.entry_id, EntryView::from)))
}

impl From<audit_entries::Row> for EntryView {
    fn from(row: audit_entries::Row) -> Self {
        Self {
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
