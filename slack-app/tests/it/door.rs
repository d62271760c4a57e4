//! Whoever is not Slack gets no further than the door, and leaves nothing behind.

use std::{io, sync::Arc};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use parking_lot::Mutex;
use serde_json::json;

use crate::support::{
    OLD_SECRET, SECRET, TestApp, form, interaction, now, request, sign, signed, signed_with, submission,
};

const PATHS: [&str; 3] = ["/commands", "/interactions", "/events"];

#[tokio::test]
async fn what_slack_did_not_sign_just_now_is_turned_away() {
    let test = TestApp::start().await;
    let body = test.command_form("UOPERATOR", "lan tenpo-0001", "t");
    let time = now().timestamp();
    let good = sign(SECRET, time, &body);
    let abuses = |path: &str| {
        vec![
            ("unsigned", Request::post(path).body(Body::from(body.clone())).unwrap()),
            ("with another secret", signed_with(path, &body, "guess", time)),
            ("with an empty secret", signed_with(path, &body, "", time)),
            ("five minutes old", signed_with(path, &body, SECRET, time - 301)),
            ("of the future", signed_with(path, &body, SECRET, time + 301)),
            ("altered", request(path, &body.replace("0001", "0002"), &time.to_string(), &good)),
            ("with a newer time", request(path, &body, &(time + 1).to_string(), &good)),
            ("with a time in words", request(path, &body, "now", &good)),
            ("with a negative time", request(path, &body, "-1", &good)),
            ("cut short", request(path, &body, &time.to_string(), &good[..20])),
            ("without its version", request(path, &body, &time.to_string(), &good[3..])),
            ("empty", request(path, "", &time.to_string(), &good)),
        ]
    };

    for path in PATHS {
        for (abuse, request) in abuses(path) {
            let answer = test.send(request).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{abuse} at {path}");
            answer.assert_problem(401, "unauthenticated");
        }
    }

    assert!(test.fleet.is_untouched());
    assert_eq!(test.slack.methods(), Vec::<String>::new());
}

#[tokio::test]
async fn a_huge_body_is_not_read_to_its_end() {
    let test = TestApp::start().await;
    let huge = form(&[("text", &"x".repeat(300 * 1024))]);
    let unsigned = Request::post("/commands").body(Body::from(huge.clone())).unwrap();

    assert_eq!(test.send(unsigned).await.status, StatusCode::UNAUTHORIZED);
    test.send(signed("/commands", &huge)).await.assert_problem(413, "too-large");
    assert!(test.fleet.is_untouched());
}

#[tokio::test]
async fn another_method_or_address_is_told_as_every_refusal_is() {
    let test = TestApp::start().await;

    for path in PATHS {
        test.send(Request::get(path).body(Body::empty()).unwrap()).await.assert_problem(405, "wrong-method");
    }
    test.send(signed("/nothing", "")).await.assert_problem(404, "unknown-route");
}

#[tokio::test]
async fn control_characters_do_not_get_in() {
    let test = TestApp::start().await;

    for text in ["lan \0", "\u{1b}[2J", "status \u{7f}"] {
        let answer = test.command("UOPERATOR", text).await;
        answer.assert_problem(400, "malformed-request");
    }

    assert!(test.fleet.is_untouched());
}

#[tokio::test]
async fn what_cannot_be_read_is_a_bad_request() {
    let test = TestApp::start().await;
    let not_metadata = {
        let mut payload = submission("UOPERATOR", "tenpo-0001", &[]);
        payload["view"]["private_metadata"] = json!("{\"thing\":\"no such name/\"}");
        interaction(&payload)
    };
    let bad = [
        ("/commands", String::new()),
        ("/commands", "text=lan".to_owned()),
        ("/commands", "{\"text\":1}".to_owned()),
        ("/interactions", "nothing=here".to_owned()),
        ("/interactions", "payload=%7Bnot+json".to_owned()),
        ("/interactions", "payload=null".to_owned()),
        ("/interactions", interaction(&json!({"type": "view_submission"}))),
        ("/interactions", interaction(&json!({"type": "view_submission", "user": {"id": "UOPERATOR"}}))),
        ("/interactions", not_metadata),
        ("/events", "{".to_owned()),
        ("/events", "[]".to_owned()),
        ("/events", json!({"type": "url_verification"}).to_string()),
    ];

    for (path, body) in bad {
        let answer = test.send(signed(path, &body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {body}");
        answer.assert_problem(400, "malformed-request");
    }

    assert!(test.fleet.is_untouched());
}

#[tokio::test]
async fn another_workspace_or_app_is_a_stranger() {
    let test = TestApp::start().await;
    let command = test.command_form("UOPERATOR", "help", "t");
    let mut other_team = submission("UOPERATOR", "tenpo-0001", &[]);
    other_team["team"]["id"] = json!("T2");
    let event = json!({"type": "event_callback", "team_id": "T1", "api_app_id": "A2"});

    for (path, body) in [
        ("/commands", command.replace("team_id=T1", "team_id=T2")),
        ("/commands", command.replace("A1", "A2")),
        ("/interactions", interaction(&other_team)),
        ("/events", event.to_string()),
    ] {
        let answer = test.send(signed(path, &body)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{body}");
    }

    assert!(test.fleet.is_untouched());
}

#[tokio::test]
async fn an_app_of_a_whole_organisation_has_no_team() {
    let test = TestApp::start().await;
    let mut payload = submission("UOPERATOR", "tenpo-0001", &[("mode", "dhcp"), ("reason", "x")]);
    payload["team"] = json!(null);
    payload["user"]["team_id"] = json!(null);

    let answer = test.send(signed("/interactions", &interaction(&payload))).await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["response_action"], "push", "{}", answer.text);
}

#[tokio::test]
async fn both_secrets_serve_while_one_takes_the_others_place() {
    let test = TestApp::start().await;

    for (secret, trigger) in [(SECRET, "t1"), (OLD_SECRET, "t2")] {
        let body = test.command_form("UOPERATOR", "help", trigger);
        let answer = test.send(signed_with("/commands", &body, secret, now().timestamp())).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn slacks_own_checks_are_answered() {
    let test = TestApp::start().await;
    let ssl = form(&[("ssl_check", "1"), ("token", "x")]);
    let url = json!({"type": "url_verification", "token": "x", "challenge": "say this"});

    assert_eq!(test.send(signed("/commands", &ssl)).await.status, StatusCode::OK);
    assert_eq!(test.send(signed("/interactions", &ssl)).await.status, StatusCode::OK);
    let answer = test.send(signed("/events", &url.to_string())).await;
    assert_eq!(answer.json(), json!({"challenge": "say this"}));
    assert!(test.fleet.is_untouched());
}

#[tokio::test]
async fn no_payload_is_ever_logged() {
    let (log, writer) = log();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(writer);
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let test = TestApp::start().await;
    let canary = "canary-0815";
    let bodies = [
        test.command_form("UOPERATOR", canary, "t"),
        interaction(&submission("UOPERATOR", "tenpo-0001", &[("mode", canary), ("reason", canary)])),
        format!("payload={canary}"),
    ];

    for body in &bodies {
        for path in PATHS {
            test.send(signed(path, body)).await;
            test.send(signed_with(path, body, "guess", now().timestamp())).await;
        }
    }
    test.fleet.with(|state| state.down = true);
    test.send(signed("/commands", &bodies[0].replace("trigger_id=t", "trigger_id=t2"))).await;
    test.work().await;

    let log = String::from_utf8(log.lock().clone()).unwrap();
    assert!(log.contains("turned away"), "{log}");
    assert!(!log.contains(canary), "{log}");
    assert!(!log.contains("xoxb-test") && !log.contains(SECRET), "{log}");
}

type Log = Arc<Mutex<Vec<u8>>>;

fn log() -> (Log, impl Fn() -> LogWriter + Send + Sync) {
    let log = Log::default();
    let writer = LogWriter(Arc::clone(&log));
    (log, move || writer.clone())
}

#[derive(Clone)]
struct LogWriter(Log);

impl io::Write for LogWriter {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
