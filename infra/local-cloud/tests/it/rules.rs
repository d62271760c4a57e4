//! Rules, with a web service of the test's own at the other end.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::sync::Arc;

use aws_sdk_iot::types::{Action, HttpAction, RepublishAction, TopicRuleDestinationStatus, TopicRulePayload};
use aws_sdk_iotdataplane::primitives::Blob;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::{TestCloud, eventually};

/// A web service that notes what is posted to it, and answers as told (200 when told nothing).
#[derive(Clone, Default)]
struct Hook {
    posts: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
}

impl Hook {
    async fn start() -> (Self, String) {
        let hook = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/events", post(Self::take)).with_state(hook.clone());
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        (hook, url)
    }

    fn take(State(hook): State<Self>, headers: HeaderMap, body: String) -> Ready<StatusCode> {
        let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
        hook.posts.lock().push((headers, body));
        ready(hook.answers.lock().pop_front().unwrap_or(StatusCode::OK))
    }

    /// The posts of rules (not confirmations), once there are `count`.
    async fn posts(&self, count: usize) -> Vec<(HeaderMap, Value)> {
        let rules = || {
            let posts = self.posts.lock().clone();
            posts.into_iter().filter(|(headers, _)| !headers.contains_key("x-amz-rules-engine-message-type"))
        };
        eventually("the posts arrive", || async { rules().count() >= count }).await;
        rules().collect()
    }

    async fn confirmation(&self) -> (HeaderMap, Value) {
        eventually("a confirmation is asked for", || async { !self.posts.lock().is_empty() }).await;
        self.posts.lock()[0].clone()
    }
}

async fn update(cloud: &TestCloud, thing: &str) {
    let body = json!({"state": {"desired": {"a": 1}}}).to_string();
    cloud
        .data()
        .update_thing_shadow()
        .thing_name(thing)
        .shadow_name("lan")
        .payload(Blob::new(body))
        .send()
        .await
        .unwrap();
}

/// The rule's error action has put it there.
async fn in_bucket(cloud: &TestCloud, key: &str) {
    let s3 = cloud.s3();
    eventually("the failed event is in the bucket", || async {
        s3.get_object().bucket("failed-events").key(key).send().await.is_ok()
    })
    .await;
}

async fn confirmed(flags: &[&str]) -> (TestCloud, Hook, String) {
    let (hook, url) = Hook::start().await;
    let parameter = format!("HookUrl={url}");
    let cloud = TestCloud::with(&[&["--parameter", &parameter], flags].concat()).await;
    let (_, body) = hook.confirmation().await;
    let token = body["confirmationToken"].as_str().unwrap();
    cloud.iot().confirm_topic_rule_destination().confirmation_token(token).send().await.unwrap();
    (cloud, hook, url)
}

#[tokio::test]
async fn nothing_is_posted_before_the_destination_is_confirmed() {
    let (hook, url) = Hook::start().await;
    let cloud = TestCloud::with(&["--parameter", &format!("HookUrl={url}")]).await;
    let arn = cloud.running().outputs["DestinationArn"].clone();

    let (headers, body) = hook.confirmation().await;
    assert_eq!(headers["x-amz-rules-engine-message-type"], "DestinationConfirmation");
    assert_eq!((&body["arn"], &body["messageType"]), (&json!(arn), &json!("DestinationConfirmation")));
    assert!(!headers.contains_key("x-secret"), "the rule's own header is not sent");
    update(&cloud, "early").await;
    in_bucket(&cloud, "failed/early").await;
    let token = body["confirmationToken"].as_str().unwrap();
    cloud.iot().confirm_topic_rule_destination().confirmation_token(token).send().await.unwrap();
    update(&cloud, "late").await;

    let (headers, body) = hook.posts(1).await.remove(0);
    assert_eq!(headers["x-secret"], "s3cret");
    assert_eq!((&body["thing"], &body["shadow"]), (&json!("late"), &json!("lan")));
    assert_eq!(body["current"]["state"]["desired"], json!({"a": 1}));
}

#[tokio::test]
async fn a_destination_can_be_asked_again_and_its_old_token_is_void() {
    let (cloud, hook, _) = confirmed(&[]).await;
    let (iot, arn) = (cloud.iot(), cloud.running().outputs["DestinationArn"].clone());
    let status = || async {
        let destination = iot.get_topic_rule_destination().arn(&arn).send().await.unwrap();
        destination.topic_rule_destination().unwrap().status().unwrap().clone()
    };
    assert_eq!(status().await, TopicRuleDestinationStatus::Enabled);
    let old = hook.confirmation().await.1["confirmationToken"].as_str().unwrap().to_owned();
    assert!(
        iot.confirm_topic_rule_destination().confirmation_token(&old).send().await.is_err(),
        "it serves once"
    );
    hook.posts.lock().clear();

    iot.update_topic_rule_destination()
        .arn(&arn)
        .status(TopicRuleDestinationStatus::InProgress)
        .send()
        .await
        .unwrap();

    assert_eq!(status().await, TopicRuleDestinationStatus::InProgress);
    let new = hook.confirmation().await.1["confirmationToken"].as_str().unwrap().to_owned();
    assert_ne!(old, new);
    // The page behind `enableUrl` needs no signature, only the token.
    let page = format!("http://{}/confirmdestination/{new}", cloud.running().endpoint);
    assert_eq!(reqwest::get(page).await.unwrap().status(), 200);
    assert_eq!(status().await, TopicRuleDestinationStatus::Enabled);
}

#[tokio::test]
async fn a_confirmation_that_nobody_hears_leaves_an_error() {
    let cloud = TestCloud::start().await;
    let (iot, arn) = (cloud.iot(), cloud.running().outputs["DestinationArn"].clone());
    eventually("the destination is in ERROR", || async {
        let destination = iot.get_topic_rule_destination().arn(&arn).send().await.unwrap();
        destination.topic_rule_destination().unwrap().status() == Some(&TopicRuleDestinationStatus::Error)
    })
    .await;
}

#[tokio::test]
async fn a_busy_endpoint_is_tried_three_times_and_a_refusing_one_once() {
    let (cloud, hook, _) = confirmed(&[]).await;
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    hook.answers.lock().extend([busy, StatusCode::TOO_MANY_REQUESTS]);
    update(&cloud, "tried").await;
    assert_eq!(hook.posts(3).await.len(), 3);

    hook.answers.lock().extend([busy, busy, busy]);
    update(&cloud, "given-up").await;
    hook.posts(6).await;
    hook.answers.lock().push_back(StatusCode::BAD_REQUEST);
    update(&cloud, "refused").await;
    hook.posts(7).await;
    update(&cloud, "last").await;

    let things: Vec<_> = hook.posts(8).await.iter().map(|(_, body)| body["thing"].clone()).collect();
    assert_eq!(
        things[3..],
        ["given-up", "given-up", "given-up", "refused", "last"].map(|thing| json!(thing))
    );
}

#[tokio::test]
async fn what_could_not_be_posted_is_put_into_the_bucket_as_the_rules_role() {
    // Nobody listens at the template's default address, so the destination never gets confirmed.
    let cloud = TestCloud::start().await;
    update(&cloud, "lost").await;
    in_bucket(&cloud, "failed/lost").await;
    let object = cloud.s3().get_object().bucket("failed-events").key("failed/lost").send().await.unwrap();
    let report: Value = serde_json::from_slice(&object.body.collect().await.unwrap().to_vec()).unwrap();
    assert_eq!(
        (&report["ruleName"], &report["failures"][0]["failedAction"]),
        (&json!("shadows"), &json!("HttpAction"))
    );
    assert!(report["base64OriginalPayload"].is_string());
}

#[tokio::test]
async fn a_rule_made_by_api_republishes_what_its_condition_lets_through() {
    let cloud = TestCloud::start().await;
    let device = cloud.device("one").await;
    let mut connection = cloud.connect(&device).await;
    connection.subscribe("dt/alarms/#").await;
    let republish =
        RepublishAction::builder().role_arn("arn:aws:iam::1:role/x").topic("dt/alarms/${topic(2)}").qos(1);
    let payload = TopicRulePayload::builder()
        .sql("SELECT temperature, clientid() AS who FROM 'dt/+/temperature' WHERE temperature > 30")
        .actions(Action::builder().republish(republish.build().unwrap()).build())
        .build()
        .unwrap();
    cloud.iot().create_topic_rule().rule_name("hot").topic_rule_payload(payload).send().await.unwrap();

    connection.publish("dt/one/temperature", r#"{"temperature": 20}"#).await.unwrap();
    connection.publish("dt/one/temperature", r#"{"temperature": 31, "more": 1}"#).await.unwrap();

    assert_eq!(connection.json("dt/alarms/one").await, json!({"temperature": 31, "who": "one"}));
    let listed = cloud.iot().list_topic_rules().send().await.unwrap();
    let names: Vec<_> = listed.rules().iter().map(|rule| rule.rule_name().unwrap()).collect();
    assert_eq!(names, ["hot", "shadows"]);
}

#[tokio::test]
async fn a_rule_that_cannot_be_understood_is_refused() {
    let cloud = TestCloud::start().await;
    let http = HttpAction::builder().url("http://127.0.0.1:9/x").build().unwrap();
    let payload = TopicRulePayload::builder()
        .sql("SELEKT * FROM 'x'")
        .actions(Action::builder().http(http).build())
        .build()
        .unwrap();
    let refused = cloud.iot().create_topic_rule().rule_name("bad").topic_rule_payload(payload).send().await;
    assert!(refused.unwrap_err().into_service_error().is_sql_parse_exception());
}
