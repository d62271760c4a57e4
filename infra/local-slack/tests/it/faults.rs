//! Slack on a bad day, arranged by a test.

use std::time::Duration;

use serde_json::json;
use slack_morphism::errors::SlackClientError;
use slack_morphism::prelude::*;

use crate::support::*;

#[tokio::test]
async fn a_rate_limit_is_told_with_the_time_to_wait() {
    let desk = Desk::open().await;
    let (client, token) = (desk.client(), token());
    let session = client.open_session(&token);
    let fault = json!({"method": "chat.*", "kind": "rateLimited", "retryAfter": 7, "times": 1});
    desk.post_local("faults", &fault).await;

    let post = SlackApiChatPostMessageRequest::new(
        CHANNEL_ID.into(),
        SlackMessageContent::new().with_text("x".to_owned()),
    );
    let refused = session.chat_post_message(&post).await.unwrap_err();

    let SlackClientError::RateLimitError(limit) = refused else { panic!("{refused:?}") };
    assert_eq!(limit.retry_after, Some(Duration::from_secs(7)));
    assert!(session.chat_post_message(&post).await.is_ok(), "the fault was for one call");
}

#[tokio::test]
async fn slack_is_down_until_it_is_not() {
    let desk = Desk::open().await;
    desk.post_local("faults", &json!({"kind": "down"})).await;

    let down = desk.raw("auth.test", Some(TOKEN), "application/json", "{}").await;
    assert_eq!(down.status(), 503);
    desk.slack.state().faults.clear();

    assert_eq!(desk.api("auth.test", json!({})).await["ok"], true);
}

#[tokio::test]
async fn an_error_of_ones_choice_and_an_unknown_kind_of_fault() {
    let desk = Desk::open().await;

    let fault = json!({"method": "usergroups.list", "kind": "error", "error": "plan_upgrade_required"});
    desk.post_local("faults", &fault).await;

    assert_eq!(desk.api("usergroups.list", json!({})).await["error"], "plan_upgrade_required");
    assert!(desk.post_local("faults", &json!({"kind": "haunted"})).await["error"].is_string());
}

#[tokio::test]
async fn an_outage_reaches_answers_and_uploads_too_and_ends_after_its_time() {
    let desk = Desk::open().await;
    desk.act(OPERATOR, json!({"type": "command", "command": "/desk"})).await;
    let hook = desk.app.last().field("response_url");
    let announced = desk.api("files.getUploadURLExternal", json!({"filename": "a.csv", "length": 1})).await;
    let upload = announced["upload_url"].as_str().unwrap();
    let status = async || {
        let called = desk.raw("auth.test", Some(TOKEN), "application/json", "{}").await.status().as_u16();
        let answered = desk.post(&hook, &json!({"text": "x"})).await.0;
        let sent = reqwest::Client::new().post(upload).body("1").send().await.unwrap().status().as_u16();
        (called, answered, sent)
    };

    desk.post_local("faults", &json!({"kind": "down", "forMs": 60_000})).await;
    assert_eq!(status().await, (503, 503, 503));
    assert!(desk.seen_by(OPERATOR).await.is_empty());
    desk.post_local("clock", &json!({"forwardMs": 60_000})).await;

    assert_eq!(status().await, (200, 200, 200));
    assert_eq!(desk.local("faults").await["faults"], json!([]));
}

#[tokio::test]
async fn what_the_app_sent_can_be_looked_at() {
    let desk = Desk::open().await;
    desk.act(OPERATOR, json!({"type": "command", "command": "/desk"})).await;
    let (hook, trigger) = (desk.app.last().field("response_url"), desk.app.last().field("trigger_id"));

    desk.post_local("clock", &json!({"forwardMs": 1000})).await;
    desk.api("views.open", json!({"trigger_id": trigger, "view": modal()})).await;
    desk.post(&hook, &json!({"text": "answer"})).await;
    let announced = desk.api("files.getUploadURLExternal", json!({"filename": "a.csv", "length": 4})).await;
    let upload = announced["upload_url"].as_str().unwrap();
    reqwest::Client::new().post(upload).body("1,2\n").send().await.unwrap();
    desk.api("chat.postMessage", json!({"channel": "C0NOSUCH", "text": "x"})).await;

    let calls = desk.local("sent").await["calls"].as_array().unwrap().clone();
    let methods: Vec<_> = calls.iter().map(|call| call["method"].as_str().unwrap()).collect();
    assert_eq!(
        methods,
        ["views.open", "response_url", "files.getUploadURLExternal", "upload", "chat.postMessage"]
    );
    assert!(calls[0]["body"].as_str().unwrap().contains("192.168.0.1"));
    assert!((1000..3000).contains(&calls[0]["afterMs"].as_u64().unwrap()), "{}", calls[0]);
    assert!((1000..3000).contains(&calls[1]["afterMs"].as_u64().unwrap()), "{}", calls[1]);
    assert_eq!((&calls[1]["body"], &calls[3]["body"]), (&json!("{\"text\":\"answer\"}"), &json!("1,2\n")));
    assert_eq!((&calls[0]["error"], &calls[4]["error"]), (&json!(null), &json!("channel_not_found")));
}
