//! An app with a fake fleet and a fake Slack, and requests as Slack signs them.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use chrono::{DateTime, Utc};
use device_model::{
    change::ChangeState,
    lan::LanSettings,
    outcome::Clock,
    shadow::{Effective, ProbePolicy},
    share::ShareSettings,
};
use hmac::{Hmac, Mac};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sha2::Sha256;
use slack_app::{
    SlackApp,
    fleet::Jobs,
    model::{Approval, BoxView, ChangeStory, Health, Step},
    settings::Settings,
    web::Web,
};
use tower::ServiceExt;

use crate::{fake_fleet::FakeFleet, fake_slack::FakeSlack};

pub const SECRET: &str = "the-secret-of-today";
pub const OLD_SECRET: &str = "the-secret-of-yesterday";

pub fn now() -> DateTime<Utc> {
    "2026-11-22T05:00:00Z".parse().unwrap()
}

pub struct TestApp {
    pub app: SlackApp<FakeFleet>,
    pub fleet: FakeFleet,
    pub slack: FakeSlack,
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub kind: Option<String>,
    pub text: String,
}

impl Answer {
    /// A refusal in the one shape that all of them have.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, name: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.kind.as_deref(), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:recehub:problem:{name}"));
        assert!(problem["status"] == status && problem["title"].is_string() && problem["detail"].is_string());
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With other settings.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        // As in each of our programs' main. Another test was first: then it is done.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let slack = FakeSlack::start().await;
        let fleet = FakeFleet::default();
        fleet.with(|state| {
            state.boxes = vec![device("tenpo-0001", Some("ひまわり薬局")), device("tenpo-0002", None)];
            state.roles =
                "UOPERATOR=operator,UENGLISH=operator,UVIEWER=viewer,UAPPROVER=approver".parse().unwrap();
        });
        let mut settings = Settings {
            signing_secrets: vec![SECRET.to_owned(), OLD_SECRET.to_owned()],
            bot_token: "xoxb-test".to_owned(),
            app_token: None,
            api_url: format!("{}/api", slack.url),
            team_id: Some("T1".to_owned()),
            enterprise_id: Some("E1".to_owned()),
            app_id: Some("A1".to_owned()),
            channel_id: "COPS".to_owned(),
            channels: Vec::new(),
            map_font: None,
        };
        change(&mut settings);
        slack.set_locale("UENGLISH", "en-US");
        let web = Web::new(&settings).unwrap();
        let app = SlackApp::new(settings, fleet.clone(), web, Arc::new(now));
        Self { app, fleet, slack }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = slack_app::router(self.app.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, kind, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub async fn command(&self, user: &str, text: &str) -> Answer {
        self.send(signed("/commands", &self.command_form(user, text, "trigger-1"))).await
    }

    pub fn command_form(&self, user: &str, text: &str, trigger: &str) -> String {
        let response_url = format!("{}/response/1", self.slack.url);
        form(&[
            ("team_id", "T1"),
            ("api_app_id", "A1"),
            ("channel_id", "COPS"),
            ("user_id", user),
            ("command", "/rece"),
            ("text", text),
            ("trigger_id", trigger),
            ("response_url", &response_url),
        ])
    }

    /// Does what the worker would.
    pub async fn work(&self) {
        while let Some(job) =
            Jobs::take(&self.fleet, std::time::Duration::from_secs(1), 1).await.unwrap().pop()
        {
            slack_app::worker::work(&self.app, job).await;
        }
    }

    /// Presses a button of a message in the operators' channel, and does what the worker would.
    pub async fn press(&self, user: &str, verb: &str, about: &str) -> Answer {
        self.press_as(&pressed(user, verb, about, &format!("{}/response/1", self.slack.url))).await
    }

    pub async fn press_as(&self, payload: &Value) -> Answer {
        let answer = self.send(signed("/interactions", &interaction(payload))).await;
        self.work().await;
        answer
    }

    /// Submits the LAN modal of `tenpo-0001` and then what it is answered with.
    pub async fn register(&self, user: &str, values: &[(&str, &str)]) -> Value {
        let answer = self.submit(user, values).await.json();
        assert_eq!(answer["response_action"], "push", "{answer}");
        self.confirm(user, &answer["view"], &[]).await
    }

    /// Submits a view as it was shown.
    pub async fn confirm(&self, user: &str, view: &Value, values: &[(&str, &str)]) -> Value {
        let mut payload = submission(user, "", values);
        payload["view"]["id"] = json!("V2");
        payload["view"]["callback_id"] = view["callback_id"].clone();
        payload["view"]["private_metadata"] = view["private_metadata"].clone();
        self.send(signed("/interactions", &interaction(&payload))).await.json()
    }

    /// The view that the app last put up in a modal.
    pub fn shown(&self) -> Value {
        self.slack.calls("views.update").pop().expect("no modal was filled")["view"].clone()
    }

    /// Submits the LAN modal of `tenpo-0001`.
    pub async fn submit(&self, user: &str, values: &[(&str, &str)]) -> Answer {
        self.send(signed("/interactions", &interaction(&submission(user, "tenpo-0001", values)))).await
    }
}

pub fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

pub fn interaction(payload: &Value) -> String {
    form(&[("payload", &payload.to_string())])
}

pub fn submission(user: &str, thing: &str, values: &[(&str, &str)]) -> Value {
    let input = |name: &str, value: &str| match name {
        "mode" | "when" | "hours" => json!({"type": "static_select", "selected_option": {"value": value}}),
        "start" => json!({"type": "datetimepicker", "selected_date_time": value.parse::<i64>().unwrap()}),
        _ => json!({"type": "plain_text_input", "value": value}),
    };
    let values: Value = values
        .iter()
        .map(|&(name, value)| (name.to_owned(), json!({name: input(name, value)})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!({"type": "view_submission", "team": {"id": "T1"}, "user": {"id": user, "team_id": "T1"},
        "api_app_id": "A1", "trigger_id": "trigger-2",
        "view": {"id": "V1", "hash": "h1", "callback_id": "lan", "state": {"values": values},
            "private_metadata": json!({"thing": thing}).to_string()}})
}

/// A button pressed in a message.
pub fn pressed(user: &str, verb: &str, about: &str, response_url: &str) -> Value {
    use std::sync::atomic::{AtomicU32, Ordering};
    static TRIGGERS: AtomicU32 = AtomicU32::new(0);
    let trigger = format!("press-{}", TRIGGERS.fetch_add(1, Ordering::Relaxed));
    json!({"type": "block_actions", "team": {"id": "T1"}, "user": {"id": user, "team_id": "T1"},
        "api_app_id": "A1", "trigger_id": trigger, "channel": {"id": "COPS"}, "response_url": response_url,
        "message": {"ts": "1.1", "blocks": [{"type": "section", "block_id": "change:01JCHANGE"}]},
        "actions": [{"type": "button", "action_id": verb, "block_id": "b", "value": about}]})
}

/// The words of a view or an answer, whatever blocks they stand in.
pub fn words(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let own = map.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
            map.values().fold(own, |all, part| all + &words(part))
        }
        Value::Array(parts) => parts.iter().map(words).collect(),
        _ => String::new(),
    }
}

pub fn signed(path: &str, body: &str) -> Request<Body> {
    signed_with(path, body, SECRET, now().timestamp())
}

pub fn signed_with(path: &str, body: &str, secret: &str, timestamp: i64) -> Request<Body> {
    request(path, body, &timestamp.to_string(), &sign(secret, timestamp, body))
}

pub fn request(path: &str, body: &str, timestamp: &str, signature: &str) -> Request<Body> {
    Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-slack-request-timestamp", timestamp)
        .header("x-slack-signature", signature)
        .body(Body::from(body.to_owned()))
        .unwrap()
}

pub fn sign(secret: &str, timestamp: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("v0:{timestamp}:{body}").as_bytes());
    format!("v0={}", hex::encode(mac.finalize().into_bytes()))
}

pub fn lan(value: Value) -> LanSettings {
    serde_json::from_value(value).unwrap()
}

pub fn device(thing: &str, pharmacy: Option<&str>) -> BoxView {
    BoxView {
        thing: thing.parse().unwrap(),
        pharmacy: pharmacy.map(str::to_owned),
        pharmacy_code: None,
        tags: Vec::new(),
        lan: Some(lan(json!({"mode": "static", "address": "192.168.10.9/24", "gateway": "192.168.10.1",
            "dns": ["192.168.10.1"], "mtu": 1400, "routes": [{"to": "192.168.20.0/24", "via": "192.168.10.2"}]}))),
        share: Some(ShareSettings {
            name: "rx".to_owned(),
            user: "rece".to_owned(),
            workgroup: "WORKGROUP".to_owned(),
            password_sealed: Some("c2VhbGVk".to_owned()),
        }),
        probe: ProbePolicy::default(),
        effective: Some(Effective {
            address: Some("192.168.10.9/24".to_owned()),
            source: "static".to_owned(),
        }),
        open_change: None,
        online: Some(true),
        seen_at: Some(now()),
        drift_since: None,
        health: Some(Health {
            last_upload_at: Some(now()),
            certificate_issued_at: Some(now()),
            ..Health::default()
        }),
    }
}

/// A change that has come as far as `state`.
pub fn story(state: ChangeState) -> ChangeStory {
    let step = |state, second: &str, by_box: bool| Step {
        state,
        at: format!("2026-11-22T05:00:{second}Z").parse().unwrap(),
        device_at: by_box.then(|| format!("2026-11-22T04:59:{second}Z").parse().unwrap()),
        clock: by_box.then_some(Clock::Synced),
        code: None,
        detail: None,
    };
    let mut steps = vec![step(ChangeState::Queued, "01", false)];
    if state != ChangeState::Queued {
        steps.push(step(ChangeState::Sent, "02", false));
    }
    if state == ChangeState::Trying || state.is_terminal() {
        steps.push(step(ChangeState::Trying, "03", true));
    }
    if state.is_terminal() {
        steps.push(step(state, "09", true));
    }
    ChangeStory {
        change_id: "01JCHANGE".parse().unwrap(),
        thing: "tenpo-0001".parse().unwrap(),
        pharmacy: Some("ひまわり薬局 <本店>".to_owned()),
        state,
        approval: Approval::NotNeeded,
        withdrawing: None,
        online: Some(true),
        requested_by: "slack:UOPERATOR".to_owned(),
        requested_at: now(),
        reason: "ルーター交換 <!channel>".to_owned(),
        ticket: Some("R-100".to_owned()),
        before: Some(LanSettings::dhcp()),
        after: lan(json!({"mode": "static", "address": "192.168.10.9/24", "gateway": "192.168.10.1"})),
        share: None,
        window: None,
        steps,
        sight: None,
    }
}
