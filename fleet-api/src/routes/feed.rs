//! `/v1/events`: receipts and steps of changes as server-sent events, resumable by `Last-Event-ID`.

use std::time::Duration;

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use chrono::{DateTime, Utc};
use device_model::change::ChangeState;
use futures::StreamExt;
use serde::Serialize;
use serde_json::json;

use crate::{
    auth::Reader,
    error::ApiError,
    fleet::{
        Fleet,
        feed::{Mark, Told},
    },
    store::feed::Row,
};

/// A proxy closes what is silent for a minute.
const ALIVE: Duration = Duration::from_secs(15);
/// How long a follower waits before it comes again.
const AGAIN: Duration = Duration::from_secs(2);

/// A prescription is in the bucket.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptEvent {
    upload_id: String,
    thing: String,
    pharmacy: Option<String>,
    sha256: Option<String>,
    size: Option<i64>,
    object_key: Option<String>,
    version_id: Option<String>,
    observed_at: Option<DateTime<Utc>>,
    received_at: Option<DateTime<Utc>>,
}

/// A change went one step on.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeEvent {
    change_id: String,
    thing: String,
    pharmacy: Option<String>,
    state: Option<ChangeState>,
    at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[utoipa::path(
    get, path = "/v1/events", tag = "events", operation_id = "feed_follow",
    params(("last-event-id" = Option<String>, Header, description = "The id of the last event that was seen")),
    responses(
        (status = 200, description = "Server-sent events: `receipt` for each prescription that is in the bucket, `change` for each step of a change"),
        (status = 410, description = "events-gone"),
        (status = 503, description = "unavailable, too-many-followers"),
    ),
    security(("token" = []))
)]
pub async fn follow(
    Reader(by): Reader,
    State(fleet): State<Fleet>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let last = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
    let from = last.filter(|last| !last.is_empty()).map(str::parse::<Mark>).transpose()?;
    let events = fleet.follow(from).await?.map(event);
    // Receipts are among what is told.
    fleet.note_reading(&by, "uploads.followed", None, json!({"from": last})).await?;
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)))
}

fn event(told: Told) -> Result<Event, axum::Error> {
    match told {
        // Without data it is no event, but a follower that is cut off now knows where it stood.
        Told::Beginning(mark) => Ok(Event::default().id(mark.to_string()).retry(AGAIN)),
        Told::Row(mark, row) => {
            let event = Event::default().id(mark.to_string());
            let row = *row;
            match (row.upload_id.clone(), row.change_id.clone()) {
                (Some(upload_id), _) => event.event("receipt").json_data(receipt(upload_id, row)),
                (None, Some(change_id)) => event.event("change").json_data(change(change_id, row)),
                (None, None) => Ok(event),
            }
        }
    }
}

fn receipt(upload_id: String, row: Row) -> ReceiptEvent {
    ReceiptEvent {
        upload_id,
        thing: row.thing,
        pharmacy: row.pharmacy,
        sha256: row.sha256,
        size: row.size,
        object_key: row.object_key,
        version_id: row.version_id,
        observed_at: row.observed_at,
        received_at: row.received_at,
    }
}

fn change(change_id: String, row: Row) -> ChangeEvent {
    ChangeEvent {
        change_id,
        thing: row.thing,
        pharmacy: row.pharmacy,
        state: row.state.and_then(|state| state.parse().ok()),
        at: row.step_at,
        device_at: row.device_at,
        clock: row.clock,
        code: row.code,
        detail: row.detail,
    }
}
