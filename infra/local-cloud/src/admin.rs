//! The operator's door, on a loopback port of its own: faults on request, whom they hit, what is connected and what was
//! called.

use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::faults::{Fault, Service};
use crate::hub::Hub;
use crate::mqtt::session::EndReason;

pub fn router(hub: Hub) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/state", get(state))
        .route("/faults", post(set).delete(clear))
        .route("/faults/presence", post(presence))
        .route("/disconnect", post(disconnect))
        .with_state(hub)
}

/// `{"service":"iotdata","fault":"status","status":503,"seconds":30}`; `fault` is refuse, cut, delay or status.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    service: Service,
    fault: String,
    status: Option<u16>,
    delay_ms: Option<u64>,
    /// How long it lasts.
    seconds: Option<f64>,
    /// How many requests it hits.
    times: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct PresenceFaults {
    #[serde(default)]
    duplicate: bool,
    #[serde(default)]
    disorder: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Disconnect {
    client_id: String,
}

async fn state(State(hub): State<Hub>) -> Json<Value> {
    let (hits, calls) = (hub.faults.hits(), hub.calls.counted());
    Json(json!({ "connected": hub.broker.connected(), "faultHits": hits, "calls": calls }))
}

async fn set(
    State(hub): State<Hub>,
    Json(wanted): Json<Wanted>,
) -> Result<StatusCode, (StatusCode, &'static str)> {
    let fault = match wanted.fault.as_str() {
        "refuse" => Fault::Refuse,
        "cut" => Fault::Cut,
        "delay" => Fault::Delay(Duration::from_millis(wanted.delay_ms.unwrap_or(1000))),
        "status" => match StatusCode::from_u16(wanted.status.unwrap_or(503)) {
            Ok(status) => Fault::Status(status.as_u16()),
            Err(_) => return Err((StatusCode::BAD_REQUEST, "status must be one of HTTP's\n")),
        },
        _ => return Err((StatusCode::BAD_REQUEST, "fault must be refuse, cut, delay or status\n")),
    };
    let lasts = match wanted.seconds.map(Duration::try_from_secs_f64) {
        None => None,
        Some(Ok(lasts)) => Some(lasts),
        Some(Err(_)) => return Err((StatusCode::BAD_REQUEST, "seconds must be a positive number\n")),
    };
    hub.faults.set(wanted.service, fault, lasts, wanted.times);
    if wanted.service == Service::Mqtt && fault == Fault::Cut {
        hub.broker.disconnect_everyone();
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn clear(State(hub): State<Hub>) -> StatusCode {
    hub.faults.clear();
    StatusCode::NO_CONTENT
}

async fn presence(State(hub): State<Hub>, Json(wanted): Json<PresenceFaults>) -> StatusCode {
    hub.faults.set_presence(wanted.duplicate, wanted.disorder);
    StatusCode::NO_CONTENT
}

async fn disconnect(State(hub): State<Hub>, Json(wanted): Json<Disconnect>) -> StatusCode {
    if hub.broker.end_client(&wanted.client_id, EndReason::ServerInitiated) {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}
