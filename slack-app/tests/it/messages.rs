//! The one message of a change, through all that can happen to it in Slack.

use axum::http::StatusCode;
use device_model::change::ChangeState;
use serde_json::json;
use slack_app::{
    fleet::{DueMessage, Posted},
    outbox::{Shown, show_next},
};

use crate::{
    fake_slack::Answer,
    support::{TestApp, story},
};

fn place() -> Posted {
    Posted { channel_id: "COPS".to_owned(), ts: "1700000000.000100".to_owned() }
}

fn due(revision: i64, place: Option<Posted>, state: ChangeState) -> DueMessage {
    DueMessage { place, revision, attempt: 0, story: story(state) }
}

impl TestApp {
    /// Shows what is due, once.
    async fn show(&self) -> bool {
        show_next(self.app.web(), &self.fleet, "COPS").await.unwrap() != Shown::Nothing
    }

    fn due(&self, message: DueMessage) {
        self.fleet.with(|state| state.messages.push_back(message));
    }
}

#[tokio::test]
async fn a_change_is_posted_once_and_then_edited() {
    let test = TestApp::start().await;
    test.due(due(1, None, ChangeState::Queued));
    test.due(due(3, Some(place()), ChangeState::Applied));

    assert!(test.show().await && test.show().await);
    assert!(!test.show().await, "nothing is left");

    assert_eq!(test.slack.methods(), ["chat.postMessage", "chat.update"]);
    let posted = &test.slack.calls("chat.postMessage")[0];
    assert_eq!(posted["channel"], "COPS");
    assert!(posted["text"].as_str().unwrap().contains("受付済み"));
    let edited = &test.slack.calls("chat.update")[0];
    assert_eq!(edited["ts"], "1700000000.000100");
    assert!(edited["text"].as_str().unwrap().contains("反映済み"));
    let shown = test.fleet.with(|state| state.shown.clone());
    assert_eq!(shown, [(1, place()), (3, place())]);
}

#[tokio::test]
async fn while_slack_is_away_the_message_stays_due() {
    let test = TestApp::start().await;
    test.slack.next("chat.update", Answer::Status(StatusCode::BAD_GATEWAY));
    test.slack.next("chat.update", Answer::RateLimited(7));
    test.slack.next("chat.update", Answer::Json(json!({"ok": false, "error": "internal_error"})));
    test.due(due(2, Some(place()), ChangeState::Sent));

    while test.show().await {}

    let (retries, shown) = test.fleet.with(|state| (state.message_retries.clone(), state.shown.clone()));
    assert_eq!(retries.len(), 3);
    assert!(retries[1].as_secs() >= 7, "{retries:?}");
    assert_eq!(shown, [(2, place())]);
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_not_posted_twice() {
    let test = TestApp::start().await;
    test.slack.next("chat.postMessage", Answer::Status(StatusCode::GATEWAY_TIMEOUT));
    test.slack.next(
        "conversations.history",
        Answer::Json(json!({"ok": true, "messages": [{"ts": "1.1"},
            {"ts": "1700000000.000100", "blocks": [{"type": "section", "block_id": "change:01JCHANGE"}]}]})),
    );
    test.due(due(1, None, ChangeState::Queued));

    while test.show().await {}

    assert_eq!(test.slack.calls("chat.postMessage").len(), 1);
    assert_eq!(test.slack.calls("chat.update").len(), 1);
    assert_eq!(test.fleet.with(|state| state.shown.clone()), [(1, place())]);
}

#[tokio::test]
async fn a_message_that_was_deleted_is_posted_anew() {
    let test = TestApp::start().await;
    test.slack.refuse_next("chat.update", "message_not_found");
    test.due(due(2, Some(place()), ChangeState::Trying));

    while test.show().await {}

    assert_eq!(test.slack.methods(), ["chat.update", "chat.postMessage"]);
    assert_eq!(test.fleet.with(|state| state.shown.len()), 1);
}

#[tokio::test]
async fn a_channel_that_is_gone_does_not_go_round_for_ever() {
    let test = TestApp::start().await;
    for _ in 0..200 {
        test.slack.refuse_next("chat.postMessage", "is_archived");
    }
    test.due(due(1, None, ChangeState::Queued));

    while test.show().await {}

    let (retries, given_up) =
        test.fleet.with(|state| (state.message_retries.clone(), state.given_up.clone()));
    assert!(retries.iter().all(|after| after.as_secs() >= 3600));
    assert_eq!(given_up, [1]);
}
