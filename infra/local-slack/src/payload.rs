//! The payloads Slack sends for what a user did, field by field as in its documentation.

use serde_json::{Value, json};

use crate::elements::Spot;
use crate::state::people::{APP_ID, BOT_USER, Person, TEAM_DOMAIN, TEAM_ID, VERIFICATION_TOKEN};
use crate::state::rooms::{Message, Room};
use crate::state::views::View;

/// What every interaction carries.
fn interaction(kind: &str, user: &Person) -> Value {
    json!({
        "type": kind, "user": user.brief(), "api_app_id": APP_ID, "token": VERIFICATION_TOKEN,
        "team": {"id": TEAM_ID, "domain": TEAM_DOMAIN}, "enterprise": null, "is_enterprise_install": false,
    })
}

pub fn actions_in_view(user: &Person, view: &View, trigger: &str, action: Value) -> Value {
    let mut payload = interaction("block_actions", user);
    payload["container"] = json!({"type": "view", "view_id": view.id});
    payload["trigger_id"] = json!(trigger);
    payload["view"] = view.whole();
    payload["actions"] = Value::Array(vec![action]);
    payload
}

/// What a press in a message brings along.
pub struct Pressed<'a> {
    pub values: Value,
    pub trigger: &'a str,
    pub response_url: &'a str,
    pub action: Value,
}

/// For an ephemeral message Slack does not send the message itself.
pub fn actions_in_message(user: &Person, room: &Room, message: &Message, pressed: Pressed<'_>) -> Value {
    let Pressed { values, trigger, response_url, action } = pressed;
    let hidden = message.only_for.is_some();
    let mut payload = interaction("block_actions", user);
    payload["container"] =
        json!({"type": "message", "message_ts": message.ts, "channel_id": room.id, "is_ephemeral": hidden});
    if let Some(thread) = message.thread() {
        payload["container"]["thread_ts"] = json!(thread);
    }
    payload["trigger_id"] = json!(trigger);
    payload["channel"] = room.brief();
    if !hidden {
        payload["message"] = room.shown(message);
    }
    payload["state"] = json!({"values": values});
    payload["response_url"] = json!(response_url);
    payload["actions"] = Value::Array(vec![action]);
    payload
}

pub fn suggestion_in_view(user: &Person, view: &View, spot: &Spot, typed: &str) -> Value {
    let mut payload = suggestion(user, spot, typed);
    payload["container"] = json!({"type": "view", "view_id": view.id});
    payload["view"] = view.whole();
    payload
}

pub fn suggestion_in_message(
    user: &Person,
    room: &Room,
    message: &Message,
    spot: &Spot,
    typed: &str,
) -> Value {
    let hidden = message.only_for.is_some();
    let mut payload = suggestion(user, spot, typed);
    payload["container"] =
        json!({"type": "message", "message_ts": message.ts, "channel_id": room.id, "is_ephemeral": hidden});
    payload["channel"] = room.brief();
    if !hidden {
        payload["message"] = room.shown(message);
    }
    payload
}

fn suggestion(user: &Person, spot: &Spot, typed: &str) -> Value {
    let mut payload = interaction("block_suggestion", user);
    payload["action_id"] = json!(spot.action_id);
    payload["block_id"] = json!(spot.block_id);
    payload["value"] = json!(typed);
    payload
}

pub fn submission(user: &Person, view: &View, trigger: &str) -> Value {
    let mut payload = interaction("view_submission", user);
    payload["trigger_id"] = json!(trigger);
    payload["view"] = view.whole();
    payload["response_urls"] = json!([]);
    payload
}

pub fn closed(user: &Person, view: &View, is_cleared: bool) -> Value {
    let mut payload = interaction("view_closed", user);
    payload["view"] = view.whole();
    payload["is_cleared"] = json!(is_cleared);
    payload
}

pub fn global_shortcut(user: &Person, callback_id: &str, trigger: &str, ts: &str) -> Value {
    let mut payload = interaction("shortcut", user);
    payload["callback_id"] = json!(callback_id);
    payload["trigger_id"] = json!(trigger);
    payload["action_ts"] = json!(ts);
    payload
}

pub fn message_shortcut(
    user: &Person,
    room: &Room,
    message: &Message,
    callback_id: &str,
    trigger: &str,
    response_url: &str,
    ts: &str,
) -> Value {
    let mut payload = global_shortcut(user, callback_id, trigger, ts);
    payload["type"] = json!("message_action");
    payload["channel"] = room.brief();
    payload["message_ts"] = json!(message.ts);
    payload["message"] = room.shown(message);
    payload["response_url"] = json!(response_url);
    payload
}

/// `app_home_opened`; the view is there when the app had put one up before.
pub fn home_opened(
    user: &Person,
    channel: &str,
    view: Option<&View>,
    second: u64,
    event_id: &str,
    ts: &str,
) -> Value {
    let mut event = json!({"type": "app_home_opened", "user": user.id, "channel": channel, "tab": "home", "event_ts": ts});
    if let Some(view) = view {
        event["view"] = view.whole();
    }
    json!({
        "token": VERIFICATION_TOKEN, "team_id": TEAM_ID, "context_team_id": TEAM_ID, "context_enterprise_id": null,
        "api_app_id": APP_ID, "event": event, "type": "event_callback", "event_id": event_id, "event_time": second,
        "authorizations": [{"enterprise_id": null, "team_id": TEAM_ID, "user_id": BOT_USER, "is_bot": true,
            "is_enterprise_install": false}],
        "is_ext_shared_channel": false, "event_context": format!("4-{event_id}"),
    })
}
