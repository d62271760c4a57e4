//! Buttons, selects and other elements, in messages, modals and Home; and autocomplete.

use serde_json::{Map, Value, json};

use super::{Done, Impossible, Press, told};
use crate::deliver::Ack;
use crate::elements::{self, Spot};
use crate::payload;
use crate::state::State;
use crate::state::people::Person;
use crate::state::rooms::{Message, Room};
use crate::state::views::View;
use crate::workspace::Workspace;

/// Where an element stands.
pub(super) struct Place<'a> {
    pub channel: &'a str,
    pub view_id: Option<&'a str>,
    pub message_ts: Option<&'a str>,
}

impl Place<'_> {
    fn message<'s>(&self, state: &'s State, user: &Person) -> Result<(&'s Room, &'s Message), Impossible> {
        let ts = self.message_ts.ok_or_else(|| Impossible("a viewId or a messageTs is needed".to_owned()))?;
        let room = state.rooms.all.iter().filter(|room| room.id == self.channel || room.with.is_some());
        let found = room.filter(|room| room.admits(user.id)).find_map(|room| Some((room, room.message(ts)?)));
        let seen = |message: &Message| message.only_for.as_deref().is_none_or(|only| only == user.id);
        found.filter(|(_, message)| seen(message)).ok_or_else(|| Impossible::no("message", ts))
    }
}

/// The view of a user's, open now.
pub(super) fn view_of<'s>(state: &'s mut State, user: &Person, id: &str) -> Result<&'s mut View, Impossible> {
    state
        .views
        .find_mut(id)
        .filter(|view| view.user == user.id)
        .ok_or_else(|| Impossible::no("open view", id))
}

/// Puts `values` (by block or action id, or in Slack's own form) into a view's fields.
pub(super) fn type_in(view: &mut View, values: &Map<String, Value>) -> Result<(), Impossible> {
    let spots = elements::spots(view.blocks());
    for (name, given) in values {
        let here: Vec<&Spot> =
            spots.iter().filter(|spot| spot.block_id == *name || spot.action_id == *name).collect();
        if here.is_empty() && given.is_object() {
            // A whole state as a page had it, sent while the app was taking this block away.
            continue;
        }
        if here.is_empty() {
            return Err(Impossible::no("field", name));
        }
        for spot in here {
            let own =
                if spot.block_id == *name { given.get(&spot.action_id).unwrap_or(given) } else { given };
            let entry = elements::filled(&spot.element, own)
                .ok_or_else(|| Impossible(format!("the field `{name}` does not offer {own}")))?;
            elements::put(&mut view.values, &spot.block_id, &spot.action_id, entry);
        }
    }
    Ok(())
}

/// The element meant by an action id. Buttons of a list may share one: then the value, or the block, tells.
fn spot(blocks: &[Value], press: &Press) -> Result<Spot, Impossible> {
    let mut found = elements::spots(blocks);
    found.retain(|spot| {
        spot.action_id == press.action_id
            && press.block_id.as_ref().is_none_or(|wanted| *wanted == spot.block_id)
    });
    let same_value = |spot: &Spot| press.value.is_some() && spot.element.get("value") == press.value.as_ref();
    if let Some(at) = found.iter().position(same_value) {
        found.swap(0, at);
    }
    found.into_iter().next().ok_or_else(|| Impossible::no("element with the action id", &press.action_id))
}

impl Press {
    fn given(&self) -> Option<&Value> {
        self.selected_option.as_ref().or(self.value.as_ref())
    }

    fn action(&self, spot: &Spot, ts: &str) -> Result<Value, Impossible> {
        let given = self.given().unwrap_or(&Value::Null);
        elements::acted(spot, self.given(), ts)
            .ok_or_else(|| Impossible(format!("`{}` does not offer {given}", spot.action_id)))
    }

    /// What now stands in the element that was worked.
    fn entry(&self, spot: &Spot) -> Option<Value> {
        elements::filled(&spot.element, self.given().unwrap_or(&Value::Null))
    }
}

impl Workspace {
    pub(super) async fn press(&self, user: &Person, channel: &str, press: Press) -> Done {
        match &press.view_id {
            Some(view_id) => self.press_in_view(user, view_id, &press).await,
            None => self.press_in_message(user, channel, &press).await,
        }
    }

    async fn press_in_view(&self, user: &Person, view_id: &str, press: &Press) -> Done {
        let payload = {
            let now = self.now();
            let mut state = self.state();
            let ts = state.ts(now);
            let trigger = state.tickets.trigger(now, user.id, Some(view_id));
            let view = view_of(&mut state, user, view_id)?;
            type_in(view, &press.values)?;
            let spot = spot(view.blocks(), press)?;
            let action = press.action(&spot, &ts)?;
            if let Some(entry) = press.entry(&spot) {
                elements::put(&mut view.values, &spot.block_id, &spot.action_id, entry);
            }
            view.trouble = None;
            payload::actions_in_view(user, view, &trigger, action)
        };
        let ack = self.deliver_interaction(&payload).await;
        if let Some(trouble) = press_trouble(&ack, user) {
            if let Ok(view) = view_of(&mut self.state(), user, view_id) {
                view.trouble = Some(trouble);
            }
            self.views_changed(user.id);
        }
        Ok(told(&ack))
    }

    async fn press_in_message(&self, user: &Person, channel: &str, press: &Press) -> Done {
        let place = Place { channel, view_id: None, message_ts: press.message_ts.as_deref() };
        let (payload, room_id, ts) = {
            let now = self.now();
            let mut state = self.state();
            let action_ts = state.ts(now);
            let trigger = state.tickets.trigger(now, user.id, None);
            let (room, message) = place.message(&state, user)?;
            let (room_id, message_ts) = (room.id.clone(), message.ts.clone());
            let hook = state.tickets.hook(now, "actions", &room_id, user.id, Some(&message_ts));
            let (room, message) = place.message(&state, user)?;
            let spot = spot(message.blocks(), press)?;
            let action = press.action(&spot, &action_ts)?;
            let mut values = elements::untouched(message.blocks());
            for (block, actions) in &press.values {
                for (action, entry) in actions.as_object().into_iter().flatten() {
                    elements::put(&mut values, block, action, entry.clone());
                }
            }
            if let Some(entry) = press.entry(&spot) {
                elements::put(&mut values, &spot.block_id, &spot.action_id, entry);
            }
            let pressed = payload::Pressed {
                values: Value::Object(values),
                trigger: &trigger,
                response_url: &format!("{}{hook}", self.url()),
                action,
            };
            (payload::actions_in_message(user, room, message, pressed), room_id, message_ts)
        };
        let ack = self.deliver_interaction(&payload).await;
        if let Some(message) = self.state().rooms.find_mut(&room_id).and_then(|room| room.message_mut(&ts)) {
            message.trouble = press_trouble(&ack, user);
        }
        self.messages_changed(&room_id);
        Ok(told(&ack))
    }

    pub(super) async fn suggest(&self, user: &Person, place: &Place<'_>, query: &Press, typed: &str) -> Done {
        let payload = {
            let mut state = self.state();
            if let Some(view_id) = place.view_id {
                let view = view_of(&mut state, user, view_id)?;
                let spot = spot(view.blocks(), query)?;
                long_enough(&spot, typed)?;
                payload::suggestion_in_view(user, view, &spot, typed)
            } else {
                let (room, message) = place.message(&state, user)?;
                let spot = spot(message.blocks(), query)?;
                long_enough(&spot, typed)?;
                payload::suggestion_in_message(user, room, message, &spot, typed)
            }
        };
        let ack = self.deliver_interaction(&payload).await;
        let mut answer = told(&ack);
        if ack.error.is_none() {
            let faults = crate::blockkit::suggested_options(&ack.body);
            if !faults.is_empty() {
                tracing::warn!(?faults, "the options the app suggests are not usable");
                answer["error"] = json!("invalid_options");
                answer["faults"] = json!(faults);
            }
        }
        Ok(answer)
    }
}

/// Slack asks the app only once enough was typed.
fn long_enough(spot: &Spot, typed: &str) -> Result<(), Impossible> {
    if !spot.element["type"].as_str().is_some_and(|kind| kind.contains("external")) {
        return Err(Impossible(format!("`{}` does not ask the app for options", spot.action_id)));
    }
    let least = spot.element["min_query_length"].as_u64().unwrap_or(3);
    if (typed.chars().count() as u64) < least {
        return Err(Impossible(format!("Slack asks from {least} characters on")));
    }
    Ok(())
}

/// What stands beside a button that the app did not answer.
fn press_trouble(ack: &Ack, user: &Person) -> Option<String> {
    let text = match (ack.error.as_deref()?, ack.status) {
        ("operation_timeout", _) => user.reads(
            "Operation timed out. Apps need to respond within 3 seconds.",
            "タイムアウトしました。アプリは 3 秒以内に応答する必要があります。",
        ),
        (_, 0) => user.reads("This app is not responding.", "アプリが応答していません。"),
        (_, status) => user.reads(
            &format!("This app responded with Status Code {status}."),
            &format!("アプリがステータスコード {status} を返しました。"),
        ),
    };
    Some(text)
}
