//! Buttons, choices and shortcuts: what they do, and whom they refuse in words.

use device_model::change::ChangeState;
use serde_json::{Value, json};
use slack_app::model::{Approval, ChangeStory, Refusal};

use crate::support::{TestApp, form, interaction, pressed, signed, story, words};

fn waiting() -> ChangeStory {
    ChangeStory { approval: Approval::Waiting, ..story(ChangeState::Scheduled) }
}

impl TestApp {
    /// What the presser was last told beside the message.
    fn told(&self) -> String {
        words(&self.slack.calls("response").pop().expect("nobody was told anything"))
    }

    fn decided(&self) -> Vec<String> {
        self.fleet.with(|state| state.decided.clone())
    }
}

#[tokio::test]
async fn a_button_is_acknowledged_before_anything_is_done() {
    let test = TestApp::start().await;
    let payload = pressed("UOPERATOR", "cancel", "01JCHANGE", "http://127.0.0.1:1/");

    let answer = test.send(signed("/interactions", &interaction(&payload))).await;

    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
    assert!(test.decided().is_empty() && test.slack.methods().is_empty());
}

#[tokio::test]
async fn a_replayed_press_is_done_once() {
    let test = TestApp::start().await;
    let payload = pressed("UOPERATOR", "cancel", "01JCHANGE", &format!("{}/response/1", test.slack.url));

    for _ in 0..3 {
        assert_eq!(test.press_as(&payload).await.status.as_u16(), 200);
    }

    assert_eq!(test.decided(), ["cancel 01JCHANGE by UOPERATOR"]);
}

#[tokio::test]
async fn every_role_may_what_it_may_and_nothing_else() {
    let test = TestApp::start().await;
    test.fleet.with(|state| state.stories = vec![waiting()]);
    let refused = [
        ("UNOBODY", "cancel", "操作する権限がありません"),
        ("UVIEWER", "cancel", "変更する権限がありません"),
        ("UVIEWER", "approve", "承認する権限がありません"),
        ("UOPERATOR", "approve", "承認する権限がありません"),
        ("UENGLISH", "approve", "ask an approver"),
    ];

    for (user, verb, expected) in refused {
        test.press(user, verb, "01JCHANGE").await;
        assert!(test.told().contains(expected), "{user} {verb}: {}", test.told());
    }
    assert!(test.decided().is_empty());
    for (user, verb) in
        [("UVIEWER", "retry"), ("UVIEWER", "lan"), ("UOPERATOR", "reject"), ("UNOBODY", "status")]
    {
        test.press(user, verb, if verb == "lan" { "tenpo-0001" } else { "01JCHANGE" }).await;
        assert!(words(&test.shown()).contains("権限がありません"), "{user} {verb}");
    }

    test.press("UOPERATOR", "cancel", "01JCHANGE").await;
    test.press("UAPPROVER", "approve", "01JCHANGE").await;
    assert_eq!(test.decided(), ["cancel 01JCHANGE by UOPERATOR", "approve 01JCHANGE by UAPPROVER"]);
}

#[tokio::test]
async fn a_click_that_comes_too_late_is_refused_in_words() {
    let test = TestApp::start().await;
    let cases = [
        (Refusal::ChangeClosed(ChangeState::Applied), "すでに終わっています(状態: 反映済み)"),
        (Refusal::NotWaiting { approved_by: Some("slack:UOTHER".to_owned()) }, "<@UOTHER> が承認しています"),
        (Refusal::NotWaiting { approved_by: None }, "承認待ちではありません"),
        (Refusal::OwnChange, "自分で登録した変更は承認できません"),
        (Refusal::UnknownChange, "この変更は見つかりません"),
    ];

    for (refusal, expected) in cases {
        test.fleet.with(|state| state.refuse = Some(refusal));
        test.press("UAPPROVER", "approve", "01JCHANGE").await;
        assert!(test.told().contains(expected), "{expected}: {}", test.told());
    }
    test.press("UAPPROVER", "approve", "no id at all").await;
    assert!(test.told().contains("この変更は見つかりません"));
    assert!(test.decided().is_empty());
}

#[tokio::test]
async fn from_a_channel_that_is_not_listed_one_may_only_look() {
    let test = TestApp::start_with(|settings| settings.channels = vec!["COPS".to_owned()]).await;
    let elsewhere = |verb: &str, about: &str| {
        let mut payload = pressed("UAPPROVER", verb, about, &format!("{}/response/1", test.slack.url));
        payload["channel"]["id"] = json!("CRANDOM");
        payload
    };

    test.press_as(&elsewhere("cancel", "01JCHANGE")).await;
    assert!(test.told().contains("このチャンネルからは設定を変更できません"));
    test.press_as(&elsewhere("lan", "tenpo-0001")).await;
    assert!(words(&test.shown()).contains("このチャンネルからは設定を変更できません"));
    test.press_as(&elsewhere("status", "tenpo-0001")).await;
    assert!(words(&test.shown()).contains("ひまわり薬局"));
    test.press("UAPPROVER", "cancel", "01JCHANGE").await;
    assert_eq!(test.decided(), ["cancel 01JCHANGE by UAPPROVER"]);
}

#[tokio::test]
async fn a_failed_change_is_tried_again_with_a_preview_and_a_reason() {
    let test = TestApp::start().await;
    let mut failed = story(ChangeState::RolledBack);
    failed.after = crate::support::lan(json!({"mode": "static", "address": "192.168.10.33/24"}));
    test.fleet.with(|state| state.stories = vec![failed]);

    test.press("UOPERATOR", "retry", "01JCHANGE").await;
    let preview = test.shown();
    assert!(words(&preview).contains("192.168.10.9 → *192.168.10.33*"), "{preview}");
    let without = test.confirm("UOPERATOR", &preview, &[]).await;
    assert_eq!(without["errors"], json!({"reason": "入力してください。"}));
    let done = test.confirm("UOPERATOR", &preview, &[("reason", "ルーターの電源を入れた")]).await;

    assert!(done["view"].to_string().contains("01CHANGE0"), "{done}");
    test.fleet.with(|state| {
        let (_, _, wish) = &state.changes[0];
        assert_eq!(wish.lan.address.as_deref(), Some("192.168.10.33/24"));
        assert_eq!(wish.reason, "ルーターの電源を入れた");
    });
}

#[tokio::test]
async fn trying_again_beside_an_open_change_says_what_becomes_of_it() {
    let test = TestApp::start().await;
    let mut open = story(ChangeState::Scheduled);
    open.change_id = "01JOPEN".parse().unwrap();
    test.fleet.with(|state| state.stories = vec![story(ChangeState::RolledBack)]);
    test.fleet.open("tenpo-0001", open);

    test.press("UOPERATOR", "retry", "01JCHANGE").await;
    let preview = test.shown();
    assert!(words(&preview).contains("今回の変更に置き換えます"), "{preview}");
    test.confirm("UOPERATOR", &preview, &[("reason", "x")]).await;

    let replaces = test.fleet.with(|state| state.changes[0].2.replaces.clone());
    assert_eq!(replaces.unwrap().as_str(), "01JOPEN");
}

#[tokio::test]
async fn going_back_means_what_ran_before_the_last_applied_change() {
    let test = TestApp::start().await;
    let (mut newest, mut applied) = (story(ChangeState::Cancelled), story(ChangeState::Applied));
    newest.before = Some(crate::support::lan(json!({"mode": "static", "address": "192.168.10.99/24"})));
    applied.change_id = "01JAPPLIED".parse().unwrap();
    test.fleet.with(|state| state.stories = vec![newest, applied]);

    test.press("UOPERATOR", "rollback", "tenpo-0001").await;
    let preview = test.shown();
    assert!(words(&preview).contains("固定 → *自動取得(DHCP)*"), "{preview}");
    test.confirm("UOPERATOR", &preview, &[("reason", "元に戻す")]).await;

    test.fleet.with(|state| assert_eq!(state.changes[0].2.lan.mode.as_deref(), Some("dhcp")));
}

#[tokio::test]
async fn a_rejection_needs_a_reason_and_an_approver() {
    let test = TestApp::start().await;
    test.fleet.with(|state| state.stories = vec![waiting()]);
    test.press("UAPPROVER", "reject", "01JCHANGE").await;
    let modal = test.shown();

    let without = test.confirm("UAPPROVER", &modal, &[]).await;
    let operator = test.confirm("UOPERATOR", &modal, &[("reason", "まだ早い")]).await;
    let done = test.confirm("UAPPROVER", &modal, &[("reason", "まだ早い")]).await;

    assert_eq!(without["errors"], json!({"reason": "入力してください。"}));
    assert!(words(&operator).contains("承認する権限がありません"));
    assert!(words(&done).contains("却下しました"));
    assert_eq!(test.decided(), ["cancel 01JCHANGE by UAPPROVER 却下: まだ早い"]);
}

#[tokio::test]
async fn a_choice_in_the_form_changes_its_fields_and_keeps_what_was_typed() {
    let test = TestApp::start().await;
    let chosen = |mode: &str| {
        let mut payload = pressed("UOPERATOR", "mode", "", "");
        payload["actions"][0]["selected_option"] = json!({"value": mode});
        payload["actions"][0]["value"] = Value::Null;
        payload["response_url"] = Value::Null;
        payload["view"] = json!({"id": "V7", "type": "modal", "hash": "h", "callback_id": "lan",
            "private_metadata": "{\"thing\":\"tenpo-0001\"}", "state": {"values": {
                "mode": {"mode": {"selected_option": {"value": mode}}},
                "reason": {"reason": {"value": "書きかけ"}}}}});
        payload
    };
    let fields = |view: &Value| -> Vec<String> {
        let blocks = view["blocks"].as_array().unwrap().iter();
        blocks
            .filter(|block| block["type"] == "input")
            .map(|b| b["block_id"].as_str().unwrap().to_owned())
            .collect()
    };

    test.press_as(&chosen("dhcp")).await;
    let dhcp = test.shown();
    test.press_as(&chosen("static")).await;
    let fixed = test.shown();

    assert!(!fields(&dhcp).contains(&"address".to_owned()), "{dhcp}");
    assert!(fields(&fixed).contains(&"address".to_owned()), "{fixed}");
    assert!(dhcp.to_string().contains("書きかけ"));
    let update = &test.slack.calls("views.update")[0];
    assert_eq!((&update["view_id"], &update["hash"]), (&json!("V7"), &json!("h")));
    assert!(test.slack.calls("views.open").is_empty());
}

#[tokio::test]
async fn a_form_that_became_another_view_meanwhile_is_left_alone() {
    let test = TestApp::start().await;
    test.slack.refuse_next("views.update", "hash_conflict");
    let mut choice = pressed("UOPERATOR", "mode", "", "");
    choice["response_url"] = Value::Null;
    choice["view"] = json!({"id": "V7", "type": "modal", "hash": "old", "callback_id": "lan",
        "private_metadata": "{\"thing\":\"tenpo-0001\"}"});

    test.press_as(&choice).await;

    assert_eq!(test.slack.calls("views.update").len(), 1, "it is not tried again");
    test.fleet.with(|state| assert_eq!((state.done.len(), state.retried.len()), (1, 0)));
}

#[tokio::test]
async fn a_box_is_chosen_from_what_was_typed_so_far() {
    let test = TestApp::start().await;
    let asked = |user: &str| {
        json!({"type": "block_suggestion", "team": {"id": "T1"}, "user": {"id": user}, "api_app_id": "A1",
            "action_id": "choose", "block_id": "b", "value": "ひまわり", "view": {"id": "V1", "type": "modal"}})
    };

    let found = test.send(signed("/interactions", &interaction(&asked("UVIEWER")))).await.json();
    let nobody = test.send(signed("/interactions", &interaction(&asked("UNOBODY")))).await.json();

    assert_eq!(found["options"][0]["value"], "tenpo-0001");
    assert_eq!(nobody, json!({"options": []}));
    test.command("UOPERATOR", "lan").await;
    test.work().await;
    let chooser = test.shown();
    let mut choice = pressed("UOPERATOR", "choose", "tenpo-0001", "");
    choice["response_url"] = Value::Null;
    choice["view"] = json!({"id": "V1", "type": "modal", "callback_id": "choose",
        "private_metadata": chooser["private_metadata"]});
    test.press_as(&choice).await;
    assert_eq!(test.shown()["callback_id"], "lan");
}

#[tokio::test]
async fn a_message_tells_which_box_its_shortcut_is_about() {
    let test = TestApp::start().await;
    test.fleet.with(|state| state.stories = vec![story(ChangeState::Applied)]);
    let mut shortcut = pressed("UVIEWER", "", "", "");
    shortcut["type"] = json!("message_action");
    shortcut["callback_id"] = json!("status");

    test.press_as(&shortcut).await;
    assert!(words(&test.shown()).contains("レセハブ `tenpo-0001` の状態"));

    shortcut["message"]["blocks"] = json!([]);
    shortcut["trigger_id"] = json!("another");
    test.press_as(&shortcut).await;
    assert_eq!(test.shown()["callback_id"], "choose");
}

#[tokio::test]
async fn a_history_comes_as_a_file_into_the_direct_message() {
    let test = TestApp::start().await;
    let mut applied = story(ChangeState::Applied);
    applied.steps.last_mut().unwrap().at += chrono::TimeDelta::minutes(5);
    test.fleet.with(|state| state.stories = vec![applied]);

    test.press("UVIEWER", "csv", "tenpo-0001").await;

    let file = String::from_utf8(test.slack.uploads()[0].to_vec()).unwrap();
    assert!(file.starts_with('\u{feff}') && file.contains("\"192.168.10.9/24 (192.168.10.1)\""), "{file}");
    assert!(file.contains("\"反映済み\",\"2026/11/22 14:05\""), "{file}");
    assert_eq!(test.slack.calls("files.completeUploadExternal")[0]["channel_id"], "D1");
    assert!(test.told().contains("ダイレクトメッセージ"));
}

#[tokio::test]
async fn the_number_of_the_one_time_page_is_said_by_whoever_asked() {
    let test = TestApp::start().await;
    test.press("UOPERATOR", "password_page", "tenpo-0001").await;
    let modal = test.shown();
    assert!(modal.to_string().contains("https://recehub.example.com/p/1"));

    let wrong = test.confirm("UOPERATOR", &modal, &[("number", "12")]).await;
    let viewer = test.confirm("UVIEWER", &modal, &[("number", "47")]).await;
    let right = test.confirm("UOPERATOR", &modal, &[("number", "４７")]).await;

    assert!(wrong["errors"]["number"].as_str().unwrap().contains("番号が違います"));
    assert!(words(&viewer).contains("変更する権限がありません"));
    assert!(words(&right).contains("確認しました"));
    assert_eq!(test.decided(), ["page-1 is 12 by UOPERATOR", "page-1 is 47 by UOPERATOR"]);
}

#[tokio::test]
async fn what_is_not_a_button_of_ours_is_acknowledged_and_left() {
    let test = TestApp::start().await;
    let strange = [
        pressed("UOPERATOR", "dance", "x", ""),
        json!({"type": "view_closed", "team": {"id": "T1"}, "user": {"id": "U1"}, "api_app_id": "A1"}),
    ];

    for payload in &strange {
        assert_eq!(test.press_as(payload).await.status.as_u16(), 200);
    }
    let mut empty = pressed("UOPERATOR", "cancel", "x", "");
    empty["actions"] = json!([]);
    test.press_as(&empty).await.assert_problem(400, "malformed-request");
    let mut foreign = pressed("UOPERATOR", "cancel", "x", "");
    foreign["enterprise"] = json!({"id": "E9"});
    test.press_as(&foreign).await.assert_problem(401, "unauthenticated");
    test.send(signed("/interactions", &form(&[("payload", "{")])))
        .await
        .assert_problem(400, "malformed-request");

    assert!(test.fleet.is_untouched());
}

#[tokio::test]
async fn what_a_prescription_holds_never_reaches_slack() {
    // A box, and an engineer's machine, may hand the fleet texts that quote a file: none of those are
    // among what this app is given to show. What it is given, it shows escaped and cut.
    const CANARY: &str = "花子_処方箋_20261122.csv";
    let test = TestApp::start().await;
    let mut failed = story(ChangeState::RolledBack);
    let last = failed.steps.last_mut().unwrap();
    last.code = Some("SHARE_LOGIN".to_owned());
    last.detail = Some(format!("smbclient: cannot read \\\\box\\rx\\{CANARY}"));
    test.fleet.with(|state| {
        state.overview.attention = vec![failed.clone()];
        state.stories = vec![failed.clone()];
        state.messages.push_back(slack_app::outbox::DueMessage {
            place: None,
            revision: 1,
            attempt: 0,
            told: 0,
            story: failed,
        });
    });

    for verb in ["pending", "approvals", "history", "status", "retry", "csv", "refresh"] {
        test.press("UOPERATOR", verb, if verb == "retry" { "01JCHANGE" } else { "tenpo-0001" }).await;
    }
    slack_app::outbox::show_next(test.app.web(), &test.fleet, "COPS").await.unwrap();

    let everything = test.slack.everything();
    assert!(everything.contains("共有フォルダにログインできません"), "the reason is told");
    assert!(!everything.contains(CANARY), "a file's name reached Slack");
}
