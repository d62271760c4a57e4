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
