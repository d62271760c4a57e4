//! Sends requests to the app the way Slack does: signed, form or JSON, with three seconds to answer.

use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use serde::Serialize;
use serde_json::Value;
use sha2::Sha256;

use crate::workspace::Workspace;

/// What the app says to a request itself stands among what it sent under this name.
const ANSWER: &str = "answer";
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// What the app answered, and how fast.
#[derive(Debug, Clone, Serialize)]
pub struct Ack {
    #[serde(rename = "ackMs")]
    pub took_ms: u64,
    /// 0 when nothing came.
    pub status: u16,
    /// JSON when it is some, else text, null when empty.
    pub body: Value,
    /// Slack's word for the failure: `operation_timeout`, `dispatch_failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Ack {
    pub fn is_empty(&self) -> bool {
        matches!(&self.body, Value::Null) || self.body.as_object().is_some_and(serde_json::Map::is_empty)
    }
}

/// A request to the app, as it went over the wire.
#[derive(Debug, Clone)]
pub struct Delivery {
    path: &'static str,
    content_type: &'static str,
    timestamp: String,
    signature: String,
    body: String,
}

/// `v0=` and the hex HMAC-SHA256 of `v0:timestamp:body`.
pub fn sign(secret: &str, timestamp: &str, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        unreachable!("HMAC takes a key of any length")
    };
    mac.update(format!("v0:{timestamp}:{body}").as_bytes());
    format!("v0={}", hex::encode(mac.finalize().into_bytes()))
}

impl Workspace {
    /// A slash command: form fields.
    pub async fn deliver_command(&self, fields: &[(&str, &str)]) -> Ack {
        if self.sockets.are_on() {
            let fields: serde_json::Map<_, _> =
                fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
            return self.envelop("slash_commands", &fields.into()).await;
        }
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.deliver("/slack/commands", "application/x-www-form-urlencoded", body).await
    }

    /// An interaction: one form field `payload` with JSON in it.
    pub async fn deliver_interaction(&self, payload: &Value) -> Ack {
        if self.sockets.are_on() {
            return self.envelop("interactive", payload).await;
        }
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("payload", &payload.to_string())
            .finish();
        self.deliver("/slack/interactions", "application/x-www-form-urlencoded", body).await
    }

    /// An event: JSON.
    pub async fn deliver_event(&self, event: &Value) -> Ack {
        if self.sockets.are_on() {
            return self.envelop("events_api", event).await;
        }
        self.deliver("/slack/events", "application/json", event.to_string()).await
    }

    /// The last request once more, byte for byte: what a replay looks like to the app.
    pub async fn replay(&self) -> Option<Ack> {
        if self.sockets.are_on() {
            return self.envelop_again().await;
        }
        let last = self.last_delivery.lock().clone()?;
        Some(self.send(&last).await)
    }

    async fn deliver(&self, path: &'static str, content_type: &'static str, body: String) -> Ack {
        let timestamp = self.now().as_secs().to_string();
        let signature = sign(&self.settings.signing_secret, &timestamp, &body);
        let delivery = Delivery { path, content_type, timestamp, signature, body };
        *self.last_delivery.lock() = Some(delivery.clone());
        self.send(&delivery).await
    }

    /// What the app says to a request itself is remembered too.
    pub(crate) fn note_answer(&self, status: u16, body: &Value) {
        if body.is_null() {
            return;
        }
        let told = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        let mut came = self.came(ANSWER, "", told.as_bytes());
        came.call.status = status;
        came.note(self);
    }

    async fn send(&self, delivery: &Delivery) -> Ack {
        let started = Instant::now();
        let request = self
            .http
            .post(format!("{}{}", self.settings.app_url.trim_end_matches('/'), delivery.path))
            .header("content-type", delivery.content_type)
            .header("x-slack-request-timestamp", &delivery.timestamp)
            .header("x-slack-signature", &delivery.signature)
            .header("accept", "application/json,*/*")
            .body(delivery.body.clone());
        let answered = tokio::time::timeout(PATIENCE, async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok::<_, reqwest::Error>((status, response.text().await?))
        })
        .await;
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (status, body, error) = match answered {
            Err(_) => (0, Value::Null, Some("operation_timeout")),
            Ok(Err(_)) => (0, Value::Null, Some("dispatch_failed")),
            Ok(Ok((status, body))) => {
                let error = if (200..300).contains(&status) { None } else { Some("dispatch_failed") };
                (status, read_body(body), error)
            }
        };
        self.note_answer(status, &body);
        if let Some(error) = error {
            tracing::warn!(
                path = delivery.path,
                status,
                duration_ms = took_ms,
                "the app did not take a request: {error}"
            );
        }
        Ack { took_ms, status, body, error: error.map(str::to_owned) }
    }
}

fn read_body(body: String) -> Value {
    match serde_json::from_str(&body) {
        Ok(value) => value,
        Err(_) if body.trim().is_empty() => Value::Null,
        Err(_) => Value::String(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_signed_as_in_slacks_own_example() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
                    &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
                    &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
                    &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

        let signature = sign("8f742231b10e8888abcd99yyyzzz85a5", "1531420618", body);

        assert_eq!(signature, "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503");
    }
}
