//! Answers by `response_url`: a new message, or the old one replaced or deleted.

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::Value;

use crate::state::Refusal;
use crate::workspace::Workspace;

pub(crate) async fn respond(
    State(slack): State<Arc<Workspace>>,
    OriginalUri(uri): OriginalUri,
    body: Bytes,
) -> Response {
    let mut came = slack.came("response_url", "", &body);
    if let Some(response) = came.struck(&slack).await {
        return response;
    }
    let Ok(answer) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "invalid_payload").into_response();
    };
    came.answers(&slack, Some(uri.path()));
    let hook = slack.state().tickets.use_hook(slack.now(), uri.path());
    let outcome =
        hook.and_then(|hook| slack.answer_in(&hook.channel, &hook.user, hook.message.as_deref(), &answer));
    match outcome {
        Ok(()) => {
            came.note(&slack);
            (StatusCode::OK, "ok").into_response()
        }
        Err(refusal) => {
            tracing::warn!(refusal.error, messages = ?refusal.messages, "an answer by response_url is refused");
            let status = match refusal.error.as_str() {
                "used_url" | "expired_url" | "no_such_url" => StatusCode::NOT_FOUND,
                "no_text" => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::BAD_REQUEST,
            };
            (came.call.status, came.call.error) = (status.as_u16(), Some(refusal.error.clone()));
            came.note(&slack);
            (status, axum::Json(super::told(Err(refusal)))).into_response()
        }
    }
}

impl Workspace {
    /// Puts an answer of the app's to a command or a press where it belongs.
    pub(crate) fn answer_in(
        &self,
        channel: &str,
        user: &str,
        original: Option<&str>,
        answer: &Value,
    ) -> Result<(), Refusal> {
        let now = self.now();
        let flag = |name: &str| answer[name].as_bool().unwrap_or(false);
        if flag("delete_original") {
            let mut state = self.state();
            let room = state.rooms.find_mut(channel).ok_or_else(|| Refusal::new("channel_not_found"))?;
            room.delete(original.unwrap_or(""))?;
        } else {
            let content =
                self.content(|name| Ok(answer.get(name).filter(|value| !value.is_null()).cloned()))?;
            let mut state = self.state();
            let ts = state.ts(now);
            let room = state.rooms.find_mut(channel).ok_or_else(|| Refusal::new("channel_not_found"))?;
            if let Some(original) = original.filter(|_| flag("replace_original")) {
                room.replace(original, content, &ts)?;
            } else {
                let only_for = (answer["response_type"] != "in_channel").then_some(user);
                room.app_says(ts, self.app_name(), content, answer["thread_ts"].as_str(), only_for)?;
            }
        }
        self.messages_changed(channel);
        Ok(())
    }
}
