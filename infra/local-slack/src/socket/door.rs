//! Where lines are opened, and where a test looks at them and ends them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{MOST_LINES, Order};
use crate::state::{Answer, Refusal, fresh_hex};
use crate::workspace::Workspace;

/// A ticket is good for this long.
const TICKET_LIFE: Duration = Duration::from_secs(30);

/// `apps.connections.open`: an address with a ticket, for whoever has the app-level token.
pub(crate) fn open(slack: &Workspace, headers: &HeaderMap) -> Answer {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let Some(token) = slack.sockets.token.get().filter(|_| given.starts_with("xapp-")) else {
        return Err(Refusal::new("not_allowed_token_type"));
    };
    if given != token {
        return Err(Refusal::new("invalid_auth"));
    }
    let mut state = slack.sockets.state.lock();
    if state.lines.len() >= MOST_LINES {
        return Err(Refusal::new("too_many_websockets"));
    }
    let ticket = fresh_hex(16);
    state.tickets.insert(ticket.clone(), slack.now());
    let host = slack.url().replacen("http://", "ws://", 1);
    Ok(json!({"url": format!("{host}/link?ticket={ticket}")}))
}

#[derive(Deserialize)]
pub(crate) struct Ticket {
    ticket: String,
}

/// `GET /link?ticket=…`, upgraded to a WebSocket.
pub(crate) async fn link(
    State(slack): State<Arc<Workspace>>,
    Query(Ticket { ticket }): Query<Ticket>,
    mut request: Request,
) -> Response {
    let issued = slack.sockets.state.lock().tickets.remove(&ticket);
    if issued.is_none_or(|issued| slack.now().saturating_sub(issued) > TICKET_LIFE) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let upgrading = hyper::upgrade::on(&mut request);
    let own = Arc::clone(&slack);
    slack.acts.spawn(async move {
        if let Ok(upgraded) = upgrading.await {
            let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            own.hold(stream).await;
        }
    });
    let headers = [
        (header::CONNECTION, "Upgrade".to_owned()),
        (header::UPGRADE, "websocket".to_owned()),
        (header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes())),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// `GET /_local/lines`: how many there are.
pub(crate) async fn lines(State(slack): State<Arc<Workspace>>) -> Json<Value> {
    Json(json!({"lines": slack.sockets.state.lock().lines.len()}))
}

#[derive(Deserialize)]
pub(crate) struct End {
    /// `warning`, `refresh_requested`: the app is asked for new ones. None: they are cut without a word.
    reason: Option<String>,
}

/// `POST /_local/lines`: ends all that there are; answers how many.
pub(crate) async fn end_lines(State(slack): State<Arc<Workspace>>, Json(end): Json<End>) -> Json<Value> {
    let lines: Vec<_> = slack.sockets.state.lock().lines.drain(..).collect();
    for line in &lines {
        let order = end.reason.clone().map_or(Order::Cut, Order::Renew);
        // One that ended meanwhile needs no ending.
        let _ = line.orders.send(order).await;
    }
    Json(json!({"ended": lines.len()}))
}
