//! Socket Mode: tickets, envelopes and their acknowledgements, and lines that end.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::support::*;

const APP_TOKEN: &str = "xapp-local-test";
const BOUND: Duration = Duration::from_mins(1);

struct Line(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Line {
    async fn hear(&mut self) -> Option<Value> {
        let heard = tokio::time::timeout(BOUND, self.0.next()).await.expect("nothing was said");
        match heard {
            Some(Ok(Message::Text(text))) => Some(serde_json::from_str(&text).unwrap()),
            _ => None,
        }
    }

    async fn acknowledge(&mut self, envelope: &Value, payload: Option<Value>) {
        let mut said = json!({"envelope_id": envelope["envelope_id"]});
        if let Some(payload) = payload {
            said["payload"] = payload;
        }
        self.0.send(Message::text(said.to_string())).await.unwrap();
    }
}

async fn address(desk: &Desk, token: &str) -> Value {
    let asked = desk.raw("apps.connections.open", Some(token), "application/json", "{}").await;
    asked.json().await.unwrap()
}

/// A workspace in Socket Mode, and the app's line.
async fn desk() -> (Desk, Line) {
    let desk = Desk::open().await;
    desk.slack.turn_socket_mode_on(APP_TOKEN.to_owned());
    let line = line(&desk).await;
    (desk, line)
}

async fn line(desk: &Desk) -> Line {
    let url = address(desk, APP_TOKEN).await["url"].as_str().unwrap().to_owned();
    let mut line = Line(connect_async(url).await.unwrap().0);
    assert_eq!(line.hear().await.unwrap()["type"], "hello");
    line
}

fn command() -> Value {
    json!({"type": "command", "command": "/desk", "text": "a b"})
}

#[tokio::test]
async fn an_address_is_given_for_the_app_level_token_and_serves_once() {
    let (desk, _line) = desk().await;

    assert_eq!(address(&desk, TOKEN).await["error"], "not_allowed_token_type");
    assert_eq!(address(&desk, "xapp-guess").await["error"], "invalid_auth");
    let url = address(&desk, APP_TOKEN).await["url"].as_str().unwrap().to_owned();
    assert!(connect_async(&url).await.is_ok());
    assert!(connect_async(&url).await.is_err(), "its ticket was used");
    assert!(connect_async(url.replace("ticket=", "ticket=x")).await.is_err());

    let stale = address(&desk, APP_TOKEN).await["url"].as_str().unwrap().to_owned();
    desk.post_local("clock", &json!({"forwardMs": 31_000})).await;
    assert!(connect_async(stale).await.is_err(), "its ticket is too old");
}

#[tokio::test]
async fn without_an_app_level_token_there_is_no_socket_mode() {
    let desk = Desk::open().await;

    assert_eq!(address(&desk, APP_TOKEN).await["error"], "not_allowed_token_type");
    desk.act(OPERATOR, command()).await;
    assert_eq!(desk.app.count(), 1, "requests go over HTTP");
}

#[tokio::test]
async fn requests_are_enveloped_and_answered_by_acknowledgements() {
    let (desk, mut line) = desk().await;

    let app = async {
        let envelope = line.hear().await.unwrap();
        assert_eq!(envelope["type"], "slash_commands");
        assert_eq!(
            (&envelope["payload"]["text"], &envelope["payload"]["user_id"]),
            (&json!("a b"), &json!(OPERATOR))
        );
        line.acknowledge(&envelope, None).await;
        let trigger = envelope["payload"]["trigger_id"].clone();
        let opened = desk.api("views.open", json!({"trigger_id": trigger, "view": modal()})).await;
        opened["view"]["id"].clone()
    };
    let (acted, view) = tokio::join!(desk.act(OPERATOR, command()), app);
    assert_eq!((&acted["status"], &acted["body"]), (&json!(200), &Value::Null));

    let submit = json!({"type": "submit", "viewId": view, "values": {"mode": "static"}});
    let app = async {
        let envelope = line.hear().await.unwrap();
        assert_eq!(
            (&envelope["type"], &envelope["accepts_response_payload"]),
            (&json!("interactive"), &json!(true))
        );
        let errors = json!({"response_action": "errors", "errors": {"address": "範囲外です"}});
        line.acknowledge(&envelope, Some(errors)).await;
    };
    tokio::join!(desk.act(OPERATOR, submit), app);
    assert_eq!(desk.screen(OPERATOR).await["views"][0]["errors"]["address"], "範囲外です");
    assert_eq!(desk.app.count(), 0, "nothing went over HTTP");
}

#[tokio::test]
async fn what_is_not_acknowledged_in_three_seconds_has_failed() {
    let (desk, mut line) = desk().await;

    let late = desk.act(OPERATOR, command()).await;
    assert_eq!(late["error"], "operation_timeout");
    assert!(late["ackMs"].as_u64().unwrap() >= 3000);
    // A word that comes too late is nobody's.
    let envelope = line.hear().await.unwrap();
    line.acknowledge(&envelope, None).await;

    drop(line);
    let ended = async {
        while desk.local("lines").await["lines"] != 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(BOUND, ended).await.expect("the line did not end");
    assert_eq!(desk.act(OPERATOR, command()).await["error"], "dispatch_failed", "nobody is there");
}

#[tokio::test]
async fn a_line_that_is_to_be_renewed_gets_nothing_any_more() {
    let (desk, mut old) = desk().await;

    assert_eq!(desk.post_local("lines", &json!({"reason": "refresh_requested"})).await["ended"], 1);
    let told = old.hear().await.unwrap();
    assert_eq!((&told["type"], &told["reason"]), (&json!("disconnect"), &json!("refresh_requested")));
    let mut new = line(&desk).await;
    let app = async {
        let envelope = new.hear().await.unwrap();
        new.acknowledge(&envelope, None).await;
        envelope
    };
    let (acted, envelope) = tokio::join!(desk.act(OPERATOR, command()), app);
    assert_eq!(acted["status"], 200);

    let again = async {
        let again = new.hear().await.unwrap();
        new.acknowledge(&again, None).await;
        again
    };
    let nothing = json!({});
    let (replayed, again) = tokio::join!(desk.post_local("replay", &nothing), again);
    assert_eq!((&replayed["status"], &again), (&json!(200), &envelope), "word for word");

    desk.post_local("lines", &json!({})).await;
    assert_eq!(new.hear().await, None, "it broke without a word");
}
