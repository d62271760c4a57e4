//! The operators' stories in a real browser: from typing a command to 反映済み, and who may do what.

use serde_json::Value;
use testbed::{Testbed, wait::until};

use crate::support::{BOUND, browser::Browser, has_reported, is_online, slack::Workspace, tls_provider};

async fn bed() -> Testbed {
    tls_provider();
    // Whoever gives a box another fixed address needs somebody who agrees.
    let bed = Testbed::for_test_with_approval(1, "static_address").await.unwrap();
    // Then a form has something to show, and the box is known to be there.
    has_reported(&bed, &bed.boxes[0].thing).await;
    is_online(&bed, &bed.boxes[0].thing).await;
    bed
}

#[tokio::test]
async fn an_operator_changes_a_setting_and_an_approver_lets_it_go() {
    let bed = bed().await;
    let channel = bed.slack.channel_id.clone();
    let operator = Browser::open(&bed, "operator", &channel).await;

    operator.command(&format!("/rece lan {}", bed.boxes[0].thing)).await;
    operator.choose("mode", "固定").await;
    operator.fill("address", "192.168.10.0").await;
    operator.fill("mask", "24").await;
    operator.fill("gateway", "８．８．８．８").await;
    operator.fill("reason", "ルーター交換のため").await;
    operator.shoot("lan-form").await;
    operator.submit().await;
    // Every fault at its field, in Japanese.
    operator.sees(".modal .input.wrong .error", "ネットワーク自体のアドレスです").await;
    operator.sees(".modal .input.wrong .error", "プライベートアドレスではありません").await;
    operator.shoot("field-errors").await;

    operator.fill("address", "１９２．１６８．１０．９").await;
    operator.fill("gateway", "192.168.10.1").await;
    operator.submit().await;
    operator.sees(".modal", "レセコン側の保存先を").await;
    operator.sees(".modal", "承認が必要です").await;
    operator.shoot("preview").await;
    operator.submit().await;
    operator.sees(".modal", "登録しました").await;
    operator.click(".modal .modal-foot button", "閉じる").await;
    operator.sees(".message", "状態: 承認待ち").await;

    // The operator may not approve what they asked for; the approver may.
    operator.click(".message button", "承認").await;
    operator.click(".modal.small button[data-confirm=yes]", "承認").await;
    operator.sees(".message.ephemeral", "承認する権限がありません").await;
    let approver = Browser::open(&bed, "approver", &channel).await;
    approver.click(".message button", "承認").await;
    approver.shoot("approval").await;
    approver.click(".modal.small button[data-confirm=yes]", "承認").await;

    approver.sees(".message", "状態: 反映済み").await;
    operator.sees(".message", "承認者 @鈴木 健一").await;
    operator.sees(".message", "状態: 反映済み").await;
    operator.click(".message .replies", "件の返信").await;
    operator.sees("#thread", "承認されました").await;
    operator.sees("#thread", "反映済み").await;
    operator.shoot("applied").await;
    let changes = bed.api.get("/v1/changes").await.unwrap();
    assert_eq!(changes["items"][0]["state"], "applied", "{changes}");
    assert_eq!(changes["items"][0]["approvedBy"], format!("slack:{}", bed.slack.users["approver"]));

    operator.close().await;
    approver.close().await;
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn the_home_shows_the_fleet_and_a_form_for_whoever_is_looked_for() {
    let bed = bed().await;
    let thing = bed.boxes[0].thing.clone();
    let admin = Browser::open(&bed, "admin", "home").await;

    admin.sees(".home", "レセハブの状況").await;
    admin.sees(".home", "レセハブ 1 台").await;
    admin.find(".home .picture img").await;
    let width = until("the map is loaded", BOUND, || async {
        let script = "return document.querySelector('.home .picture img')?.naturalWidth ?? 0";
        let width = admin.execute(script).await?.as_u64().unwrap_or_default();
        Ok((width > 0).then_some(width))
    });
    assert_eq!(width.await.unwrap(), 1200);
    admin.shoot("home").await;

    // A box is found by what people call its pharmacy.
    admin.click(".home button", "LAN設定の変更").await;
    let search = admin.find(".modal [data-action-id='choose'] input.select").await;
    search.send_keys("tenpo").await.unwrap();
    admin.click(".modal .list .option", &thing).await;
    admin.sees(".modal h2", "LAN設定の変更").await;
    admin.choose("when", "日時を予約").await;
    admin.find(".modal [data-action-id='start']").await;
    // Days and times are in the reader's language, whatever the browser's own is.
    admin.click(".modal .day-list option:nth-child(3)", "月").await;
    admin.click(".modal .time-list option", "02:30").await;
    admin.fill("reason", "夜間に反映するため").await;
    admin.shoot("reserve").await;
    admin.choose("mode", "固定").await;
    admin.fill("address", "192.168.10.9").await;
    admin.fill("mask", "/24").await;
    admin.submit().await;
    admin.sees(".modal", "02:30").await;
    admin.shoot("reserve-preview").await;

    admin.close().await;
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn a_new_password_is_shown_once_and_not_in_slack() {
    let bed = bed().await;
    let (channel, thing) = (bed.slack.channel_id.clone(), bed.boxes[0].thing.clone());
    let operator = Browser::open(&bed, "operator", &channel).await;

    operator.command(&format!("/rece status {thing}")).await;
    operator.sees(".message.ephemeral", "の状態").await;
    operator.shoot("status").await;
    operator.click(".message.ephemeral button", "共有フォルダの新しいパスワード").await;
    operator.click(".modal button", "ページを開く").await;
    let slack = operator.follow().await;
    let number = operator.text("p.big").await;
    operator.shoot("password-number").await;

    operator.look_at(&slack).await;
    operator.fill("number", if number == "10" { "11" } else { "10" }).await;
    operator.submit().await;
    operator.sees(".modal .input.wrong .error", "番号が違います").await;
    operator.fill("number", &number).await;
    operator.shoot("password-modal").await;
    operator.submit().await;
    operator.sees(".modal", "確認しました").await;
    operator.follow().await;
    operator.sees("main", "表示は一度だけです").await;
    operator.shoot("password-ready").await;
    operator.press("main form button").await;
    let password = operator.text("dd.big").await;
    operator.shoot("password-shown").await;

    assert_eq!(password.len(), 16, "it is no password");
    operator.reopen().await;
    operator.sees("main", "このページは").await;
    operator.shoot("password-gone").await;
    let sent = Workspace(&bed).sent().await.unwrap();
    let known = Value::from(sent).to_string();
    assert!(known.contains(&thing) && !known.contains(&password), "Slack was told the password");

    operator.close().await;
    bed.stop().await.unwrap();
}
