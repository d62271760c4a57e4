//! Rules, with a web service of the test's own at the other end.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::sync::Arc;

use aws_sdk_iot::types::{Action, HttpAction, RepublishAction, TopicRuleDestinationStatus, TopicRulePayload};
use aws_sdk_iotdataplane::primitives::Blob;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
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
    body: Arc<Mutex<String>>,
    /// Whether it ends the connection after each answer.
    closes: Arc<Mutex<bool>>,
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

    fn take(State(hook): State<Self>, headers: HeaderMap, body: String) -> Ready<Response> {
        let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
        hook.posts.lock().push((headers, body));
        let status = hook.answers.lock().pop_front().unwrap_or(StatusCode::OK);
        let connection = if *hook.closes.lock() { "close" } else { "keep-alive" };
        ready((status, [("connection", connection)], hook.body.lock().clone()).into_response())
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

/// Confirms by API and then enables, as AWS wants it.
async fn accept(cloud: &TestCloud, token: &str) {
    let (iot, arn) = (cloud.iot(), cloud.running().outputs["DestinationArn"].clone());
    iot.confirm_topic_rule_destination().confirmation_token(token).send().await.unwrap();
    assert_eq!(status(cloud).await, TopicRuleDestinationStatus::Disabled);
    let enabled = TopicRuleDestinationStatus::Enabled;
    iot.update_topic_rule_destination().arn(arn).status(enabled).send().await.unwrap();
}

async fn status(cloud: &TestCloud) -> TopicRuleDestinationStatus {
    let arn = &cloud.running().outputs["DestinationArn"];
    let found = cloud.iot().get_topic_rule_destination().arn(arn).send().await.unwrap();
    found.topic_rule_destination().unwrap().status().unwrap().clone()
}

async fn confirmed(flags: &[&str]) -> (TestCloud, Hook, String) {
    let (hook, url) = Hook::start().await;
    let parameter = format!("HookUrl={url}");
    let cloud = TestCloud::with(&[&["--parameter", &parameter], flags].concat()).await;
    let (_, body) = hook.confirmation().await;
    accept(&cloud, body["confirmationToken"].as_str().unwrap()).await;
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
    accept(&cloud, body["confirmationToken"].as_str().unwrap()).await;
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
    assert_eq!(status(&cloud).await, TopicRuleDestinationStatus::Enabled);
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

    assert_eq!(status(&cloud).await, TopicRuleDestinationStatus::InProgress);
    let new = hook.confirmation().await.1["confirmationToken"].as_str().unwrap().to_owned();
    assert_ne!(old, new);
    // The page behind `enableUrl` needs no signature, only the token.
    let page = format!("http://{}/confirmdestination/{new}", cloud.running().endpoint);
    assert_eq!(reqwest::get(page).await.unwrap().status(), 200);
    assert_eq!(status(&cloud).await, TopicRuleDestinationStatus::Enabled);
}

#[tokio::test]
async fn a_confirmation_that_nobody_hears_leaves_an_error() {
    let cloud = TestCloud::start().await;
    eventually("the destination is in ERROR", || async {
        status(&cloud).await == TopicRuleDestinationStatus::Error
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
    assert_eq!(report["failures"][0]["failedResource"], "http://127.0.0.1:9/events");
    assert!(report["base64OriginalPayload"].is_string());
}

/// A rule by API, from SQL and actions in the API's own JSON.
async fn create(
    cloud: &TestCloud,
    name: &str,
    sql: &str,
    actions: Vec<Action>,
    error_action: Option<Action>,
) {
    let payload = TopicRulePayload::builder().sql(sql).set_actions(Some(actions));
    let payload = payload.set_error_action(error_action).build().unwrap();
    let create = cloud.iot().create_topic_rule().rule_name(name).topic_rule_payload(payload);
    Box::pin(create.send()).await.unwrap();
}

fn republish(role: &str, topic: &str) -> Action {
    let role = format!("arn:aws:iam::123456789012:role/{role}");
    let republish = RepublishAction::builder().role_arn(role).topic(topic).qos(1).build().unwrap();
    Action::builder().republish(republish).build()
}

fn post_to(url: &str) -> Action {
    Action::builder().http(HttpAction::builder().url(url).build().unwrap()).build()
}

#[tokio::test]
async fn all_that_failed_for_a_message_is_told_in_one_report() {
    let cloud = TestCloud::start().await;
    let mut connection = cloud.connect(&cloud.device("one").await).await;
    connection.subscribe("dt/republished/#").await;
    let actions = vec![
        post_to("http://127.0.0.1:9/x"),
        // Neither may this role publish there, nor may the engine take on that one.
        republish("republish", "elsewhere"),
        republish("reader", "dt/republished/2"),
        republish("republish", "dt/republished/3"),
    ];
    let report = republish("republish", "dt/republished/failures");
    create(&cloud, "failing", "SELECT * FROM 'dt/in'", actions, Some(report)).await;

    connection.publish("dt/in", "{}").await.unwrap();

    assert_eq!(connection.json("dt/republished/3").await, json!({}));
    let report = connection.json("dt/republished/failures").await;
    let failed: Vec<_> = report["failures"].as_array().unwrap().iter().collect();
    let resources: Vec<_> = failed.iter().map(|it| it["failedResource"].as_str().unwrap()).collect();
    assert_eq!(resources, ["http://127.0.0.1:9/x", "elsewhere", "dt/republished/2"]);
    assert_eq!((&report["clientId"], &report["topic"]), (&json!("one"), &json!("dt/in")));
    assert!(connection.nothing_on("dt/republished/2").await);
    assert!(connection.nothing_on("dt/republished/failures").await);
}

#[tokio::test]
async fn a_reserved_topic_is_republished_to_only_when_written_with_two_dollars() {
    let cloud = TestCloud::start().await;
    let mut connection = cloud.connect(&cloud.device("one").await).await;
    let topic = "$aws/things/one/shadow/name/made/update";
    let failed = Some(republish("republish", "dt/republished/failures"));
    create(&cloud, "bare", "SELECT * FROM 'dt/bare'", vec![republish("republish", topic)], failed).await;
    let doubled = vec![republish("republish", &format!("${topic}"))];
    create(&cloud, "doubled", "SELECT * FROM 'dt/doubled'", doubled, None).await;
    connection.subscribe("dt/republished/#").await;
    connection.subscribe("$aws/things/one/shadow/name/made/update/accepted").await;

    connection.publish("dt/bare", r#"{"state":{"reported":{"a":1}}}"#).await.unwrap();
    connection.message("dt/republished/failures").await;
    connection.publish("dt/doubled", r#"{"state":{"reported":{"a":2}}}"#).await.unwrap();

    let accepted = connection.json("$aws/things/one/shadow/name/made/update/accepted").await;
    assert_eq!((&accepted["version"], &accepted["state"]["reported"]["a"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn a_rule_that_posts_brings_its_destination_along() {
    let (hook, url) = Hook::start().await;
    let cloud = TestCloud::start().await;
    let url = format!("{url}/events");
    create(&cloud, "posting", "SELECT * FROM 'dt/in'", vec![post_to(&url)], None).await;
    create(&cloud, "posting_too", "SELECT * FROM 'dt/in'", vec![post_to(&url)], None).await;

    let (_, body) = hook.confirmation().await;
    let page = format!(
        "{}/confirmdestination/{}",
        cloud.running().endpoint,
        body["confirmationToken"].as_str().unwrap()
    );
    assert_eq!(reqwest::get(format!("http://{page}")).await.unwrap().status(), 200);
    let mut connection = cloud.connect(&cloud.device("one").await).await;
    connection.publish("dt/in", "no JSON").await.unwrap();

    for (headers, body) in hook.posts(2).await {
        assert_eq!(
            (&headers["content-type"], body),
            (&"application/octet-stream".parse().unwrap(), json!("no JSON"))
        );
    }
    let all = cloud.iot().list_topic_rule_destinations().send().await.unwrap();
    let same = all
        .destination_summaries()
        .iter()
        .filter(|it| it.http_url_summary().and_then(|http| http.confirmation_url()) == Some(url.as_str()));
    assert_eq!(same.count(), 1);
}

#[tokio::test]
async fn an_answer_that_is_long_or_ends_the_connection_is_the_last() {
    let (cloud, hook, _) = confirmed(&[]).await;
    hook.answers.lock().push_back(StatusCode::SERVICE_UNAVAILABLE);
    *hook.body.lock() = "x".repeat(16_385);
    update(&cloud, "long").await;
    hook.posts(1).await;
    *hook.body.lock() = String::new();
    *hook.closes.lock() = true;
    hook.answers.lock().push_back(StatusCode::SERVICE_UNAVAILABLE);
    update(&cloud, "closed").await;
    in_bucket(&cloud, "failed/closed").await;
    *hook.closes.lock() = false;
    update(&cloud, "last").await;

    let things: Vec<_> = hook.posts(3).await.iter().map(|(_, body)| body["thing"].clone()).collect();
    assert_eq!(things, ["long", "closed", "last"].map(|thing| json!(thing)));
}

#[tokio::test]
async fn a_rule_made_by_api_republishes_what_its_condition_lets_through() {
    let cloud = TestCloud::start().await;
    let device = cloud.device("one").await;
    let mut connection = cloud.connect(&device).await;
    connection.subscribe("dt/alarms/#").await;
    let sql = "SELECT temperature, clientid() AS who FROM 'dt/+/temperature' WHERE temperature > 30";
    create(&cloud, "hot", sql, vec![republish("republish", "dt/alarms/${topic(2)}")], None).await;

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
