//! Modals: triggers, the stack, hashes, the four response actions, and what Slack's client keeps to itself.

use std::time::Duration;

use serde_json::{Value, json};
use slack_morphism::prelude::*;

use crate::support::*;

fn filled(view: &Value) -> Value {
    json!({"type": "submit", "viewId": view["id"], "values": {"mode": "static"}})
}

async fn stack(desk: &Desk) -> Vec<Value> {
    desk.screen(OPERATOR).await["views"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_trigger_opens_one_modal_and_only_within_three_seconds() {
    let desk = Desk::open().await;
    desk.act(OPERATOR, json!({"type": "command", "command": "/desk"})).await;
    let trigger = desk.app.last().field("trigger_id");
    let open = json!({"trigger_id": trigger, "view": modal()});

    assert_eq!(desk.api("views.open", open.clone()).await["ok"], true);
    assert_eq!(desk.api("views.open", open).await["error"], "exchanged_trigger_id");

    desk.act(OPERATOR, json!({"type": "command", "command": "/desk"})).await;
    let trigger = desk.app.last().field("trigger_id");
    desk.post_local("clock", &json!({"forwardMs": 3100})).await;
    let late = desk.api("views.open", json!({"trigger_id": trigger, "view": modal()})).await;
    assert_eq!(late["error"], "expired_trigger_id");
}

#[tokio::test]
async fn a_client_made_for_slack_opens_updates_and_pushes() {
    let desk = Desk::open().await;
    let (client, token) = (desk.client(), token());
    let session = client.open_session(&token);
    desk.act(OPERATOR, json!({"type": "command", "command": "/desk"})).await;
    let view: SlackView = serde_json::from_value(modal()).unwrap();
    let trigger = desk.app.last().field("trigger_id");

    let opened =
        session.views_open(&SlackApiViewsOpenRequest::new(trigger.into(), view.clone())).await.unwrap();
    let id = opened.view.state_params.id;
    let update = SlackApiViewsUpdateRequest::new(view.clone())
        .with_view_id(id.clone())
        .with_hash(opened.view.state_params.hash);
    session.views_update(&update).await.unwrap();
    let stale = session.views_update(&update).await.unwrap_err();
    assert!(format!("{stale:?}").contains("hash_conflict"), "{stale:?}");

    desk.act(OPERATOR, json!({"type": "action", "viewId": id.to_string(), "actionId": "check"})).await;
    let trigger = desk.app.last().payload()["trigger_id"].as_str().unwrap().to_owned();
    session.views_push(&SlackApiViewsPushRequest::new(trigger.into(), view)).await.unwrap();
    assert_eq!(stack(&desk).await.len(), 2);
}

#[tokio::test]
async fn errors_stand_at_their_fields_and_the_modal_stays() {
    let desk = Desk::open().await;
    let view = desk.open_modal(&modal()).await;

    desk.app.will_answer(&json!({"response_action": "errors", "errors": {"address": "範囲外です"}}));
    desk.act(OPERATOR, filled(&view)).await;

    let stack = stack(&desk).await;
    assert_eq!(stack[0]["errors"], json!({"address": "範囲外です"}));
    assert_eq!(stack[0]["state"]["values"]["mode"]["mode_select"]["selected_option"]["value"], "static");
}

#[tokio::test]
async fn errors_at_a_block_that_is_no_input_are_trouble() {
    let desk = Desk::open().await;
    let view = desk.open_modal(&modal()).await;

    desk.app.will_answer(&json!({"response_action": "errors", "errors": {"more": "no"}}));
    let ack = desk.act(OPERATOR, filled(&view)).await;

    assert_eq!(ack["error"], "invalid_response");
    assert_eq!(stack(&desk).await[0]["trouble"], "接続中に問題が発生しました。もう一度試してみてください。");
}

#[tokio::test]
async fn a_choice_that_brings_a_field_is_made_before_the_field_is_filled_in() {
    let desk = Desk::open().await;
    let mut whole = modal();
    whole["blocks"][1]["dispatch_action"] = json!(true);
    let mut short = whole.clone();
    short["blocks"].as_array_mut().unwrap().remove(2);
    let view = desk.open_modal(&short).await;
    let before = desk.app.count();

    let values = json!({"mode": "static", "note": "later"});
    let submitting = desk.act(OPERATOR, json!({"type": "submit", "viewId": view["id"], "values": values}));
    let bringing = async {
        while desk.app.count() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let chosen = desk.app.last().payload();
        assert_eq!(chosen["actions"][0]["selected_option"]["value"], "static");
        let update = json!({"view_id": view["id"], "hash": chosen["view"]["hash"], "view": whole});
        assert_eq!(desk.api("views.update", update).await["ok"], true);
    };
    let bringing = tokio::time::timeout(Duration::from_secs(10), bringing);
    let (submitted, brought) = tokio::join!(submitting, bringing);

    brought.expect("the choice was not told");
    assert_eq!(submitted["status"], 200, "{submitted}");
    let sent = desk.app.last().payload();
    assert_eq!((&sent["type"], desk.app.count()), (&json!("view_submission"), before + 2));
    assert_eq!(sent["view"]["state"]["values"]["note"]["note_text"]["value"], "later");
    assert_eq!(sent["view"]["state"]["values"]["mode"]["mode_select"]["selected_option"]["value"], "static");
}

#[tokio::test]
async fn update_push_and_clear_do_what_they_say() {
    let desk = Desk::open().await;
    let view = desk.open_modal(&modal()).await;
    let mut other = modal();
    other["title"] = plain("確認");

    desk.app.will_answer(&json!({"response_action": "update", "view": other}));
    desk.act(OPERATOR, filled(&view)).await;
    let updated = stack(&desk).await;
    assert_eq!((&updated[0]["id"], &updated[0]["title"]["text"]), (&view["id"], &json!("確認")));

    for depth in 2..=3 {
        let top = stack(&desk).await.pop().unwrap();
        desk.app.will_answer(&json!({"response_action": "push", "view": modal()}));
        desk.act(OPERATOR, filled(&top)).await;
        assert_eq!(stack(&desk).await.len(), depth);
    }
    let top = stack(&desk).await.pop().unwrap();
    desk.app.will_answer(&json!({"response_action": "push", "view": modal()}));
    assert_eq!(desk.act(OPERATOR, filled(&top)).await["error"], "push_limit_reached");

    desk.app.will_answer(&json!({"response_action": "clear"}));
    desk.act(OPERATOR, filled(&top)).await;
    assert!(stack(&desk).await.is_empty());
}

#[tokio::test]
async fn a_form_that_slacks_client_refuses_never_reaches_the_app() {
    let desk = Desk::open().await;
    let view = desk.open_modal(&modal()).await;
    let before = desk.app.count();

    let missing = json!({"type": "submit", "viewId": view["id"], "values": {"note": "too long"}});
    let ack = desk.act(OPERATOR, missing).await;

    assert_eq!((ack["error"].as_str(), desk.app.count()), (Some("not_sent"), before));
    assert_eq!(ack["errors"]["mode"], "この必須項目に入力してください。");
    assert!(ack["errors"]["note"].as_str().unwrap().contains("5 文字以内"));
}

#[tokio::test]
async fn a_view_slack_would_not_take_is_refused_and_its_trigger_lives_on() {
    let desk = Desk::open().await;
    desk.act(OPERATOR, json!({"type": "command", "command": "/desk"})).await;
    let trigger = desk.app.last().field("trigger_id");
    let mut secret = modal();
    secret["blocks"][0]["label"] = plain("パスワード");

    let refused = desk.api("views.open", json!({"trigger_id": trigger, "view": secret})).await;

    assert_eq!(refused["error"], "invalid_arguments");
    assert!(refused["response_metadata"]["messages"][0].as_str().unwrap().contains("asks for a password"));
    let as_form = format!(
        "trigger_id={trigger}&view={}",
        url::form_urlencoded::byte_serialize(modal().to_string().as_bytes()).collect::<String>()
    );
    let opened = desk.raw("views.open", Some(TOKEN), "application/x-www-form-urlencoded", &as_form).await;
    assert_eq!(opened.json::<Value>().await.unwrap()["ok"], true);
}

#[tokio::test]
async fn a_modal_of_somebody_else_cannot_be_worked() {
    let desk = Desk::open().await;
    let view = desk.open_modal(&modal()).await;

    let (status, _) = desk.try_act(APPROVER, filled(&view)).await;

    assert_eq!(status, 409);
}

#[tokio::test]
async fn closing_the_top_shows_the_one_below_and_the_x_closes_all() {
    let desk = Desk::open().await;
    let view = desk.open_modal(&modal()).await;
    desk.app.will_answer(&json!({"response_action": "push", "view": modal()}));
    desk.act(OPERATOR, filled(&view)).await;
    let top = stack(&desk).await.pop().unwrap();

    desk.act(OPERATOR, json!({"type": "close", "viewId": top["id"]})).await;
    assert_eq!(desk.app.last().payload()["is_cleared"], false);
    assert_eq!(stack(&desk).await.len(), 1);
    desk.act(OPERATOR, json!({"type": "close", "viewId": view["id"], "clear": true})).await;
    assert_eq!(desk.app.last().payload()["is_cleared"], true);
    let gone = desk.api("views.update", json!({"view_id": view["id"], "view": modal()})).await;
    assert_eq!(gone["error"], "not_found");
}

#[tokio::test]
async fn a_submission_goes_on_when_the_browser_is_closed() {
    let desk = Desk::open().await;
    let view = desk.open_modal(&modal()).await;
    let mut changes = desk.slack.changes();
    let mut submit = filled(&view);
    (submit["userId"], submit["channelId"]) = (json!(OPERATOR), json!(CHANNEL_ID));

    desk.app.will_dawdle(Duration::from_millis(1500));
    let call = reqwest::Client::new().post(format!("{}/_local/act", desk.url)).json(&submit);
    let hung_up = call.timeout(Duration::from_millis(700)).send().await;

    assert!(hung_up.is_err());
    tokio::time::timeout(Duration::from_secs(30), changes.recv()).await.unwrap().unwrap();
    assert!(stack(&desk).await.is_empty());
}

#[tokio::test]
async fn what_changes_is_told_to_whoever_watches() {
    let desk = Desk::open().await;
    let mut changes = desk.slack.changes();

    desk.open_modal(&modal()).await;

    let change = changes.recv().await.unwrap();
    assert_eq!(serde_json::to_value(change).unwrap(), json!({"what": "views", "user": OPERATOR}));
}

#[tokio::test]
async fn an_app_that_is_late_is_told_on_beside_the_form_and_beside_the_button() {
    let desk = Desk::open().await;
    let view = desk.open_modal(&modal()).await;
    let button = json!({"type": "button", "action_id": "go", "text": plain("進む")});
    let message = json!({"channel": CHANNEL_ID, "blocks": [{"type": "actions", "elements": [button]}]});
    let posted = desk.api("chat.postMessage", message).await;

    desk.app.will_dawdle(Duration::from_secs(20));
    let late = desk.act(OPERATOR, filled(&view)).await;
    desk.app.will_dawdle(Duration::from_secs(20));
    let pressed = json!({"type": "action", "messageTs": posted["ts"], "actionId": "go"});
    desk.act(OPERATOR, pressed).await;

    assert_eq!(late["error"], "operation_timeout");
    let shown = stack(&desk).await;
    assert_eq!(shown[0]["trouble"], "接続中に問題が発生しました。もう一度試してみてください。");
    assert_eq!(shown[0]["state"]["values"]["mode"]["mode_select"]["selected_option"]["value"], "static");
    let message = &desk.seen_by(OPERATOR).await[0];
    assert_eq!(message["trouble"], "タイムアウトしました。アプリは 3 秒以内に応答する必要があります。");
}
