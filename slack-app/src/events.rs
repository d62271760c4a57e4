//! Slack's events: the handshake that a new address asks for, and a Home that was opened. The rest is
//! acknowledged.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    SlackApp,
    fleet::Ports,
    job::Job,
    model::SlackUser,
    request::{Origin, Signed, Turned},
};

#[derive(Deserialize)]
pub struct Event {
    r#type: String,
    #[serde(default)]
    challenge: Option<String>,
    #[serde(default)]
    team_id: Option<String>,
    #[serde(default)]
    enterprise_id: Option<String>,
    #[serde(default)]
    api_app_id: Option<String>,
    #[serde(default, rename = "event_id")]
    id: Option<String>,
    #[serde(default, rename = "event")]
    inner: Option<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    r#type: String,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    tab: Option<String>,
}

/// `POST /slack/events`
pub async fn take<P: Ports>(State(app): State<SlackApp<P>>, signed: Signed) -> Result<Response, Turned> {
    if signed.is_ssl_check() {
        return Ok(().into_response());
    }
    Ok(match given(&app, signed.json()?).await? {
        Some(answer) => Json(answer).into_response(),
        None => ().into_response(),
    })
}

/// Whichever way it came.
pub async fn given<P: Ports>(app: &SlackApp<P>, event: Event) -> Result<Option<Value>, Turned> {
    let team_id = event.team_id.as_deref();
    let origin = Origin {
        team_id,
        enterprise_id: event.enterprise_id.as_deref(),
        app_id: event.api_app_id.as_deref(),
    };
    origin.check(app.settings())?;
    if let (Some(Inner { r#type, user: Some(user), tab }), Some(event_id)) = (&event.inner, &event.id)
        && r#type == "app_home_opened"
        && tab.as_deref().is_none_or(|tab| tab == "home")
    {
        let user = SlackUser { team_id: team_id.unwrap_or_default().to_owned(), user_id: user.clone() };
        app.write_down(&format!("event:{event_id}"), &Job::Home { user }).await?;
        return Ok(None);
    }
    match (event.r#type.as_str(), event.challenge) {
        ("url_verification", Some(challenge)) => Ok(Some(json!({"challenge": challenge}))),
        ("url_verification", None) => Err(Turned::Malformed),
        _ => Ok(None),
    }
}
