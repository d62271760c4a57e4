//! conversations.*: channels, direct messages, and what was said in them.

use serde_json::{Value, json};

use super::Arguments;
use crate::state::people::{BOT_USER, Kind};
use crate::state::rooms::{Message, Room};
use crate::state::{Answer, Refusal};
use crate::workspace::Workspace;

pub(super) fn info(slack: &Workspace, arguments: &Arguments) -> Answer {
    with_room(slack, arguments, |room| Ok(json!({"channel": room.whole()})))
}

pub(super) fn list(slack: &Workspace) -> Value {
    let state = slack.state();
    let channels: Vec<Value> =
        state.rooms.all.iter().filter(|room| room.with.is_none()).map(Room::whole).collect();
    json!({"channels": channels, "response_metadata": {"next_cursor": ""}})
}

/// Opens the direct message with one user (several would be a group, which this workspace has not).
pub(super) fn open(slack: &Workspace, arguments: &Arguments) -> Answer {
    let users = match arguments.json("users") {
        Ok(Some(Value::Array(users))) => users.first().and_then(Value::as_str).unwrap_or("").to_owned(),
        _ => arguments.need("users")?.to_owned(),
    };
    let now = slack.now();
    let mut state = slack.state();
    if state.people.find(&users).is_none() {
        return Err(Refusal::new("user_not_found"));
    }
    let already = state.rooms.all.iter().any(|room| room.with.as_deref() == Some(&users));
    let room = state.rooms.direct(now, &users);
    let channel = if arguments.flag("return_im") { room.whole() } else { json!({"id": room.id}) };
    Ok(json!({"no_op": already, "already_open": already, "channel": channel}))
}

pub(super) fn members(slack: &Workspace, arguments: &Arguments) -> Answer {
    let state = slack.state();
    let room = find(&state.rooms.all, arguments)?;
    let people =
        state.people.everyone.iter().filter(|person| person.kind != Kind::Bot && room.admits(person.id));
    let mut members: Vec<&str> = people.map(|person| person.id).collect();
    members.extend(room.has_app.then_some(BOT_USER));
    Ok(json!({"members": members, "response_metadata": {"next_cursor": ""}}))
}

pub(super) fn history(slack: &Workspace, arguments: &Arguments) -> Answer {
    with_room(slack, arguments, |room| {
        let inclusive = arguments.flag("inclusive");
        let within = |message: &&Message| {
            let ts = message.ts.as_str();
            let after =
                arguments.text("oldest").is_none_or(|oldest| ts > oldest || (inclusive && ts == oldest));
            let before =
                arguments.text("latest").is_none_or(|latest| ts < latest || (inclusive && ts == latest));
            message.only_for.is_none() && message.thread().is_none() && after && before
        };
        let found: Vec<Value> =
            room.messages.iter().filter(within).rev().map(|message| room.shown(message)).collect();
        Ok(page(found, arguments))
    })
}

pub(super) fn replies(slack: &Workspace, arguments: &Arguments) -> Answer {
    let thread = arguments.need("ts")?;
    with_room(slack, arguments, |room| {
        room.message(thread).ok_or_else(|| Refusal::new("thread_not_found"))?;
        let within = |message: &&Message| {
            message.only_for.is_none() && (message.ts == thread || message.thread() == Some(thread))
        };
        let found: Vec<Value> =
            room.messages.iter().filter(within).map(|message| room.shown(message)).collect();
        Ok(page(found, arguments))
    })
}

fn page(mut found: Vec<Value>, arguments: &Arguments) -> Value {
    let limit = usize::try_from(arguments.number("limit").unwrap_or(100)).unwrap_or(100).clamp(1, 999);
    let start = arguments.text("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let rest = found.split_off(found.len().min(start));
    let has_more = rest.len() > limit;
    let next = if has_more { (start + limit).to_string() } else { String::new() };
    let messages: Vec<Value> = rest.into_iter().take(limit).collect();
    json!({"messages": messages, "has_more": has_more, "pin_count": 0, "response_metadata": {"next_cursor": next}})
}

fn with_room(slack: &Workspace, arguments: &Arguments, read: impl FnOnce(&Room) -> Answer) -> Answer {
    read(find(&slack.state().rooms.all, arguments)?)
}

fn find<'r>(rooms: &'r [Room], arguments: &Arguments) -> Result<&'r Room, Refusal> {
    let wanted = arguments.need("channel")?;
    rooms.iter().find(|room| room.id == wanted).ok_or_else(|| Refusal::new("channel_not_found"))
}
