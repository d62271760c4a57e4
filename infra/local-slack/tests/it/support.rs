//! A workspace on a free port, and an app that records what it was sent and answers what it was told to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::connect::HttpConnector;
use local_slack::manifest::Manifest;
use local_slack::{Settings, Workspace};
use parking_lot::Mutex;
use serde_json::{Value, json};
use slack_morphism::prelude::*;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use local_slack::state::people::{APPROVER, ENGLISH, OPERATOR};
pub use local_slack::state::rooms::{CHANNEL_ID, GENERAL_ID};

pub const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
pub const TOKEN: &str = "xoxb-local-test";

pub struct Desk {
    pub url: String,
    pub slack: Arc<Workspace>,
    pub app: Arc<App>,
    http: reqwest::Client,
    _servers: JoinSet<()>,
}

/// What the app was sent, and what it will answer.
#[derive(Default)]
pub struct App {
    pub got: Mutex<Vec<Got>>,
    answers: Mutex<VecDeque<Reply>>,
}

#[derive(Clone)]
pub struct Got {
    pub path: String,
    pub timestamp: String,
    pub signature: String,
    pub body: String,
}

struct Reply {
    status: u16,
    body: String,
    delay: Duration,
}

impl Got {
    /// The fields of a form.
    pub fn field(&self, name: &str) -> String {
        let found = url::form_urlencoded::parse(self.body.as_bytes()).find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    }

    pub fn payload(&self) -> Value {
        serde_json::from_str(&self.field("payload")).unwrap()
    }
}

impl App {
    pub fn will_answer(&self, body: &Value) {
        let reply = Reply { status: 200, body: body.to_string(), delay: Duration::ZERO };
        self.answers.lock().push_back(reply);
    }

    pub fn will_fail(&self, status: u16) {
        self.answers.lock().push_back(Reply { status, body: String::new(), delay: Duration::ZERO });
    }

    pub fn will_dawdle(&self, delay: Duration) {
        self.answers.lock().push_back(Reply { status: 200, body: String::new(), delay });
    }

    pub fn last(&self) -> Got {
        self.got.lock().last().expect("the app was sent something").clone()
    }

    pub fn count(&self) -> usize {
        self.got.lock().len()
    }
}

async fn app_answers(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers[name].to_str().unwrap().to_owned();
    let (timestamp, signature) = (header("x-slack-request-timestamp"), header("x-slack-signature"));
    let path = parts.uri.path().to_owned();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    app.got.lock().push(Got { path, timestamp, signature, body });
    let reply = app.answers.lock().pop_front();
    match reply {
        None => StatusCode::OK.into_response(),
        Some(reply) => {
            tokio::time::sleep(reply.delay).await;
            let kind = [("content-type", "application/json")];
            (StatusCode::from_u16(reply.status).unwrap(), kind, reply.body).into_response()
        }
    }
}

impl Desk {
    pub async fn open() -> Self {
        Self::with_manifest(Manifest::default()).await
    }

    pub async fn with_manifest(manifest: Manifest) -> Self {
        let mut servers = JoinSet::new();
        let app = Arc::new(App::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app_url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(app_answers).with_state(app.clone());
        servers.spawn(async move { axum::serve(listener, router).await.unwrap() });

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let slack = Workspace::new(Settings {
            app_url,
            signing_secret: SECRET.to_owned(),
            bot_token: TOKEN.to_owned(),
            channel_name: "運用".to_owned(),
            manifest,
        })
        .unwrap();
        slack.reachable_at(&url);
        let router = local_slack::router(slack.clone());
        servers.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, slack, app, http: reqwest::Client::new(), _servers: servers }
    }

    /// Does something as a user; `who` and `what` are merged.
    pub async fn act(&self, user: &str, what: Value) -> Value {
        let (status, answer) = self.try_act(user, what).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub async fn try_act(&self, user: &str, mut what: Value) -> (u16, Value) {
        what["userId"] = json!(user);
        if what.get("channelId").is_none() {
            what["channelId"] = json!(CHANNEL_ID);
        }
        let sent = self.http.post(format!("{}/_local/act", self.url)).json(&what).send().await.unwrap();
        (sent.status().as_u16(), sent.json().await.unwrap())
    }

    /// Calls the Web API with a JSON body.
    pub async fn api(&self, method: &str, body: Value) -> Value {
        let sent = self.http.post(format!("{}/api/{method}", self.url)).bearer_auth(TOKEN).json(&body);
        sent.send().await.unwrap().json().await.unwrap()
    }

    pub async fn raw(&self, method: &str, token: Option<&str>, kind: &str, body: &str) -> reqwest::Response {
        let mut call = self.http.post(format!("{}/api/{method}", self.url)).header("content-type", kind);
        if let Some(token) = token {
            call = call.bearer_auth(token);
        }
        call.body(body.to_owned()).send().await.unwrap()
    }

    pub async fn local(&self, path: &str) -> Value {
        self.http.get(format!("{}/_local/{path}", self.url)).send().await.unwrap().json().await.unwrap()
    }

    pub async fn post(&self, url: &str, body: &Value) -> (u16, String) {
        let sent = self.http.post(url).json(body).send().await.unwrap();
        (sent.status().as_u16(), sent.text().await.unwrap())
    }

    pub async fn post_local(&self, path: &str, body: &Value) -> Value {
        let (_, answer) = self.post(&format!("{}/_local/{path}", self.url), body).await;
        serde_json::from_str(&answer).unwrap()
    }

    /// What a user sees in the operations channel.
    pub async fn seen_by(&self, user: &str) -> Vec<Value> {
        let seen = self.local(&format!("channels/{CHANNEL_ID}/messages?user={user}")).await;
        seen["messages"].as_array().unwrap().clone()
    }

    pub async fn screen(&self, user: &str) -> Value {
        self.local(&format!("users/{user}/views")).await
    }

    /// Opens a modal for the operator; answers the view.
    pub async fn open_modal(&self, view: &Value) -> Value {
        self.act(OPERATOR, json!({"type": "command", "command": "/desk", "text": ""})).await;
        let trigger = self.app.last().field("trigger_id");
        let opened = self.api("views.open", json!({"trigger_id": trigger, "view": view})).await;
        assert_eq!(opened["ok"], true, "{opened}");
        opened["view"].clone()
    }

    pub fn client(&self) -> SlackClient<SlackClientHyperConnector<HttpConnector>> {
        let connector = SlackClientHyperConnector::with_connector(HttpConnector::new());
        SlackClient::new(connector.with_slack_api_url(&format!("{}/api", self.url)))
    }
}

pub fn token() -> SlackApiToken {
    SlackApiToken::new(TOKEN.into())
}

pub fn plain(text: &str) -> Value {
    json!({"type": "plain_text", "text": text})
}

/// A modal with a text field, a choice and an optional note.
pub fn modal() -> Value {
    let option = |value: &str| json!({"text": plain(value), "value": value});
    json!({
        "type": "modal", "callback_id": "settings", "private_metadata": "{\"thing\":\"x\"}", "title": plain("設定"),
        "submit": plain("登録"), "close": plain("閉じる"), "notify_on_close": true,
        "blocks": [
            {"type": "input", "block_id": "address", "label": plain("アドレス"), "dispatch_action": true,
                "element": {"type": "plain_text_input", "action_id": "address_text", "initial_value": "192.168.0.1"}},
            {"type": "input", "block_id": "mode", "label": plain("方法"),
                "element": {"type": "static_select", "action_id": "mode_select", "options": [option("dhcp"), option("static")]}},
            {"type": "input", "block_id": "note", "label": plain("メモ"), "optional": true,
                "element": {"type": "plain_text_input", "action_id": "note_text", "max_length": 5}},
            {"type": "input", "block_id": "box", "label": plain("対象"), "optional": true,
                "element": {"type": "external_select", "action_id": "box_select", "min_query_length": 1}},
            {"type": "actions", "block_id": "more", "elements": [
                {"type": "button", "action_id": "check", "text": plain("確認"), "value": "now"}]},
        ],
    })
}
