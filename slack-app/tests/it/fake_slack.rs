//! Slack's Web API as far as the app calls it: it remembers the calls and answers as it is told.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};

pub struct FakeSlack {
    pub url: String,
    inner: Arc<Inner>,
    /// Dropped with the server in it.
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Inner {
    calls: Mutex<Vec<Call>>,
    /// Answers for the next calls of a method; then it goes on as usual.
    answers: Mutex<HashMap<String, VecDeque<Answer>>>,
    locales: Mutex<HashMap<String, String>>,
    uploads: Mutex<Vec<Bytes>>,
    url: Mutex<String>,
    called: Notify,
}

#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    pub body: Value,
    pub at: Instant,
}

#[derive(Clone)]
pub enum Answer {
    Json(Value),
    RateLimited(u64),
    Status(StatusCode),
    /// None in time.
    Silence,
}

impl FakeSlack {
    pub async fn start() -> Self {
        let inner = Arc::new(Inner::default());
        let router = Router::new()
            .route("/api/{method}", any(answer))
            .route("/response/{id}", any(respond))
            .route("/upload", any(upload))
            .with_state(Arc::clone(&inner));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        inner.url.lock().clone_from(&url);
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inner, _server: server }
    }

    pub fn next(&self, method: &str, answer: Answer) {
        let mut answers = self.inner.answers.lock();
        answers.entry(method.to_owned()).or_default().push_back(answer);
    }

    pub fn refuse_next(&self, method: &str, error: &str) {
        self.next(method, Answer::Json(json!({"ok": false, "error": error})));
    }

    /// What was uploaded, oldest first.
    pub fn uploads(&self) -> Vec<Bytes> {
        self.inner.uploads.lock().clone()
    }

    /// Everything that was ever sent to Slack, as text.
    pub fn everything(&self) -> String {
        let calls = self.inner.calls.lock();
        let calls: Vec<_> = calls.iter().map(|call| call.body.to_string()).collect();
        let uploads = self.uploads();
        let uploads = uploads.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        calls.into_iter().chain(uploads).collect()
    }

    pub fn set_locale(&self, user: &str, locale: &str) {
        self.inner.locales.lock().insert(user.to_owned(), locale.to_owned());
    }

    pub fn calls(&self, method: &str) -> Vec<Value> {
        let calls = self.inner.calls.lock();
        let calls = calls.iter().filter(|call| call.method == method);
        calls.map(|call| call.body.clone()).collect()
    }

    pub fn called_at(&self, method: &str) -> Vec<Instant> {
        let calls = self.inner.calls.lock();
        calls.iter().filter(|call| call.method == method).map(|call| call.at).collect()
    }

    pub fn methods(&self) -> Vec<String> {
        self.inner.calls.lock().iter().map(|call| call.method.clone()).collect()
    }

    /// Waits until a method was called so often, and gives the last call.
    pub async fn called(&self, method: &str, times: usize) -> Value {
        let waited = async {
            loop {
                let next = self.inner.called.notified();
                let calls = self.calls(method);
                if calls.len() >= times {
                    return calls[times - 1].clone();
                }
                next.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), waited).await;
        waited.unwrap_or_else(|_| panic!("{method} was not called {times} times: {:?}", self.methods()))
    }
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    Path(method): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    body: Bytes,
) -> Response {
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| json!(query));
    let answer = inner.answers.lock().get_mut(&method).and_then(VecDeque::pop_front);
    let usual = usual(&inner, &method, &body);
    inner.calls.lock().push(Call { method, body, at: Instant::now() });
    inner.called.notify_waiters();
    match answer.unwrap_or(Answer::Json(usual)) {
        Answer::Json(value) => axum::Json(value).into_response(),
        Answer::RateLimited(seconds) => (
            StatusCode::TOO_MANY_REQUESTS,
            [(header::RETRY_AFTER, seconds.to_string())],
            axum::Json(json!({"ok": false, "error": "ratelimited"})),
        )
            .into_response(),
        Answer::Status(status) => status.into_response(),
        Answer::Silence => std::future::pending().await,
    }
}

fn usual(inner: &Inner, method: &str, body: &Value) -> Value {
    match method {
        "views.open" => json!({"ok": true, "view": {"id": "V1", "hash": "h1"}}),
        "chat.postMessage" => json!({"ok": true, "channel": body["channel"], "ts": "1700000000.000100"}),
        "chat.update" => json!({"ok": true, "channel": body["channel"], "ts": body["ts"]}),
        "users.info" => {
            let locales = inner.locales.lock();
            let user = body["user"].as_str().unwrap_or_default();
            let locale = locales.get(user).map_or("ja-JP", String::as_str);
            json!({"ok": true, "user": {"id": user, "locale": locale}})
        }
        "conversations.open" => json!({"ok": true, "channel": {"id": "D1"}}),
        "files.getUploadURLExternal" => {
            json!({"ok": true, "file_id": "F1", "upload_url": inner.upload_url()})
        }
        "conversations.replies" | "conversations.history" => json!({"ok": true, "messages": []}),
        _ => json!({"ok": true}),
    }
}

async fn upload(State(inner): State<Arc<Inner>>, body: Bytes) -> &'static str {
    inner.uploads.lock().push(body);
    "OK"
}

impl Inner {
    fn upload_url(&self) -> String {
        format!("{}/upload", self.url.lock())
    }
}

/// Slack answers a response with `ok`, which is no JSON.
async fn respond(State(inner): State<Arc<Inner>>, body: Bytes) -> &'static str {
    let body = serde_json::from_slice(&body).unwrap();
    inner.calls.lock().push(Call { method: "response".to_owned(), body, at: Instant::now() });
    inner.called.notify_waiters();
    "ok"
}
