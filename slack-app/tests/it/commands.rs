//! `/rece …`, from the acknowledgement to the modal.

use std::time::Duration;

use axum::http::StatusCode;
use tokio_util::sync::CancellationToken;

use crate::{
    fake_slack::Answer,
    support::{TestApp, device, signed, words},
};

#[tokio::test]
async fn a_command_is_acknowledged_before_any_work_is_done() {
    let test = TestApp::start().await;

    let answer = test.command("UOPERATOR", "lan tenpo-0001").await;

    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""));
    assert_eq!(test.slack.methods(), Vec::<String>::new());
    assert_eq!(test.fleet.with(|state| state.jobs.len()), 1);
}

#[tokio::test]
async fn the_modal_opens_loading_and_then_shows_what_runs_today() {
    let test = TestApp::start().await;

    test.command("UOPERATOR", "lan ひまわり").await;
    test.work().await;

    let opened = &test.slack.calls("views.open")[0];
    assert_eq!(opened["trigger_id"], "trigger-1");
    assert!(words(opened).contains("読み込んでいます"));
    let filled = &test.slack.calls("views.update")[0];
    assert_eq!(filled["view_id"], "V1");
    assert_eq!(filled["view"]["private_metadata"], "{\"thing\":\"tenpo-0001\"}");
    assert!(words(filled).contains("ひまわり薬局"));
    assert_eq!(test.slack.methods()[0], "views.open", "the trigger does not wait");
    assert_eq!(test.fleet.with(|state| state.done.len()), 1);
}

#[tokio::test]
async fn a_replayed_command_opens_one_modal() {
    let test = TestApp::start().await;

    for _ in 0..3 {
        let answer = test.command("UOPERATOR", "lan tenpo-0001").await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    test.work().await;

    assert_eq!(test.slack.calls("views.open").len(), 1);
}

#[tokio::test]
async fn a_command_that_cannot_be_written_down_is_not_acknowledged() {
    let test = TestApp::start().await;
    test.fleet.with(|state| state.down = true);

    let answer = test.command("UOPERATOR", "lan tenpo-0001").await;

    answer.assert_problem(503, "unavailable");
}

#[tokio::test]
async fn why_no_form_is_shown_is_said_in_the_modal() {
    let test = TestApp::start().await;
    test.fleet.with(|state| {
        state.boxes.push(device("tenpo-0003", Some("ひまわり薬局 二号店")));
    });
    let asked = [
        ("UOPERATOR", "lan tenpo-9999", "見つかりません"),
        ("UOPERATOR", "lan", "探してください"),
        ("UOPERATOR", "rollback tenpo-0001", "戻せる前回の設定がありません"),
        ("UOPERATOR", "lan ひまわり", "2台"),
        ("UVIEWER", "lan tenpo-0001", "変更する権限がありません"),
        ("UNOBODY", "lan tenpo-0001", "操作する権限がありません"),
    ];

    for (index, (user, text, expected)) in asked.into_iter().enumerate() {
        let body = test.command_form(user, text, &format!("t{index}"));
        test.send(signed("/commands", &body)).await;
        test.work().await;

        let shown = test.slack.calls("views.update").pop().unwrap();
        assert!(words(&shown).contains(expected), "{text}: {shown}");
        assert!(shown["view"].get("submit").is_none(), "{text}");
    }
}

#[tokio::test]
async fn what_is_only_told_is_told_to_the_asker_alone() {
    let test = TestApp::start().await;
    let asked = [
        ("UOPERATOR", "help", "使い方"),
        ("UOPERATOR", "", "何をしますか"),
        ("UOPERATOR", "history tenpo-0001", "変更はまだありません"),
        ("UVIEWER", "pending", "未反映・失敗の変更はありません"),
        ("UVIEWER", "approve", "承認待ちの変更はありません"),
        ("UOPERATOR", "dance <!channel>", "「dance &lt;!channel&gt;」というコマンドはありません"),
        ("UVIEWER", "status tenpo-0001", "オンライン"),
        ("UVIEWER", "status nowhere", "見つかりません"),
        ("UENGLISH", "status tenpo-0001", "online"),
        ("UNOBODY", "status tenpo-0001", "権限がありません"),
    ];

    for (index, (user, text, expected)) in asked.into_iter().enumerate() {
        let body = test.command_form(user, text, &format!("t{index}"));
        test.send(signed("/commands", &body)).await;
        test.work().await;

        let told = test.slack.calls("response").pop().unwrap();
        assert_eq!(told["response_type"], "ephemeral");
        assert!(words(&told).contains(expected), "{text}: {told}");
    }
    assert!(!test.slack.methods().contains(&"chat.postMessage".to_owned()));
}

#[tokio::test]
async fn a_trigger_that_died_is_told_and_not_tried_for_ever() {
    let test = TestApp::start().await;
    test.slack.refuse_next("views.open", "expired_trigger_id");

    test.command("UOPERATOR", "lan tenpo-0001").await;
    test.work().await;

    let told = &test.slack.calls("response")[0];
    assert!(words(told).contains("画面を開けませんでした"), "{told}");
    assert_eq!(test.fleet.with(|state| (state.done.len(), state.retried.len())), (1, 0));
}

#[tokio::test]
async fn a_job_that_waited_too_long_does_not_waste_a_call() {
    let test = TestApp::start().await;
    test.command("UENGLISH", "lan tenpo-0001").await;
    test.fleet.with(|state| state.jobs[0].age = Duration::from_secs(3));

    test.work().await;

    assert_eq!(test.slack.calls("views.open").len(), 0);
    assert!(words(&test.slack.calls("response")[0]).contains("could not be opened"));
}

#[tokio::test]
async fn a_modal_that_was_closed_meanwhile_is_let_go() {
    let test = TestApp::start().await;
    test.slack.refuse_next("views.update", "not_found");

    test.command("UOPERATOR", "lan tenpo-0001").await;
    test.work().await;

    assert_eq!(test.slack.calls("views.update").len(), 1);
    assert_eq!(test.fleet.with(|state| state.done.len()), 1);
}

#[tokio::test]
async fn a_modal_is_filled_though_slack_stumbles_once() {
    let test = TestApp::start().await;
    test.slack.next("views.update", Answer::RateLimited(0));

    test.command("UOPERATOR", "lan tenpo-0001").await;
    test.work().await;

    assert_eq!(test.slack.calls("views.update").len(), 2);
}

#[tokio::test]
async fn the_worker_takes_what_comes_until_it_is_stopped() {
    let test = TestApp::start().await;
    let stop = CancellationToken::new();
    let worker = slack_app::worker::run(test.app.clone(), stop.clone());
    let story = async {
        test.command("UENGLISH", "lan tenpo-0001").await;
        let filled = test.slack.called("views.update", 1).await;
        assert!(words(&filled).contains("Subnet mask"), "{filled}");
        stop.cancel();
    };

    let both = async { tokio::join!(worker, story) };

    tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
}
