//! Socket Mode: Slack's requests over lines (web sockets) that the app opened, each with a ticket that serves once.
//!
//! Once it is on, nothing goes to the app's addresses any more. A request goes over one line, the lines in
//! turn; the app acknowledges it by its `envelope_id` within three seconds, or the user reads Slack's failure.

pub mod door;
mod line;

use std::collections::{HashMap, VecDeque};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::deliver::{Ack, PATIENCE};
use crate::state::fresh_hex;
use crate::workspace::Workspace;

/// As many as Slack allows an app.
const MOST_LINES: usize = 10;

#[derive(Debug, Default)]
pub struct Sockets {
    /// The app-level token. None: Socket Mode is off.
    token: OnceLock<String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When each was given out.
    tickets: HashMap<String, Duration>,
    /// The next to be used in front.
    lines: VecDeque<Line>,
    /// By envelope, until it is acknowledged.
    waiting: HashMap<String, oneshot::Sender<Value>>,
    last: Option<Value>,
}

#[derive(Debug, Clone)]
struct Line {
    id: String,
    orders: mpsc::Sender<Order>,
}

/// What a line is to do.
#[derive(Debug)]
enum Order {
    Say(Value),
    /// Asks the app for a new line, and ends once it has gone.
    Renew(String),
    /// Ends without a word.
    Cut,
}

impl Sockets {
    pub fn are_on(&self) -> bool {
        self.token.get().is_some()
    }
}

impl Workspace {
    /// From now on the app is sent everything over its lines. The first word counts.
    pub fn turn_socket_mode_on(&self, token: String) {
        let _ = self.sockets.token.set(token);
    }

    /// Sends a request over a line and waits for its acknowledgement.
    pub(crate) async fn envelop(&self, kind: &str, payload: &Value) -> Ack {
        let envelope = json!({"envelope_id": fresh_hex(16), "type": kind, "payload": payload,
            "accepts_response_payload": kind != "events_api", "retry_attempt": 0, "retry_reason": ""});
        self.sockets.state.lock().last = Some(envelope.clone());
        self.send_over_a_line(envelope).await
    }

    /// The last request once more.
    pub(crate) async fn envelop_again(&self) -> Option<Ack> {
        let last = self.sockets.state.lock().last.clone()?;
        Some(self.send_over_a_line(last).await)
    }

    async fn send_over_a_line(&self, envelope: Value) -> Ack {
        let started = Instant::now();
        let id = envelope["envelope_id"].as_str().unwrap_or_default().to_owned();
        let (acknowledge, acknowledged) = oneshot::channel();
        let line = {
            let mut state = self.sockets.state.lock();
            let turn = usize::from(state.lines.len() > 1);
            state.lines.rotate_left(turn);
            state.waiting.insert(id.clone(), acknowledge);
            state.lines.front().cloned()
        };
        let asked = async {
            line?.orders.send(Order::Say(envelope)).await.ok()?;
            acknowledged.await.ok()
        };
        let answered = tokio::time::timeout(PATIENCE, asked).await;
        self.sockets.state.lock().waiting.remove(&id);
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (status, body, error) = match answered {
            Ok(Some(body)) => (200, body, None),
            Ok(None) => (0, Value::Null, Some("dispatch_failed")),
            Err(_) => (0, Value::Null, Some("operation_timeout")),
        };
        self.note_answer(status, &body);
        if let Some(error) = error {
            tracing::warn!(duration_ms = took_ms, "the app did not take a request: {error}");
        }
        Ack { took_ms, status, body, error: error.map(str::to_owned) }
    }
}
