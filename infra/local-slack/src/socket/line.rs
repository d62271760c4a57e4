//! One line: what is said goes out, acknowledgements come in.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::{Line, Order};
use crate::state::fresh_hex;
use crate::state::people::APP_ID;
use crate::workspace::Workspace;

/// The app has this long to go once it was asked for a new line.
const FAREWELL: Duration = Duration::from_secs(10);

impl Workspace {
    pub(super) async fn hold<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: WebSocketStream<S>) {
        let (orders, mut given) = mpsc::channel(64);
        let id = fresh_hex(8);
        let hello = json!({"type": "hello", "num_connections": self.sockets.state.lock().lines.len() + 1,
            "connection_info": {"app_id": APP_ID}, "debug_info": {"host": "local"}});
        if stream.send(Message::text(hello.to_string())).await.is_err() {
            return;
        }
        self.sockets.state.lock().lines.push_back(Line { id: id.clone(), orders });
        let mut until = None;
        loop {
            let farewell = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            let message = tokio::select! {
                () = farewell => break,
                Some(order) = given.recv() => match order {
                    Order::Say(envelope) => envelope,
                    Order::Renew(reason) => {
                        until = Some(tokio::time::Instant::now() + FAREWELL);
                        json!({"type": "disconnect", "reason": reason, "debug_info": {"host": "local"}})
                    }
                    Order::Cut => break,
                },
                heard = stream.next() => match heard {
                    Some(Ok(Message::Text(text))) => {
                        self.acknowledged(&text);
                        continue;
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => continue,
                },
            };
            if stream.send(Message::text(message.to_string())).await.is_err() {
                break;
            }
        }
        self.sockets.state.lock().lines.retain(|line| line.id != id);
    }

    fn acknowledged(&self, text: &str) {
        let Ok(mut said) = serde_json::from_str::<Value>(text) else {
            tracing::warn!("the app said what is no JSON");
            return;
        };
        let id = said["envelope_id"].as_str().unwrap_or_default();
        let waiting = self.sockets.state.lock().waiting.remove(id);
        if let Some(waiting) = waiting {
            // Whoever waited may have given up just now.
            let _ = waiting.send(said["payload"].take());
        } else {
            tracing::warn!("the app acknowledged what nobody waits for");
        }
    }
}
