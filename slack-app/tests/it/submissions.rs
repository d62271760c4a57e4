//! The submitted modal: one change, or every fault at its field.

use axum::http::StatusCode;
use device_model::fault::{FaultCode, Faults};
use serde_json::json;
use slack_app::fleet::Refusal;

use crate::{fake_slack::Answer, support::TestApp};

const GOOD: [(&str, &str); 7] = [
    ("mode", "static"),
    ("address", "１９２．１６８．１０．２０"),
    ("mask", "/24"),
    ("gateway", "192.168.10.1"),
    ("dns", "192.168.10.1"),
    ("reason", "ルーター交換"),
    ("ticket", "R-100"),
];

#[tokio::test]
async fn good_settings_are_registered_with_who_and_why() {
    let test = TestApp::start().await;

    let answer = test.submit("UOPERATOR", &GOOD).await.json();

    assert_eq!(answer["response_action"], "update");
    assert!(answer["view"].to_string().contains("01CHANGE0"));
    test.fleet.with(|state| {
        let (_, user, wish) = &state.changes[0];
        assert_eq!(user, "UOPERATOR");
        assert_eq!((wish.reason.as_str(), wish.ticket.as_deref()), ("ルーター交換", Some("R-100")));
        assert_eq!(wish.lan.address.as_deref(), Some("192.168.10.20/24"));
        assert_eq!(wish.lan.mtu, Some(1400), "what the modal does not show stays as it was");
    });
}

#[tokio::test]
async fn the_same_submission_twice_is_one_change() {
    let test = TestApp::start().await;

    let first = test.submit("UOPERATOR", &GOOD).await.json();
    let second = test.submit("UOPERATOR", &GOOD).await.json();

    assert_eq!(first, second);
    assert_eq!(test.fleet.with(|state| state.changes.len()), 1);
}

#[tokio::test]
async fn every_fault_stands_at_its_field_in_the_users_language() {
    let test = TestApp::start().await;
    let bad = [
        ("mode", "static"),
        ("address", "192.168.10.20"),
        ("mask", "/31"),
        ("gateway", "192.168.1"),
        ("dns", "8.8.8.8"),
        ("routes", "100.64.1.0/24 192.168.10.1"),
        ("reason", " "),
    ];

    let japanese = test.submit("UOPERATOR", &bad).await.json();
    let english = test.submit("UENGLISH", &bad).await.json();

    assert_eq!(
        japanese,
        json!({"response_action": "errors", "errors": {
            "dns": "プライベートアドレスではありません。10.、172.16〜31.、192.168. で始まるアドレスを入力してください。",
            "gateway": "IPアドレスの形ではありません。例: 192.168.10.9",
            "mask": "/8 から /30 の範囲で入力してください。例: 255.255.255.0",
            "reason": "入力してください。",
            "routes": "1行目: プライベートアドレスではありません。10.、172.16〜31.、192.168. で始まるアドレスを入力してください。",
        }})
    );
    assert_eq!(english["errors"]["reason"], "Please fill this in.");
    assert_eq!(english["errors"].as_object().unwrap().len(), 5);
    assert!(test.fleet.is_untouched());
}

#[tokio::test]
async fn a_fault_that_only_the_fleet_knows_comes_back_at_its_field() {
    let test = TestApp::start().await;
    let mut faults = Faults::default();
    faults.add("address", FaultCode::OverlapsWan);
    test.fleet.with(|state| state.refuse = Some(Refusal::Settings(faults.under("lan"))));

    let answer = test.submit("UOPERATOR", &GOOD).await.json();

    let expected = "専用回線で使用中のアドレス帯と重なっています。別のアドレスにしてください。";
    assert_eq!(answer["errors"], json!({"address": expected}));
}

#[tokio::test]
async fn a_refusal_is_told_in_words() {
    let test = TestApp::start().await;
    let open = Refusal::ChangeOpen("01JOPEN".parse().unwrap());
    test.fleet.with(|state| state.refuse = Some(open));

    let refused = test.submit("UOPERATOR", &GOOD).await.json();
    let viewer = test.submit("UVIEWER", &GOOD).await.json();
    let nobody = test.submit("UNOBODY", &GOOD).await.json();

    assert!(refused["view"].to_string().contains("01JOPEN"));
    assert!(viewer["view"].to_string().contains("変更する権限がありません"));
    assert!(nobody["view"].to_string().contains("操作する権限がありません"));
    assert!(test.fleet.is_untouched());
}

#[tokio::test]
async fn a_failure_of_ours_keeps_what_was_typed() {
    let test = TestApp::start().await;
    test.fleet.with(|state| state.down = true);

    let failed = test.submit("UOPERATOR", &GOOD).await;
    test.fleet.with(|state| state.down = false);
    let again = test.submit("UOPERATOR", &GOOD).await.json();

    assert_eq!(failed.status, StatusCode::OK);
    assert_eq!(failed.json()["response_action"], "errors");
    assert_eq!(again["response_action"], "update");
}

#[tokio::test]
async fn a_box_that_is_gone_is_told() {
    let test = TestApp::start().await;
    test.fleet.with(|state| state.boxes.clear());

    let answer = test.submit("UOPERATOR", &GOOD).await.json();

    assert!(answer["view"].to_string().contains("見つかりません"));
}

#[tokio::test]
async fn a_submission_does_not_wait_for_slack_to_tell_a_language() {
    let test = TestApp::start().await;
    test.slack.next("users.info", Answer::Silence);

    let answer = test.submit("UENGLISH", &[("mode", "dhcp")]).await.json();

    assert_eq!(answer["errors"], json!({"reason": "入力してください。"}));
}
