//! Whoever is not Slack gets no further than the door, and leaves nothing behind.

use std::{io, sync::Arc};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Request, StatusCode},
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::{
    OLD_SECRET, SECRET, TestApp, form, interaction, now, pressed, request, sign, signed, signed_with,
    submission,
};

const PATHS: [&str; 3] = ["/commands", "/interactions", "/events"];
const SIGNATURE: &str = "x-slack-signature";
const SIGNED_AT: &str = "x-slack-request-timestamp";

fn forget(headers: &mut HeaderMap, name: &'static str) {
    headers.remove(name);
}

fn again(headers: &mut HeaderMap, name: &'static str, value: HeaderValue) {
    headers.append(name, value);
}

#[tokio::test]
async fn what_slack_did_not_sign_just_now_is_turned_away() {
    let test = TestApp::start().await;
    let body = test.command_form("UOPERATOR", "lan tenpo-0001", "t");
    let time = now().timestamp();
    let good = sign(SECRET, time, &body);
    let changed = |path: &str, name: &'static str, change: &dyn Fn(&mut HeaderMap, HeaderValue)| {
        let mut request = signed(path, &body);
        let value = request.headers()[name].clone();
        change(request.headers_mut(), value);
        request
    };
    let abuses = |path: &str| {
        let with = |signature: &str| request(path, &body, &time.to_string(), signature);
        let by_hand = |signature: &[u8]| HeaderValue::from_bytes(signature).unwrap();
        vec![
            ("unsigned", Request::post(path).body(Body::from(body.clone())).unwrap()),
            ("with another secret", signed_with(path, &body, "guess", time)),
            ("with an empty secret", signed_with(path, &body, "", time)),
            ("five minutes old", signed_with(path, &body, SECRET, time - 301)),
            ("of the future", signed_with(path, &body, SECRET, time + 301)),
            ("of the year 1970", signed_with(path, &body, SECRET, 0)),
            ("altered", request(path, &body.replace("0001", "0002"), &time.to_string(), &good)),
            ("encoded anew", request(path, &body.replace('+', "%20"), &time.to_string(), &good)),
            ("with a field more", request(path, &format!("{body}&text=help"), &time.to_string(), &good)),
            ("with a newer time", request(path, &body, &(time + 1).to_string(), &good)),
            ("with a time in words", request(path, &body, "now", &good)),
            ("with a negative time", request(path, &body, "-1", &good)),
            ("with a time of 30 digits", request(path, &body, &"9".repeat(30), &good)),
            ("with a time behind a sign", request(path, &body, &format!("+{time}"), &good)),
            ("with parts of a second", request(path, &body, &format!("{time}.0"), &good)),
            ("without a time", changed(path, SIGNED_AT, &|headers, _| forget(headers, SIGNED_AT))),
            ("at two times", changed(path, SIGNED_AT, &|headers, at| again(headers, SIGNED_AT, at))),
            ("signed twice", changed(path, SIGNATURE, &|headers, code| again(headers, SIGNATURE, code))),
            (
                "in no ASCII",
                changed(path, SIGNATURE, &|headers, _| {
                    forget(headers, SIGNATURE);
                    again(headers, SIGNATURE, by_hand(b"v0=\xe2\x91"));
                }),
            ),
            (
                "at a time in no ASCII",
                changed(path, SIGNED_AT, &|headers, _| {
                    forget(headers, SIGNED_AT);
                    again(headers, SIGNED_AT, by_hand("１７".as_bytes()));
                }),
            ),
            ("cut short", with(&good[..20])),
            ("cut by half a byte", with(&good[..good.len() - 1])),
            ("with a byte more", with(&format!("{good}00"))),
            ("with nothing in it", with("v0=")),
            ("in capitals", with(&good.to_uppercase().replace("V0", "v0"))),
            ("without its version", with(&good[3..])),
            ("of another version", with(&good.replace("v0", "v1"))),
            ("of a version in capitals", with(&good.replace("v0", "V0"))),
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
    test.send(signed("/commands", &huge)).await.assert_problem(400, "too-large");
    assert!(test.fleet.is_untouched());
}

#[tokio::test]
async fn a_body_without_an_end_is_not_waited_for() {
    let test = TestApp::start().await;
    let endless = || {
        let chunks = futures::stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 8192])));
        Body::from_stream(chunks)
    };

    for path in PATHS {
        let unsigned = Request::post(path).body(endless()).unwrap();
        assert_eq!(test.send(unsigned).await.status, StatusCode::UNAUTHORIZED);
        test.send(signed(path, "").map(|_| endless())).await.assert_problem(400, "too-large");
    }

    assert!(test.fleet.is_untouched());
}

#[tokio::test]
async fn what_is_signed_for_one_address_is_nothing_at_another() {
    let test = TestApp::start().await;
    let command = test.command_form("UOPERATOR", "lan tenpo-0001", "t");
    let act = interaction(&pressed("UOPERATOR", "status", "tenpo-0001", ""));
    let event = json!({"type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event_id": "Ev1",
        "event": {"type": "app_home_opened", "user": "UOPERATOR", "tab": "home"}});
    let event = event.to_string();

    for (path, body) in [
        ("/interactions", &command),
        ("/events", &command),
        ("/commands", &act),
        ("/events", &act),
        ("/commands", &event),
        ("/interactions", &event),
    ] {
        test.send(signed(path, body)).await.assert_problem(400, "malformed-request");
    }

    assert!(test.fleet.is_untouched());
    assert_eq!(test.slack.methods(), Vec::<String>::new());
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
    let pressed = pressed("UOPERATOR", "status", "tenpo-0001", "");
    let with = |key: &str, value: Value| {
        let mut payload = pressed.clone();
        payload[key] = value;
        interaction(&payload)
    };
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let bad = [
        ("/commands", test.command_form("UOPERATOR", "help", "t") + "&user_id=UADMIN"),
        ("/commands", json!({"text": "help", "user_id": "UOPERATOR"}).to_string()),
        ("/interactions", form(&[("payload", &pressed.to_string()), ("payload", "{}")])),
        ("/interactions", pressed.to_string()),
        ("/interactions", with("type", json!("dance"))),
        ("/interactions", with("type", json!(5))),
        ("/interactions", with("user", json!("UOPERATOR"))),
        ("/interactions", with("team", json!("T1"))),
        ("/interactions", with("actions", json!([]))),
        ("/interactions", with("actions", json!({"action_id": "status"}))),
        ("/interactions", with("actions", json!([{"action_id": "status", "value": "tenpo\u{0}-0001"}]))),
        ("/interactions", with("trigger_id", json!("\u{0}"))),
        ("/interactions", form(&[("payload", &deep)])),
        ("/interactions", form(&[("payload", "[]")])),
        ("/events", deep),
        ("/events", json!({"type": "event_callback", "event_id": "\u{0}"}).to_string()),
        ("/events", json!({"type": "event_callback", "event": "app_home_opened"}).to_string()),
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
async fn once_a_secret_is_rotated_the_old_one_opens_nothing() {
    let test = TestApp::start_with(|settings| {
        settings.signing_secrets = slack_app::settings::Settings::signing_secrets(SECRET);
    })
    .await;
    let body = test.command_form("UOPERATOR", "help", "t1");

    let old = test.send(signed_with("/commands", &body, OLD_SECRET, now().timestamp())).await;
    old.assert_problem(401, "unauthenticated");
    assert!(test.fleet.is_untouched());
    assert_eq!(test.send(signed("/commands", &body)).await.status, StatusCode::OK);
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
        form(&[("payload", &format!("{}{canary}", "[".repeat(500)))]),
        interaction(&json!({"type": canary, "user": {"id": canary}, "team": {"id": canary}})),
        json!({"type": "event_callback", "event": {"type": canary, "user": [canary, "\u{0}"]}}).to_string(),
        canary.repeat(30_000),
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
