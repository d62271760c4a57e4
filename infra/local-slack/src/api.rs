//! The Web API under `/api/`: token, arranged faults, arguments from query, form or JSON, then the method.

mod chat;
mod conversations;
pub(crate) mod files;
pub(crate) mod hooks;
mod people;
mod views;

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::state::faults::{Fault, FaultKind};
use crate::state::sent::{Call, millis};
use crate::state::{Answer, Refusal};
use crate::workspace::Workspace;

/// The arguments of a call. Values that came in a form are texts, JSON in them included.
#[derive(Debug, Default)]
pub(crate) struct Arguments(Map<String, Value>);

pub(crate) async fn call(
    State(slack): State<Arc<Workspace>>,
    Path(method): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut came = slack.came(&method, query.as_deref().unwrap_or(""), &body);
    if let Some(response) = came.struck(&slack).await {
        return response;
    }
    let arguments = Arguments::read(query.as_deref(), &headers, &body);
    came.answers(&slack, arguments.as_ref().ok().and_then(|given| given.text("trigger_id")));
    let answer = arguments.and_then(|arguments| answer(&slack, &method, &headers, &arguments));
    if let Err(refusal) = &answer {
        tracing::warn!(method, refusal.error, messages = ?refusal.messages, "a call is refused");
        came.call.error = Some(refusal.error.clone());
    }
    came.note(&slack);
    axum::Json(told(answer)).into_response()
}

/// A call on its way to what is remembered of it.
pub(crate) struct Came {
    pub call: Call,
}

impl Workspace {
    pub(crate) fn came(&self, method: &str, query: &str, body: &[u8]) -> Came {
        let body = String::from_utf8_lossy(body);
        let body = if query.is_empty() { body.into_owned() } else { format!("{query}\n{body}") };
        let (method, at_ms) = (method.to_owned(), millis(self.now()));
        Came { call: Call { method, at_ms, status: 200, error: None, after_ms: None, body } }
    }
}

impl Came {
    /// Meets what was arranged for such a call; what there is then is the answer.
    pub async fn struck(&mut self, slack: &Workspace) -> Option<Response> {
        let now = slack.now();
        let fault = slack.state().faults.strike(now, &self.call.method);
        let response = strike(fault).await?;
        tracing::info!(method = self.call.method, "a call meets an arranged fault");
        self.call.status = response.status().as_u16();
        self.call.error = Some("fault".to_owned());
        slack.state().sent.add(self.call.clone());
        Some(response)
    }

    /// What a user did is answered, by this trigger or response address.
    pub fn answers(&mut self, slack: &Workspace, ticket: Option<&str>) {
        let now = slack.now();
        let age = ticket.and_then(|ticket| slack.state().tickets.age(now, ticket));
        self.call.after_ms = age.map(millis);
    }

    pub fn note(self, slack: &Workspace) {
        slack.state().sent.add(self.call);
    }
}

fn answer(slack: &Workspace, method: &str, headers: &HeaderMap, arguments: &Arguments) -> Answer {
    if method == "apps.connections.open" {
        return crate::socket::door::open(slack, headers);
    }
    authenticate(slack, headers, arguments)?;
    match method {
        "api.test" => Ok(json!({})),
        "auth.test" => Ok(people::auth_test(slack)),
        "users.info" => people::info(slack, arguments),
        "users.list" => Ok(people::list(slack, arguments)),
        "usergroups.list" => Ok(people::groups(slack, arguments)),
        "usergroups.users.list" => people::group_members(slack, arguments),
        "team.info" => Ok(people::team()),
        "bots.info" => Ok(people::bot(slack)),
        "chat.postMessage" => chat::post(slack, arguments),
        "chat.postEphemeral" => chat::post_ephemeral(slack, arguments),
        "chat.update" => chat::update(slack, arguments),
        "chat.delete" => chat::delete(slack, arguments),
        "chat.getPermalink" => chat::permalink(slack, arguments),
        "conversations.info" => conversations::info(slack, arguments),
        "conversations.list" => Ok(conversations::list(slack)),
        "conversations.open" => conversations::open(slack, arguments),
        "conversations.members" => conversations::members(slack, arguments),
        "conversations.history" => conversations::history(slack, arguments),
        "conversations.replies" => conversations::replies(slack, arguments),
        "views.open" => views::open(slack, arguments),
        "views.push" => views::push(slack, arguments),
        "views.update" => views::update(slack, arguments),
        "views.publish" => views::publish(slack, arguments),
        "files.getUploadURLExternal" => files::announce(slack, arguments),
        "files.completeUploadExternal" => files::complete(slack, arguments),
        "files.info" => files::info(slack, arguments),
        "files.delete" => files::delete(slack, arguments),
        _ => Err(Refusal::new("unknown_method")),
    }
}

/// `ok` beside the answer; of a refusal its error and, where there are some, the reasons.
pub(crate) fn told(answer: Answer) -> Value {
    match answer {
        Ok(mut answer) => {
            answer["ok"] = json!(true);
            answer
        }
        Err(refusal) => {
            let mut answer = json!({"ok": false, "error": refusal.error});
            if !refusal.messages.is_empty() {
                answer["response_metadata"] = json!({"messages": refusal.messages});
                if refusal.error == "invalid_blocks" {
                    answer["errors"] = json!(refusal.messages);
                }
            }
            answer
        }
    }
}

async fn strike(fault: Option<Fault>) -> Option<Response> {
    let fault = fault?;
    Some(match fault.kind {
        FaultKind::RateLimited => {
            let after = fault.retry_after.unwrap_or(1).to_string();
            let body = axum::Json(json!({"ok": false, "error": "ratelimited"}));
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, after)], body).into_response()
        }
        FaultKind::Down => {
            (StatusCode::SERVICE_UNAVAILABLE, axum::response::Html("<h1>Service Unavailable</h1>"))
                .into_response()
        }
        FaultKind::Error => {
            let error = fault.error.unwrap_or_else(|| "internal_error".to_owned());
            axum::Json(json!({"ok": false, "error": error})).into_response()
        }
        FaultKind::Slow => {
            tokio::time::sleep(fault.delay()).await;
            return None;
        }
    })
}

fn authenticate(slack: &Workspace, headers: &HeaderMap, arguments: &Arguments) -> Result<(), Refusal> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).or_else(|| arguments.text("token"));
    match token {
        None => Err(Refusal::new("not_authed")),
        Some(token) if token == slack.settings.bot_token => Ok(()),
        Some(_) => Err(Refusal::new("invalid_auth")),
    }
}

impl Arguments {
    fn read(query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        let mut arguments = Map::new();
        let mut form = |raw: &[u8]| {
            for (key, value) in url::form_urlencoded::parse(raw) {
                arguments.insert(key.into_owned(), Value::String(value.into_owned()));
            }
        };
        form(query.unwrap_or("").as_bytes());
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        match kind.split(';').next().unwrap_or("").trim() {
            "application/json" if !body.is_empty() => match serde_json::from_slice(body) {
                Ok(Value::Object(object)) => arguments.extend(object),
                Ok(_) => return Err(Refusal::new("json_not_object")),
                Err(_) => return Err(Refusal::new("invalid_json")),
            },
            "application/json" => {}
            "application/x-www-form-urlencoded" | "" => form(body),
            _ => return Err(Refusal::new("invalid_post_type")),
        }
        Ok(Self(arguments))
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    pub fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name).ok_or_else(|| Refusal::missing(name))
    }

    pub fn flag(&self, name: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => matches!(text.as_str(), "true" | "1"),
            _ => false,
        }
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        match self.0.get(name)? {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A structured argument: JSON, or JSON inside a form field.
    pub fn json(&self, name: &str) -> Result<Option<Value>, Refusal> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text)
                .map(Some)
                .map_err(|_| Refusal::with("invalid_arguments", vec![format!("[ERROR] {name} is not JSON")])),
            Some(value) => Ok(Some(value.clone())),
        }
    }
}
