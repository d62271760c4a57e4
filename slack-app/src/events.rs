//! Slack's events. So far only the handshake that a new address asks for; the rest is acknowledged.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    SlackApp,
    fleet::Ports,
    request::{Origin, Signed, Turned},
};

#[derive(Deserialize)]
struct Event {
    r#type: String,
    #[serde(default)]
    challenge: Option<String>,
    #[serde(default)]
    team_id: Option<String>,
    #[serde(default)]
    api_app_id: Option<String>,
}

/// `POST /slack/events`
pub async fn take<P: Ports>(State(app): State<SlackApp<P>>, signed: Signed) -> Result<Response, Turned> {
    if signed.is_ssl_check() {
        return Ok(().into_response());
    }
    let event: Event = signed.json()?;
    let origin = Origin { team_id: event.team_id.as_deref(), app_id: event.api_app_id.as_deref() };
    origin.check(app.settings())?;
    match (event.r#type.as_str(), event.challenge) {
        ("url_verification", Some(challenge)) => Ok(Json(json!({"challenge": challenge})).into_response()),
        ("url_verification", None) => Err(Turned::Malformed),
        _ => Ok(().into_response()),
    }
}
