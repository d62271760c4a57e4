//! The submitted modal: one change, or every fault at its field.

use axum::http::StatusCode;
use device_model::{
    change::ChangeState,
    fault::{FaultCode, Faults},
};
use serde_json::json;
use slack_app::model::Refusal;

use crate::{
    fake_slack::Answer,
    support::{TestApp, lan, story, words},
};

const GOOD: [(&str, &str); 7] = [
    ("mode", "static"),
    ("address", "１９２．１６８．１０．２０"),
    ("mask", "/24"),
    ("gateway", "192.168.10.1"),
    ("dns", "192.168.10.1"),
    ("reason", "ルーター交換"),
    ("ticket", "R-100"),
];

/// What runs on the box.
const SAME: [(&str, &str); 7] = [
    ("mode", "static"),
    ("address", "192.168.10.9"),
    ("mask", "/24"),
    ("gateway", "192.168.10.1"),
    ("dns", "192.168.10.1"),
    ("routes", "192.168.20.0/24 192.168.10.2"),
    ("reason", "x"),
];

#[tokio::test]
async fn good_settings_are_registered_with_who_and_why() {
    let test = TestApp::start().await;

    let answer = test.register("UOPERATOR", &GOOD).await;

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

    let first = test.register("UOPERATOR", &GOOD).await;
    // The box was quick: what runs is not what the preview was made from any more.
    test.fleet.with(|state| {
        state.boxes[0].lan = Some(lan(json!({"mode": "static", "address": "192.168.10.20/24"})));
    });
    let second = test.register("UOPERATOR", &GOOD).await;

    assert_eq!(first, second);
    assert_eq!(test.fleet.with(|state| state.changes.len()), 1);
}

#[tokio::test]
async fn before_anything_is_registered_the_change_is_shown_with_what_it_means() {
    let test = TestApp::start().await;
    test.fleet.with(|state| state.approval_needed = true);

    let preview = test.submit("UOPERATOR", &GOOD).await.json();

    assert_eq!(preview["response_action"], "push");
    let said = words(&preview["view"]);
    for part in [
        "192.168.10.9 → *192.168.10.20*",
        "レセコン側の保存先を `\\\\192.168.10.20\\rx` に変更するまで、処方データは届きません。",
        "レセハブは *オンライン* です。",
        "承認が必要です",
        "今すぐ",
        "変更を登録する",
    ] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    assert!(test.fleet.is_untouched());
}

#[tokio::test]
async fn a_preview_that_is_not_true_any_more_is_shown_anew() {
    let test = TestApp::start().await;
    let preview = test.submit("UOPERATOR", &GOOD).await.json();
    let now_runs = lan(json!({"mode": "static", "address": "192.168.10.77/24"}));
    test.fleet.with(|state| state.boxes[0].lan = Some(now_runs));

    let again = test.confirm("UOPERATOR", &preview["view"], &[]).await;
    assert!(
        words(&again["view"]).contains("現在の設定か、完了していない変更の内容が変わりました"),
        "{again}"
    );
    assert!(words(&again["view"]).contains("192.168.10.77 → *192.168.10.20*"), "{again}");
    assert!(test.fleet.is_untouched());

    let done = test.confirm("UOPERATOR", &again["view"], &[]).await;
    assert!(done["view"].to_string().contains("01CHANGE0"), "{done}");
}

#[tokio::test]
async fn whoever_lost_the_role_after_the_preview_registers_nothing() {
    let test = TestApp::start().await;
    let preview = test.submit("UOPERATOR", &GOOD).await.json();
    test.fleet.with(|state| state.roles = "UOPERATOR=viewer".parse().unwrap());

    let refused = test.confirm("UOPERATOR", &preview["view"], &[]).await;

    assert!(words(&refused["view"]).contains("変更する権限がありません"));
    assert!(test.fleet.is_untouched());
}

#[tokio::test]
async fn an_open_change_is_told_and_superseded_by_whoever_saw_that() {
    let test = TestApp::start().await;
    test.fleet.open("tenpo-0001", story(ChangeState::Sent));

    test.command("UOPERATOR", "lan tenpo-0001").await;
    test.work().await;
    let form = test.shown();
    for part in ["配信中", "<@UOPERATOR>", "自動取得(DHCP) → *192.168.10.9/24", "新しい変更に置き換え"]
    {
        assert!(words(&form).contains(part), "{part} is not in: {form}");
    }
    assert_eq!(form["submit"]["text"], "確認画面へ");

    let preview = test.submit("UOPERATOR", &GOOD).await.json();
    let said = words(&preview["view"]);
    assert!(said.contains("今回の変更に置き換えます") && said.contains("01JCHANGE"), "{said}");
    assert!(test.fleet.with(|state| state.changes.is_empty()));
    test.confirm("UOPERATOR", &preview["view"], &[]).await;

    let replaces = test.fleet.with(|state| state.changes[0].2.replaces.clone());
    assert_eq!(replaces.unwrap().as_str(), "01JCHANGE");
}

#[tokio::test]
async fn a_change_that_was_not_shown_is_not_superseded() {
    let test = TestApp::start().await;
    let preview = test.submit("UOPERATOR", &GOOD).await.json();
    test.fleet.open("tenpo-0001", story(ChangeState::Queued));

    let again = test.confirm("UOPERATOR", &preview["view"], &[]).await;

    assert!(test.fleet.is_untouched());
    assert!(words(&again["view"]).contains("完了していない変更の内容が変わりました"), "{again}");
    assert!(words(&again["view"]).contains("今回の変更に置き換えます"), "{again}");
    test.confirm("UOPERATOR", &again["view"], &[]).await;
    assert!(test.fleet.with(|state| state.changes[0].2.replaces.is_some()));
}

#[tokio::test]
async fn a_change_that_opens_at_the_very_moment_is_shown_before_it_is_superseded() {
    let test = TestApp::start().await;
    let preview = test.submit("UOPERATOR", &GOOD).await.json();
    test.fleet.with(|state| state.refuse = Some(Refusal::Outdated));

    let again = test.confirm("UOPERATOR", &preview["view"], &[]).await;

    assert_eq!(again["view"]["callback_id"], "lan_preview", "{again}");
    assert!(test.fleet.is_untouched());
}

#[tokio::test]
async fn whoever_submits_before_the_fields_have_come_is_given_them() {
    let test = TestApp::start().await;
    test.fleet.with(|state| state.boxes[0].lan = Some(device_model::lan::LanSettings::dhcp()));
    test.command("UOPERATOR", "lan tenpo-0001").await;
    test.work().await;
    let form = test.shown();
    assert!(!form.to_string().contains("\"address\""), "a form for DHCP asks for no address: {form}");

    let given = test.confirm("UOPERATOR", &form, &[("mode", "static"), ("reason", "書きかけ")]).await;

    assert_eq!(given["response_action"], "update", "{given}");
    let fields = given["view"].to_string();
    assert!(fields.contains("\"address\"") && fields.contains("書きかけ"), "{given}");
    let errors = test.confirm("UOPERATOR", &given["view"], &[("mode", "static"), ("reason", "x")]).await;
    assert_eq!(errors["errors"]["address"], "入力してください。", "{errors}");
}

#[tokio::test]
async fn a_share_gets_other_names_and_keeps_its_password() {
    let test = TestApp::start().await;
    let mut values = SAME.to_vec();
    values.extend([("share", "処方データ"), ("share_user", "ｒｅｃｅ２")]);

    let preview = test.submit("UOPERATOR", &values).await.json();
    let said = words(&preview["view"]);
    for part in [
        "共有フォルダ名: rx → *処方データ*",
        "共有フォルダのユーザー名: rece → *rece2*",
        "レセコン側の保存先を `\\\\192.168.10.9\\処方データ` に変更するまで",
        "レセコン側の接続ユーザー名を `rece2` に変更するまで",
    ] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    test.confirm("UOPERATOR", &preview["view"], &[]).await;

    let share = test.fleet.with(|state| state.changes[0].2.share.clone()).unwrap();
    assert_eq!((&*share.name, &*share.user, share.password_sealed), ("処方データ", "rece2", None));

    values.extend([("share", "IPC$"), ("share_user", "レセ")]);
    let refused = test.submit("UENGLISH", &values).await.json();
    let errors = refused["errors"].as_object().unwrap();
    assert_eq!(errors.len(), 2, "{refused}");
    assert!(errors["share"].as_str().unwrap().contains("file server uses this name"), "{refused}");
}

#[tokio::test]
async fn a_reserved_change_carries_its_window() {
    let test = TestApp::start().await;
    let mut values = GOOD.to_vec();
    // 2026-11-22 15:30 in Japan.
    values.extend([("when", "later"), ("start", "1795329000"), ("hours", "2")]);

    let preview = test.submit("UOPERATOR", &values).await.json();
    assert!(words(&preview["view"]).contains("2026/11/22 15:30 から 2026/11/22 17:30"), "{preview}");
    test.confirm("UOPERATOR", &preview["view"], &[]).await;

    let window = test.fleet.with(|state| state.changes[0].2.window.clone()).unwrap();
    assert_eq!(window.not_before.unwrap().timestamp(), 1_795_329_000);
    assert_eq!(window.not_after.unwrap().timestamp(), 1_795_329_000 + 7200);
}

#[tokio::test]
async fn settings_that_run_already_are_no_change() {
    let test = TestApp::start().await;

    let answer = test.submit("UOPERATOR", &SAME).await.json();

    assert!(answer["errors"]["mode"].as_str().unwrap().contains("現在の設定と同じです"), "{answer}");
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
async fn a_fault_that_only_the_fleet_knows_is_told_over_the_form() {
    let test = TestApp::start().await;
    let mut faults = Faults::default();
    faults.add("address", FaultCode::OverlapsWan);
    test.fleet.with(|state| state.refuse = Some(Refusal::Settings(faults.under("lan"))));

    let answer = test.register("UOPERATOR", &GOOD).await;

    assert!(words(&answer["view"]).contains("この設定は使えません"), "{answer}");
}

#[tokio::test]
async fn a_refusal_is_told_in_words() {
    let test = TestApp::start().await;
    let open = Refusal::ChangeOpen("01JOPEN".parse().unwrap());
    test.fleet.with(|state| state.refuse = Some(open));

    let told = test.register("UOPERATOR", &GOOD).await;
    let viewer = test.submit("UVIEWER", &GOOD).await.json();
    let nobody = test.submit("UNOBODY", &GOOD).await.json();

    assert!(words(&told["view"]).contains("もう一度、この画面を確認してください"), "{told}");
    assert_eq!(told["view"]["callback_id"], "lan_preview", "no dead end");
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
    assert_eq!(again["response_action"], "push");

    test.fleet.with(|state| state.down = true);
    let over = test.confirm("UOPERATOR", &again["view"], &[]).await;
    assert_eq!(over["response_action"], "push", "what was typed is still below");
    assert_ne!(over["view"]["clear_on_close"], true);
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
