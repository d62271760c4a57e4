//! What the app is sent: signed as Slack signs, and readable by a library made for Slack.

use std::time::{Duration, Instant};

use local_slack::manifest::Manifest;
use serde_json::{Value, json};
use slack_morphism::prelude::*;
use slack_morphism::signature_verifier::SlackEventSignatureVerifier;

use crate::support::*;

fn verified(got: &Got) {
    let verifier = SlackEventSignatureVerifier::new(&SECRET.to_owned().into());
    verifier.verify(&got.signature, &got.body, &got.timestamp).unwrap();
}

fn interaction(got: &Got) -> SlackInteractionEvent {
    verified(got);
    assert_eq!(got.path, "/slack/interactions");
    serde_json::from_value(got.payload()).unwrap()
}

#[tokio::test]
async fn a_slash_command_arrives_signed_with_all_its_fields() {
    let desk = Desk::open().await;

    let ack = desk.act(OPERATOR, json!({"type": "command", "command": "/desk", "text": "設定 店舗 1"})).await;

    let got = desk.app.last();
    verified(&got);
    assert_eq!((ack["status"].as_u64(), got.path.as_str()), (Some(200), "/slack/commands"));
    assert_eq!((got.field("command"), got.field("text")), ("/desk".to_owned(), "設定 店舗 1".to_owned()));
    assert_eq!((got.field("user_id"), got.field("channel_id")), (OPERATOR.to_owned(), CHANNEL_ID.to_owned()));
    for name in
        ["team_id", "team_domain", "channel_name", "user_name", "api_app_id", "response_url", "trigger_id"]
    {
        assert!(!got.field(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_press_in_a_modal_brings_the_fields_as_they_stand() {
    let desk = Desk::open().await;
    let view = desk.open_modal(&modal()).await;

    let press =
        json!({"type": "action", "viewId": view["id"], "actionId": "check", "values": {"note_text": "abc"}});
    desk.act(OPERATOR, press).await;

    let got = desk.app.last();
    let SlackInteractionEvent::BlockActions(event) = interaction(&got) else { panic!("another event") };
    assert_eq!(event.actions.unwrap()[0].value.as_deref(), Some("now"));
    let payload = got.payload();
    assert_eq!(payload["view"]["state"]["values"]["note"]["note_text"]["value"], "abc");
    assert_eq!(payload["view"]["state"]["values"]["address"]["address_text"]["value"], "192.168.0.1");
    assert_eq!((&payload["enterprise"], &payload["is_enterprise_install"]), (&Value::Null, &json!(false)));
    assert_eq!(payload["container"], json!({"type": "view", "view_id": view["id"]}));
}

#[tokio::test]
async fn a_press_in_a_message_brings_the_message_and_a_response_address() {
    let desk = Desk::open().await;
    let blocks = json!([{"type": "actions", "block_id": "b", "elements": [
        {"type": "button", "action_id": "go", "text": plain("進む"), "value": "42"}]}]);
    let posted =
        desk.api("chat.postMessage", json!({"channel": CHANNEL_ID, "text": "x", "blocks": blocks})).await;

    desk.act(APPROVER, json!({"type": "action", "messageTs": posted["ts"], "actionId": "go"})).await;

    let got = desk.app.last();
    let SlackInteractionEvent::BlockActions(event) = interaction(&got) else { panic!("another event") };
    assert_eq!(event.user.unwrap().id.to_string(), APPROVER);
    assert_eq!(event.message.unwrap().origin.ts.to_string(), posted["ts"].as_str().unwrap());
    let response_url = event.response_url.unwrap().0.to_string();
    let replaced = json!({"replace_original": true, "text": "済み"});
    assert_eq!(desk.post(&response_url, &replaced).await, (200, "ok".to_owned()));
    assert_eq!(desk.seen_by(OPERATOR).await[0]["text"], "済み");
    assert!(desk.seen_by(OPERATOR).await[0].get("blocks").is_none());
}

#[tokio::test]
async fn buttons_that_share_an_action_are_told_apart_by_their_value() {
    let desk = Desk::open().await;
    let row = |value: &str| {
        json!({"type": "section", "text": plain(value),
            "accessory": {"type": "button", "action_id": "pick", "text": plain("選ぶ"), "value": value}})
    };
    let message = json!({"channel": CHANNEL_ID, "blocks": [row("a"), row("b")]});
    let posted = desk.api("chat.postMessage", message).await;

    desk.act(
        OPERATOR,
        json!({"type": "action", "messageTs": posted["ts"], "actionId": "pick", "value": "b"}),
    )
    .await;

    assert_eq!(desk.app.last().payload()["actions"][0]["value"], "b");
}

#[tokio::test]
async fn a_submission_carries_the_whole_view() {
    let desk = Desk::open().await;
    let view = desk.open_modal(&modal()).await;

    let submit = json!({"type": "submit", "viewId": view["id"], "values": {"mode": "static", "address_text": "192.168.0.9"}});
    desk.act(OPERATOR, submit).await;

    let got = desk.app.last();
    let SlackInteractionEvent::ViewSubmission(event) = interaction(&got) else { panic!("another event") };
    let values = event.view.state_params.state.unwrap().values;
    let mode = &values[&"mode".into()][&"mode_select".into()];
    assert_eq!(mode.selected_option.as_ref().unwrap().value, "static");
    let payload = got.payload();
    assert_eq!(payload["view"]["state"]["values"]["address"]["address_text"]["value"], "192.168.0.9");
    assert_eq!(payload["view"]["private_metadata"], "{\"thing\":\"x\"}");
    assert_eq!(payload["view"]["root_view_id"], view["id"]);
    assert_eq!(payload["view"]["hash"], view["hash"]);
    assert!(
        desk.screen(OPERATOR).await["views"].as_array().unwrap().is_empty(),
        "an empty answer closes the modal"
    );
}

#[tokio::test]
async fn closing_suggesting_and_shortcuts_are_readable_too() {
    let desk = Desk::open().await;
    let view = desk.open_modal(&modal()).await;
    let said = desk.act(OPERATOR, json!({"type": "message", "text": "hello"})).await;

    desk.app.will_answer(&json!({"options": [{"text": plain("店舗"), "value": "1"}]}));
    let query = json!({"type": "suggest", "viewId": view["id"], "actionId": "box_select", "value": "店"});
    let suggested = desk.act(OPERATOR, query).await;
    let SlackInteractionEvent::BlockSuggestion(event) = interaction(&desk.app.last()) else {
        panic!("another event")
    };
    assert_eq!((event.value.as_str(), suggested["body"]["options"][0]["value"].as_str()), ("店", Some("1")));

    desk.act(OPERATOR, json!({"type": "close", "viewId": view["id"]})).await;
    assert!(matches!(interaction(&desk.app.last()), SlackInteractionEvent::ViewClosed(_)));
    desk.act(OPERATOR, json!({"type": "shortcut", "callbackId": "menu"})).await;
    assert!(matches!(interaction(&desk.app.last()), SlackInteractionEvent::Shortcut(_)));
    desk.act(OPERATOR, json!({"type": "shortcut", "callbackId": "look", "messageTs": said["ts"]})).await;
    assert!(matches!(interaction(&desk.app.last()), SlackInteractionEvent::MessageAction(_)));
}

#[tokio::test]
async fn home_opened_and_the_address_check_are_events() {
    let desk = Desk::open().await;
    desk.act(OPERATOR, json!({"type": "home"})).await;
    let got = desk.app.last();
    verified(&got);
    assert_eq!(got.path, "/slack/events");
    let event: SlackPushEvent = serde_json::from_str(&got.body).unwrap();
    let SlackPushEvent::EventCallback(event) = event else { panic!("another event") };
    assert!(matches!(event.event, SlackEventCallbackBody::AppHomeOpened(_)), "{:?}", event.event);

    let home = json!({"type": "home", "blocks": [{"type": "divider"}]});
    desk.api("views.publish", json!({"user_id": OPERATOR, "view": home})).await;
    desk.act(OPERATOR, json!({"type": "home"})).await;
    let event: SlackPushEvent = serde_json::from_str(&desk.app.last().body).unwrap();
    let SlackPushEvent::EventCallback(event) = event else { panic!("another event") };
    let SlackEventCallbackBody::AppHomeOpened(opened) = event.event else { panic!("another event") };
    assert!(opened.view.is_some());

    assert_eq!(desk.act(OPERATOR, json!({"type": "verify"})).await["verified"], false);
    assert!(serde_json::from_str::<SlackPushEvent>(&desk.app.last().body).is_ok());
}

#[tokio::test]
async fn an_app_that_is_late_or_broken_is_told_on_in_slacks_words() {
    let desk = Desk::open().await;

    desk.app.will_dawdle(Duration::from_secs(20));
    let started = Instant::now();
    let ack = desk.act(OPERATOR, json!({"type": "command", "command": "/desk"})).await;
    assert_eq!((ack["status"].as_u64(), ack["error"].as_str()), (Some(0), Some("operation_timeout")));
    assert!((3..20).contains(&started.elapsed().as_secs()));
    desk.app.will_fail(500);
    desk.act(ENGLISH, json!({"type": "command", "command": "/desk"})).await;

    let told = desk.seen_by(OPERATOR).await;
    assert_eq!(told[0]["text"], "/desk はエラー「operation_timeout」により失敗しました");
    let told = desk.seen_by(ENGLISH).await;
    assert_eq!(told[0]["text"], "/desk failed with the error \"dispatch_failed\"");
}

#[tokio::test]
async fn a_replay_is_the_same_request_byte_for_byte() {
    let desk = Desk::open().await;
    desk.act(OPERATOR, json!({"type": "command", "command": "/desk", "text": "once"})).await;

    desk.post_local("replay", &json!({})).await;

    let got = desk.app.got.lock().clone();
    assert_eq!((&got[0].body, &got[0].signature), (&got[1].body, &got[1].signature));
}

#[tokio::test]
async fn with_a_manifest_a_foreign_command_never_reaches_the_app() {
    let yaml = "features: {slash_commands: [{command: /desk, description: d, usage_hint: lan}]}";
    let desk = Desk::with_manifest(Manifest::parse(yaml).unwrap()).await;

    desk.act(OPERATOR, json!({"type": "command", "command": "/other"})).await;

    assert_eq!(desk.app.count(), 0);
    assert_eq!(desk.seen_by(OPERATOR).await[0]["text"], "`/other` は有効なコマンドではありません。");
}
