//! What operators do in modals and messages. A submission is judged and registered while Slack waits,
//! and so are suggestions; a button is written down and done by the worker.

mod password;
mod payload;
mod reject;
mod submit;
mod suggest;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    SlackApp,
    fleet::Ports,
    interaction::payload::Payload,
    job::{Act, Job},
    lan_view, message, notice, password_view, preview,
    request::{Signed, Turned, read_json},
    verb,
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
    let payload = read_json(interaction.payload.as_bytes())?;
    Ok(match given(&app, payload).await? {
        Some(answer) => Json(answer).into_response(),
        None => ().into_response(),
    })
}

/// Whichever way it came; with what Slack is to do, if there is anything.
pub async fn given<P: Ports>(app: &SlackApp<P>, payload: Payload) -> Result<Option<Value>, Turned> {
    payload.origin().check(app.settings())?;
    match payload.r#type.as_str() {
        "view_submission" => submitted(app, payload).await,
        "block_suggestion" => Ok(Some(suggest::boxes(app, &payload).await)),
        "block_actions" => pressed(app, payload).await,
        "message_action" | "shortcut" => shortcut(app, payload).await,
        // Nothing to do.
        "view_closed" => Ok(None),
        _ => Err(Turned::Malformed),
    }
}

async fn submitted<P: Ports>(app: &SlackApp<P>, payload: Payload) -> Result<Option<Value>, Turned> {
    let user = payload.user();
    let view = payload.view.ok_or(Turned::Malformed)?;
    let answer = match view.callback_id.as_str() {
        lan_view::CALLBACK => submit::form(app, &user, &view).await?,
        preview::CALLBACK => submit::preview(app, &user, &view).await?,
        notice::REJECT => reject::reject(app, &user, &view).await?,
        password_view::CALLBACK => password::confirm(app, &user, &view).await?,
        _ => return Ok(None),
    };
    Ok(Some(answer))
}

/// Only what a button of ours says: its verb and an id. Whether that may be done is judged when it is.
async fn pressed<P: Ports>(app: &SlackApp<P>, payload: Payload) -> Result<Option<Value>, Turned> {
    let Some(action) = payload.actions.first() else {
        return Err(Turned::Malformed);
    };
    let known = verb::ALL.contains(&action.action_id.as_str());
    let Some(trigger_id) = payload.trigger_id.clone().filter(|_| known) else {
        // A link, or a button of a message from another time.
        return Ok(None);
    };
    let about = action.given().unwrap_or_default().to_owned();
    let act = Act {
        user: payload.user(),
        verb: action.action_id.clone(),
        about,
        channel_id: payload.channel.as_ref().map(|channel| channel.id.clone()),
        trigger_id,
        response_url: payload.response_url.clone(),
        view: payload.view.as_ref().filter(|view| view.is_modal()).map(payload::View::as_act),
    };
    write_down(app, act).await
}

/// The state of the box that a message is about; of any box, if that cannot be told.
async fn shortcut<P: Ports>(app: &SlackApp<P>, payload: Payload) -> Result<Option<Value>, Turned> {
    let trigger_id = payload.trigger_id.clone().ok_or(Turned::Malformed)?;
    let change = payload.message_blocks().find_map(message::named);
    let thing = match &change {
        Some(change) => app.ports().change(change).await.ok().flatten().map(|story| story.thing),
        None => None,
    };
    let act = Act {
        user: payload.user(),
        verb: verb::STATUS.to_owned(),
        about: thing.map(|thing| thing.to_string()).unwrap_or_default(),
        channel_id: payload.channel.as_ref().map(|channel| channel.id.clone()),
        trigger_id,
        response_url: payload.response_url.clone(),
        view: None,
    };
    write_down(app, act).await
}

async fn write_down<P: Ports>(app: &SlackApp<P>, act: Act) -> Result<Option<Value>, Turned> {
    tracing::info!(slack.user_id = %act.user.user_id, "`{}` was pressed", act.verb);
    // Slack repeats a request that it thinks was lost: the trigger is the same, so the job is.
    let key = format!("act:{}", act.trigger_id);
    app.write_down(&key, &Job::Act(act)).await?;
    Ok(None)
}
