//! What operators do in a modal. A submitted LAN form is judged and registered while Slack waits.

mod payload;
mod submit;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use crate::{
    SlackApp,
    fleet::Ports,
    interaction::payload::Payload,
    lan_view,
    request::{Signed, Turned},
};

#[derive(Deserialize)]
struct Interaction {
    payload: String,
}

/// `POST /slack/interactions`
pub async fn take<P: Ports>(State(app): State<SlackApp<P>>, signed: Signed) -> Result<Response, Turned> {
    if signed.is_ssl_check() {
        return Ok(().into_response());
    }
    let interaction: Interaction = signed.form()?;
    let payload: Payload = serde_json::from_str(&interaction.payload).map_err(|_| Turned::Malformed)?;
    payload.origin().check(app.settings())?;
    if payload.r#type != "view_submission" {
        // A closed modal, or a button of a message from another time: nothing to do.
        return Ok(().into_response());
    }
    let user = payload.user();
    let view = payload.view.ok_or(Turned::Malformed)?;
    if view.callback_id != lan_view::CALLBACK {
        return Ok(().into_response());
    }
    let answer = submit::lan(&app, &user, &view).await?;
    Ok(Json(answer).into_response())
}
