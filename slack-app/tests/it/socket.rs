//! Slack's requests over lines that the app opened: the same answers as over HTTP, through whatever befalls a line.

use std::{io, sync::Arc, time::Duration};

use device_model::change::ChangeState;
use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};
use tokio_util::sync::CancellationToken;

use crate::{
    fake_slack::Answer,
    support::{TestApp, pressed, story, submission},
};

const BOUND: Duration = Duration::from_secs(20);
const TICKET: &str = "ticket-canary";

/// An app that is asked over its lines, and Slack's end of them.
struct Desk {
    test: TestApp,
    listener: TcpListener,
    stop: CancellationToken,
    running: JoinSet<()>,
}

struct Line(WebSocketStream<TcpStream>);

impl Desk {
    async fn open() -> (Self, Line) {
        let test = TestApp::start_with(|settings| settings.app_token = Some("xapp-test".to_owned())).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/link?ticket={TICKET}", listener.local_addr().unwrap());
        for _ in 0..16 {
            let answer = Answer::Json(json!({"ok": true, "url": url}));
            test.slack.next("apps.connections.open", answer);
        }
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(slack_app::socket::run(test.app.clone(), stop.clone()));
        let mut desk = Self { test, listener, stop, running };
        let line = desk.line().await;
        (desk, line)
    }

    /// The next line that the app opens.
    async fn line(&mut self) -> Line {
        let opened = async {
            let (stream, _) = self.listener.accept().await.unwrap();
            accept_async(stream).await.unwrap()
        };
        let mut line = Line(tokio::time::timeout(BOUND, opened).await.expect("no line was opened"));
        line.say(&json!({"type": "hello", "num_connections": 1})).await;
        line
    }

    /// Stops the app, which ends in time.
    async fn stop(mut self) -> TestApp {
        self.stop.cancel();
        tokio::time::timeout(BOUND, self.running.join_next()).await.expect("it does not stop");
        self.test
    }
}

impl Line {
    async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn ask(&mut self, id: &str, kind: &str, payload: &Value) {
        self.say(
            &json!({"envelope_id": id, "type": kind, "payload": payload, "accepts_response_payload": true}),
        )
        .await;
    }

    /// The next acknowledgement; None: the app ended the line.
    async fn hear(&mut self) -> Option<Value> {
        let heard = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                }
            }
        };
        tokio::time::timeout(BOUND, heard).await.expect("nothing was said")
    }

    async fn answered(&mut self, id: &str, kind: &str, payload: &Value) -> Value {
        self.ask(id, kind, payload).await;
        self.hear().await.expect("the line ended")
    }
}

fn command(desk: &TestApp, text: &str, trigger: &str) -> Value {
    json!({"team_id": "T1", "api_app_id": "A1", "channel_id": "COPS", "user_id": "UOPERATOR", "command": "/rece",
        "text": text, "trigger_id": trigger, "response_url": format!("{}/response/1", desk.slack.url)})
}

#[tokio::test]
async fn whatever_comes_over_a_line_is_answered_as_over_http() {
    let (desk, mut line) = Desk::open().await;
    let test = &desk.test;
    test.fleet.with(|state| state.stories = vec![story(ChangeState::Applied)]);

    let told = line.answered("e1", "slash_commands", &command(test, "lan tenpo-0001", "t1")).await;
    test.work().await;
    assert_eq!(told, json!({"envelope_id": "e1"}));
    assert_eq!(test.shown()["callback_id"], "lan");

    let asked = json!({"type": "block_suggestion", "team": {"id": "T1"}, "user": {"id": "UVIEWER"},
        "api_app_id": "A1", "action_id": "choose", "block_id": "b", "value": "ひまわり"});
    let found = line.answered("e2", "interactive", &asked).await;
    assert_eq!(
        (&found["envelope_id"], &found["payload"]["options"][0]["value"]),
        (&json!("e2"), &json!("tenpo-0001"))
    );

    let bad = submission("UOPERATOR", "tenpo-0001", &[("mode", "static"), ("address", "x"), ("mask", "24")]);
    let errors = line.answered("e3", "interactive", &bad).await;
    assert_eq!(errors["payload"]["response_action"], "errors", "{errors}");
    assert_eq!(errors["payload"]["errors"]["reason"], "入力してください。");

    let press = pressed("UOPERATOR", "cancel", "01JCHANGE", &format!("{}/response/1", test.slack.url));
    assert_eq!(line.answered("e4", "interactive", &press).await, json!({"envelope_id": "e4"}));
    test.work().await;
    test.fleet.with(|state| assert_eq!(state.decided, ["cancel 01JCHANGE by UOPERATOR"]));

    let opened = json!({"type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event_id": "Ev1",
        "event": {"type": "app_home_opened", "user": "UVIEWER", "tab": "home"}});
    assert_eq!(line.answered("e5", "events_api", &opened).await, json!({"envelope_id": "e5"}));
    test.work().await;
    assert_eq!(test.slack.calls("views.publish").len(), 1);
    desk.stop().await;
}

#[tokio::test]
async fn a_request_that_comes_again_over_another_line_is_done_once() {
    let (mut desk, mut line) = Desk::open().await;
    let mut other = desk.line().await;
    let command = command(&desk.test, "help", "t1");

    line.answered("e1", "slash_commands", &command).await;
    let again = other.answered("e1", "slash_commands", &command).await;

    assert_eq!(again, json!({"envelope_id": "e1"}), "Slack need not send it a third time");
    assert_eq!(desk.stop().await.fleet.with(|state| state.job_keys.len()), 1);
}

#[tokio::test]
async fn what_is_not_taken_over_http_is_not_acknowledged_here() {
    let (desk, mut line) = Desk::open().await;
    let mut foreign_team = command(&desk.test, "lan tenpo-0001", "t1");
    foreign_team["team_id"] = json!("T9");
    let mut foreign_app = pressed("UOPERATOR", "cancel", "01JCHANGE", "");
    foreign_app["api_app_id"] = json!("A9");
    let mut foreign_event = json!({"type": "event_callback", "team_id": "T1", "enterprise_id": "E9", "event_id": "E",
        "event": {"type": "app_home_opened", "user": "UVIEWER", "tab": "home"}});

    line.ask("team", "slash_commands", &foreign_team).await;
    line.ask("app", "interactive", &foreign_app).await;
    line.ask("organisation", "events_api", &foreign_event).await;
    line.ask("controls", "slash_commands", &command(&desk.test, "lan \u{1b}[2J", "t2")).await;
    line.ask("unreadable", "interactive", &json!([])).await;
    line.say(&json!({"type": "something_new", "envelope_id": "new"})).await;
    line.0.send(Message::text("no JSON")).await.unwrap();
    assert!(desk.test.fleet.is_untouched());

    desk.test.fleet.with(|state| state.down = true);
    line.ask("down", "slash_commands", &command(&desk.test, "help", "t3")).await;
    foreign_event["enterprise_id"] = json!("E1");
    foreign_event["event"]["type"] = json!("team_join");
    let first = line.answered("good", "events_api", &foreign_event).await;

    assert_eq!(first["envelope_id"], "good", "nothing before it was acknowledged");
    assert!(desk.stop().await.fleet.is_untouched());
}

#[tokio::test]
async fn a_line_that_slack_takes_away_is_replaced_and_what_was_asked_on_it_is_answered() {
    let (mut desk, mut line) = Desk::open().await;
    let _other = desk.line().await;

    line.ask("e1", "slash_commands", &command(&desk.test, "help", "t1")).await;
    line.say(&json!({"type": "disconnect", "reason": "refresh_requested"})).await;

    assert_eq!(line.hear().await, Some(json!({"envelope_id": "e1"})));
    assert_eq!(line.hear().await, None, "the app ends the old line");
    let mut third = desk.line().await;
    assert_eq!(third.answered("e2", "events_api", &json!({"type": "x"})).await["envelope_id"], "e2");
    desk.stop().await;
}

#[tokio::test]
async fn a_line_that_breaks_is_opened_again_and_stopping_ends_them_all() {
    let (mut desk, line) = Desk::open().await;
    drop(line);
    drop(desk.line().await);

    let (mut third, mut fourth) = (desk.line().await, desk.line().await);
    desk.stop().await;

    assert_eq!((third.hear().await, fourth.hear().await), (None, None));
}

#[tokio::test]
async fn an_address_that_is_a_key_stands_in_no_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let subscriber = subscriber.with_writer(move || writer.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let test = TestApp::start_with(|settings| settings.app_token = Some("xapp-canary".to_owned())).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("ws://{}/link?ticket={TICKET}", listener.local_addr().unwrap());
    drop(listener);
    let opened = |url: &str| Answer::Json(json!({"ok": true, "url": url}));
    test.slack.refuse_next("apps.connections.open", "invalid_auth");
    test.slack.next("apps.connections.open", opened(&closed));
    for _ in 0..8 {
        test.slack.next("apps.connections.open", opened(&format!("http://127.0.0.1:1/link?ticket={TICKET}")));
    }

    let stop = CancellationToken::new();
    let (running, stopped) = (slack_app::socket::run(test.app.clone(), stop.clone()), async {
        test.slack.called("apps.connections.open", 3).await;
        log.holds("there is no line to Slack").await;
        log.holds("Slack gives us no line").await;
        log.holds("not safe to use").await;
        stop.cancel();
    });
    tokio::join!(running, stopped);

    let log = log.text();
    assert!(!log.contains(TICKET) && !log.contains("xapp-canary"), "{log}");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }

    async fn holds(&self, text: &str) {
        let told = async {
            while !self.text().contains(text) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(BOUND, told)
            .await
            .unwrap_or_else(|_| panic!("`{text}` is not in: {}", self.text()));
    }
}

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
