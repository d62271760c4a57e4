//! The one message of a change, through all that can happen to it in Slack.

use axum::http::StatusCode;
use device_model::change::ChangeState;
use serde_json::json;
use slack_app::{
    model::Sight,
    outbox::{DueMessage, Posted, Shown, show_next},
};

use crate::{
    fake_slack::Answer,
    support::{TestApp, story},
};

fn place() -> Posted {
    Posted { channel_id: "COPS".to_owned(), ts: "1700000000.000100".to_owned() }
}

fn due(revision: i64, place: Option<Posted>, state: ChangeState) -> DueMessage {
    DueMessage { place, revision, attempt: 0, told: 9, story: story(state) }
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
    // What comes meanwhile goes into one edit.
    assert_eq!(test.fleet.with(|state| state.pauses.clone()), [std::time::Duration::from_secs(3); 2]);
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
    // Slack, slow as it is, may not tell either: that is no word of its not being there.
    test.slack.next("conversations.history", Answer::Status(StatusCode::BAD_GATEWAY));
    test.slack.next("conversations.history", Answer::RateLimited(1));
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

#[tokio::test]
async fn the_thread_tells_each_milestone_once() {
    let test = TestApp::start().await;
    let mut first = due(1, None, ChangeState::Queued);
    first.told = 0;
    let mut second = due(2, Some(place()), ChangeState::Trying);
    second.told = 0;
    let mut third = due(3, Some(place()), ChangeState::Applied);
    third.told = 1;
    third.story.sight = Some(Sight::Confirmed(crate::support::now()));
    for message in [first, second, third] {
        test.due(message);
    }

    while test.show().await {}

    let posted = test.slack.calls("chat.postMessage");
    let replies: Vec<_> = posted.iter().filter(|post| post.get("thread_ts").is_some()).collect();
    let texts: Vec<_> = replies.iter().map(|reply| reply["text"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(texts[0].contains("反映・確認中") && texts[1].contains("反映済み"), "{texts:?}");
    assert!(texts[2].contains("レセコンからの接続を確認"), "{texts:?}");
    assert!(replies.iter().all(|reply| reply["thread_ts"] == "1700000000.000100"));
    assert_eq!(test.fleet.with(|state| state.told.clone()), [0, 1, 3]);
}

#[tokio::test]
async fn a_thread_that_was_cut_short_goes_on_where_it_was() {
    let test = TestApp::start().await;
    test.slack.next(
        "chat.postMessage",
        Answer::Json(json!({"ok": true, "channel": "COPS", "ts": "1700000000.000100"})),
    );
    test.slack.next("chat.postMessage", Answer::Status(StatusCode::GATEWAY_TIMEOUT));
    test.slack.next(
        "conversations.replies",
        Answer::Json(json!({"ok": true, "messages": [
            {"ts": "1.2", "blocks": [{"type": "section", "block_id": "milestone:01JCHANGE:0"}]}]})),
    );
    let mut message = due(4, None, ChangeState::Applied);
    message.told = 0;
    test.due(message);

    while test.show().await {}

    let posted = test.slack.calls("chat.postMessage");
    let tops = posted.iter().filter(|post| post.get("thread_ts").is_none()).count();
    let applied = posted.iter().filter(|post| post["thread_ts"].is_string());
    let applied = applied.filter(|post| post["text"].as_str().unwrap().contains("反映済み")).count();
    assert_eq!((tops, applied), (1, 1), "{posted:#?}");
    assert_eq!(test.fleet.with(|state| state.told.clone()), [2]);
}

#[tokio::test]
async fn while_slack_asks_us_to_wait_no_other_message_is_sent_either() {
    let test = TestApp::start().await;
    test.slack.next("chat.update", Answer::RateLimited(2));
    for change in ["01JFIRST", "01JSECOND"] {
        let mut message = due(2, Some(place()), ChangeState::Sent);
        message.story.change_id = change.parse().unwrap();
        test.due(message);
    }
    let stop = tokio_util::sync::CancellationToken::new();
    let outbox =
        slack_app::outbox::run(test.app.web().clone(), test.fleet.clone(), "COPS".to_owned(), stop.clone());

    let all_shown = async {
        let shown = async {
            while test.fleet.with(|state| state.shown.len()) < 2 {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(std::time::Duration::from_secs(20), shown).await;
        stop.cancel();
        in_time.expect("both messages are shown");
    };
    tokio::join!(outbox, all_shown);

    let times = test.slack.called_at("chat.update");
    assert!(times[1] - times[0] >= std::time::Duration::from_secs(2), "{times:?}");
    assert_eq!(test.fleet.with(|state| state.shown.len()), 2);
}
