//! chat.*: posting, editing, deleting, and messages for one pair of eyes.

use serde_json::{Value, json};

use super::Arguments;
use crate::blockkit;
use crate::state::rooms::Content;
use crate::state::{Answer, Refusal};
use crate::workspace::Workspace;

const TEXT_LENGTH: usize = 40_000;

pub(super) fn post(slack: &Workspace, arguments: &Arguments) -> Answer {
    let content = slack.content(|name| arguments.json_or_text(name))?;
    let (now, wanted) = (slack.now(), arguments.need("channel")?);
    let mut state = slack.state();
    let ts = state.ts(now);
    let is_user = state.people.find(wanted).is_some();
    let room = state.rooms.for_app(now, wanted, is_user)?;
    room.may_write()?;
    let message = room.app_says(ts.clone(), slack.app_name(), content, arguments.text("thread_ts"), None)?;
    let message = Value::Object(message.body.clone());
    let channel = room.id.clone();
    drop(state);
    slack.messages_changed(&channel);
    Ok(json!({"channel": channel, "ts": ts, "message": message}))
}

pub(super) fn post_ephemeral(slack: &Workspace, arguments: &Arguments) -> Answer {
    let content = slack.content(|name| arguments.json_or_text(name))?;
    let (now, wanted, user) = (slack.now(), arguments.need("channel")?, arguments.need("user")?);
    let mut state = slack.state();
    let ts = state.ts(now);
    if state.people.find(user).is_none() {
        return Err(Refusal::new("user_not_found"));
    }
    let is_user = state.people.find(wanted).is_some();
    let room = state.rooms.for_app(now, wanted, is_user)?;
    room.may_write()?;
    if !room.admits(user) {
        return Err(Refusal::new("user_not_in_channel"));
    }
    room.app_says(ts.clone(), slack.app_name(), content, arguments.text("thread_ts"), Some(user))?;
    let channel = room.id.clone();
    drop(state);
    slack.messages_changed(&channel);
    Ok(json!({"message_ts": ts}))
}

pub(super) fn update(slack: &Workspace, arguments: &Arguments) -> Answer {
    let content = slack.content(|name| arguments.json_or_text(name))?;
    let (channel, ts) = (arguments.need("channel")?, arguments.need("ts")?);
    let now = slack.now();
    let mut state = slack.state();
    let edited = state.ts(now);
    let room = state.rooms.find_mut(channel).ok_or_else(|| Refusal::new("channel_not_found"))?;
    room.may_write()?;
    let message = room.edit(ts, content, &edited)?;
    let text = message.body.get("text").cloned().unwrap_or_default();
    let message = Value::Object(message.body.clone());
    drop(state);
    slack.messages_changed(channel);
    Ok(json!({"channel": channel, "ts": ts, "text": text, "message": message}))
}

pub(super) fn delete(slack: &Workspace, arguments: &Arguments) -> Answer {
    let (channel, ts) = (arguments.need("channel")?, arguments.need("ts")?);
    let mut state = slack.state();
    let room = state.rooms.find_mut(channel).ok_or_else(|| Refusal::new("channel_not_found"))?;
    room.delete(ts)?;
    drop(state);
    slack.messages_changed(channel);
    Ok(json!({"channel": channel, "ts": ts}))
}

pub(super) fn permalink(slack: &Workspace, arguments: &Arguments) -> Answer {
    let (channel, ts) = (arguments.need("channel")?, arguments.need("message_ts")?);
    let state = slack.state();
    let room = state.rooms.find(channel).ok_or_else(|| Refusal::new("channel_not_found"))?;
    room.message(ts).ok_or_else(|| Refusal::new("message_not_found"))?;
    let link = format!("{}/archives/{channel}/p{}", slack.url(), ts.replace('.', ""));
    Ok(json!({"channel": channel, "permalink": link}))
}

impl Arguments {
    fn json_or_text(&self, name: &str) -> Result<Option<Value>, Refusal> {
        match name {
            "text" | "markdown_text" => Ok(self.0.get(name).filter(|text| text.is_string()).cloned()),
            _ => self.json(name),
        }
    }
}

impl Workspace {
    /// The content of a message from what the app gave, checked; `given` looks up an argument.
    pub(crate) fn content(
        &self,
        given: impl Fn(&str) -> Result<Option<Value>, Refusal>,
    ) -> Result<Content, Refusal> {
        let mut content = Content::new();
        if let Some(text) = given("text")?.or(given("markdown_text")?) {
            if text.as_str().is_none_or(|text| text.chars().count() > TEXT_LENGTH) {
                return Err(Refusal::new("msg_too_long"));
            }
            content.insert("text".to_owned(), text);
        }
        if let Some(blocks) = given("blocks")? {
            let has_file = |id: &str| self.state().files.find(id).is_some();
            content.insert("blocks".to_owned(), blockkit::message(&blocks, &has_file)?);
        }
        for name in ["attachments", "metadata"] {
            if let Some(value) = given(name)? {
                content.insert(name.to_owned(), value);
            }
        }
        let has_text = content.get("text").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        let has =
            |name: &str| content.get(name).and_then(Value::as_array).is_some_and(|items| !items.is_empty());
        if !has_text && !has("blocks") && !has("attachments") {
            return Err(Refusal::new("no_text"));
        }
        Ok(content)
    }
}
