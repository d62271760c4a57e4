//! The `/_local` routes: what an operator does and sees, for the page and for tests. Slack has none of these.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_stream::wrappers::BroadcastStream;

use crate::act::Act;
use crate::state::faults::Fault;
use crate::state::people::{APP_ID, BOT_USER, Kind, TEAM_ID, TEAM_NAME};
use crate::workspace::Workspace;

type Slack = State<Arc<Workspace>>;

/// `POST /_local/act`. The act runs to its end even when whoever asked hangs up, as Slack would.
pub(crate) async fn act(State(slack): Slack, Json(body): Json<Value>) -> Response {
    let act: Act = match serde_json::from_value(body) {
        Ok(act) => act,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let own = slack.clone();
    match slack.acts.spawn(async move { own.act(act).await }).await {
        Ok(Ok(done)) => Json(done).into_response(),
        Ok(Err(impossible)) => refuse(StatusCode::CONFLICT, &impossible.0),
        Err(failed) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &failed.to_string()),
    }
}

/// `POST /_local/replay`: the last signed request once more, byte for byte.
pub(crate) async fn replay(State(slack): Slack) -> Response {
    match slack.replay().await {
        Some(ack) => Json(ack).into_response(),
        None => refuse(StatusCode::CONFLICT, "nothing was sent yet"),
    }
}

pub(crate) async fn views(State(slack): Slack, Path(user): Path<String>) -> Response {
    if slack.state().people.find(&user).is_none() {
        return refuse(StatusCode::NOT_FOUND, "no such user");
    }
    Json(slack.screen_of(&user)).into_response()
}

#[derive(Deserialize)]
pub(crate) struct Eyes {
    /// With it: what this user sees. Without: everything, each ephemeral message with `ephemeral_to`.
    user: Option<String>,
}

pub(crate) async fn messages(
    State(slack): Slack,
    Path(channel): Path<String>,
    Query(eyes): Query<Eyes>,
) -> Response {
    let state = slack.state();
    let Some(room) = state.rooms.find(&channel) else {
        return refuse(StatusCode::NOT_FOUND, "no such channel");
    };
    let seen = room.messages.iter().filter(|message| match (&message.only_for, &eyes.user) {
        (Some(only_for), Some(user)) => only_for == user,
        _ => true,
    });
    let messages: Vec<Value> = seen
        .map(|message| {
            let mut shown = room.shown(message);
            if let Some(only_for) = &message.only_for {
                shown["is_ephemeral"] = json!(true);
                shown["ephemeral_to"] = json!(only_for);
            }
            if let Some(trouble) = &message.trouble {
                shown["trouble"] = json!(trouble);
            }
            shown
        })
        .collect();
    Json(json!({"channel": room.brief(), "messages": messages})).into_response()
}

/// What the page needs to draw its frame for a user.
pub(crate) async fn frame(State(slack): Slack, Path(user): Path<String>) -> Response {
    let now = slack.now();
    let mut state = slack.state();
    if state.people.find(&user).is_none() {
        return refuse(StatusCode::NOT_FOUND, "no such user");
    }
    let direct = state.rooms.direct(now, &user).id.clone();
    let people: Vec<Value> = state
        .people
        .everyone
        .iter()
        .map(|person| {
            json!({"id": person.id, "name": person.name, "realName": person.real_name, "title": person.title, "locale": person.locale,
                "color": person.color, "bot": person.kind == Kind::Bot,
                "outside": matches!(person.kind, Kind::Guest | Kind::Stranger)})
        })
        .collect();
    let rooms = state.rooms.all.iter().filter(|room| room.with.is_none() && room.admits(&user));
    let channels: Vec<Value> = rooms
        .map(|room| json!({"id": room.id, "name": room.name, "topic": room.topic, "archived": room.archived}))
        .collect();
    let features = &slack.settings.manifest.features;
    Json(json!({
        "team": {"id": TEAM_ID, "name": TEAM_NAME}, "app": {"id": APP_ID, "name": slack.app_name(), "user": BOT_USER},
        "people": people, "channels": channels, "direct": direct, "commands": features.slash_commands,
        "shortcuts": features.shortcuts,
    }))
    .into_response()
}

pub(crate) async fn faults(State(slack): Slack) -> Json<Value> {
    let now = slack.now();
    Json(json!({"faults": slack.state().faults.standing(now)}))
}

pub(crate) async fn add_fault(State(slack): Slack, Json(body): Json<Value>) -> Response {
    match serde_json::from_value::<Fault>(body) {
        Ok(fault) => {
            let now = slack.now();
            slack.state().faults.add(now, fault);
            faults(State(slack)).await.into_response()
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

pub(crate) async fn clear_faults(State(slack): Slack) -> Json<Value> {
    slack.state().faults.clear();
    faults(State(slack)).await
}

#[derive(Deserialize)]
pub(crate) struct Looked {
    bodies: Option<bool>,
}

/// `GET /_local/sent`: what the app sent, as it came; with `bodies=false` only what kind of calls.
pub(crate) async fn sent(State(slack): Slack, Query(looked): Query<Looked>) -> Json<Value> {
    let mut calls: Vec<Value> = slack.state().sent.calls().map(|call| json!(call)).collect();
    if looked.bodies == Some(false) {
        for call in &mut calls {
            call["body"].take();
        }
    }
    Json(json!({"calls": calls}))
}

#[derive(Deserialize)]
pub(crate) struct Archive {
    archived: bool,
}

/// `POST /_local/channels/{C}`: a channel is archived under the app's feet, or comes back.
pub(crate) async fn archive(
    State(slack): Slack,
    Path(channel): Path<String>,
    Json(body): Json<Archive>,
) -> Response {
    match slack.state().rooms.find_mut(&channel) {
        Some(room) => room.archived = body.archived,
        None => return refuse(StatusCode::NOT_FOUND, "no such channel"),
    }
    slack.messages_changed(&channel);
    Json(json!({"archived": body.archived})).into_response()
}

/// `DELETE /_local/channels/{C}/messages/{ts}`: somebody deletes a message of the app's.
pub(crate) async fn delete_message(
    State(slack): Slack,
    Path((channel, ts)): Path<(String, String)>,
) -> Response {
    let deleted = slack.state().rooms.find_mut(&channel).is_some_and(|room| room.delete(&ts).is_ok());
    if !deleted {
        return refuse(StatusCode::NOT_FOUND, "no such message of the app's");
    }
    slack.messages_changed(&channel);
    StatusCode::NO_CONTENT.into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wind {
    forward_ms: u64,
}

/// `POST /_local/clock`: winds Slack's clock forward, so that triggers go stale at once.
pub(crate) async fn clock(State(slack): Slack, Json(wind): Json<Wind>) -> Json<Value> {
    slack.clock.wind_forward(Duration::from_millis(wind.forward_ms));
    Json(json!({"now": slack.now().as_secs()}))
}

/// `GET /_local/stream`: where to look again, as it happens.
pub(crate) async fn stream(State(slack): Slack) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = BroadcastStream::new(slack.changes()).map(|change| {
        // Whoever lagged behind looks at everything again.
        let data = change.map_or_else(|_| json!({"what": "everything"}), |change| json!(change));
        Ok(Event::default().data(data.to_string()))
    });
    Sse::new(changes).keep_alive(KeepAlive::default())
}

fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}
