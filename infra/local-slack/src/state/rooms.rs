//! Channels and direct messages, and what was said in them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::people::{APP_ID, BOT_ID, BOT_USER, OPERATOR, SLACKBOT, STRANGER, TEAM_ID};
use super::{Refusal, fresh_id};

pub const CHANNEL_ID: &str = "C01OPERATNS";
pub const GENERAL_ID: &str = "C01GENERAL0";

#[derive(Debug)]
pub struct Rooms {
    pub all: Vec<Room>,
}

#[derive(Debug)]
pub struct Room {
    pub id: String,
    pub name: String,
    pub topic: String,
    pub created: u64,
    /// A direct message between the app and this user.
    pub with: Option<String>,
    pub has_app: bool,
    pub archived: bool,
    pub messages: Vec<Message>,
}

#[derive(Debug, Clone)]
pub struct Message {
    pub ts: String,
    /// As Slack gives it: `type`, `ts`, `user`, `text`, `blocks`, `thread_ts`, `edited`, `files` ..
    pub body: Map<String, Value>,
    /// Only this user sees it.
    pub only_for: Option<String>,
    /// A failure to show beside the message: the app did not answer a press of its button.
    pub trouble: Option<String>,
}

impl Message {
    pub fn thread(&self) -> Option<&str> {
        self.body.get("thread_ts").and_then(Value::as_str).filter(|thread| *thread != self.ts)
    }

    pub fn is_from_app(&self) -> bool {
        self.body.contains_key("bot_id")
    }

    pub fn blocks(&self) -> &[Value] {
        self.body.get("blocks").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// What somebody writes: any of `text`, `blocks`, `attachments`, `files`, `metadata`.
pub type Content = Map<String, Value>;

impl Rooms {
    pub fn furnished(now: Duration, channel_name: &str) -> Self {
        let room = |id: &str, name: &str, topic: &str, has_app| Room {
            id: id.to_owned(),
            name: name.to_owned(),
            topic: topic.to_owned(),
            created: now.as_secs(),
            with: None,
            has_app,
            archived: false,
            messages: Vec::new(),
        };
        Self {
            all: vec![
                room(CHANNEL_ID, channel_name, "アプリからのお知らせと操作はこのチャンネルで", true),
                room(GENERAL_ID, "全社-お知らせ", "アプリは参加していません", false),
            ],
        }
    }

    pub fn find(&self, id: &str) -> Option<&Room> {
        self.all.iter().find(|room| room.id == id)
    }

    pub fn find_mut(&mut self, id: &str) -> Option<&mut Room> {
        self.all.iter_mut().find(|room| room.id == id)
    }

    /// The direct message between the app and a user, opened on first use.
    pub fn direct(&mut self, now: Duration, user: &str) -> &mut Room {
        let at = self.all.iter().position(|room| room.with.as_deref() == Some(user));
        let at = at.unwrap_or_else(|| {
            self.all.push(Room {
                id: fresh_id('D'),
                name: "directmessage".to_owned(),
                topic: String::new(),
                created: now.as_secs(),
                with: Some(user.to_owned()),
                has_app: true,
                archived: false,
                messages: Vec::new(),
            });
            self.all.len() - 1
        });
        &mut self.all[at]
    }

    /// The room the app means: by id, by `#name`, or a user's id for the direct message with them.
    pub fn for_app(&mut self, now: Duration, wanted: &str, is_user: bool) -> Result<&mut Room, Refusal> {
        if is_user {
            return Ok(self.direct(now, wanted));
        }
        let name = wanted.strip_prefix('#').unwrap_or(wanted);
        let found = self.all.iter_mut().find(|room| room.id == wanted || room.name == name);
        found.ok_or_else(|| Refusal::new("channel_not_found"))
    }
}

impl Room {
    pub fn message(&self, ts: &str) -> Option<&Message> {
        self.messages.iter().find(|message| message.ts == ts)
    }

    pub fn message_mut(&mut self, ts: &str) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.ts == ts)
    }

    pub fn may_write(&self) -> Result<(), Refusal> {
        match (self.archived, self.has_app) {
            (true, _) => Err(Refusal::new("is_archived")),
            (false, false) => Err(Refusal::new("not_in_channel")),
            (false, true) => Ok(()),
        }
    }

    /// Adds what the app says. A `thread` must be a message that stands here.
    pub fn app_says(
        &mut self,
        ts: String,
        app_name: &str,
        content: Content,
        thread: Option<&str>,
        only_for: Option<&str>,
    ) -> Result<&Message, Refusal> {
        if let Some(thread) = thread
            && self.message(thread).is_none()
        {
            return Err(Refusal::new("thread_not_found"));
        }
        let mut body = json!({
            "type": "message", "ts": ts, "user": BOT_USER, "bot_id": BOT_ID, "app_id": APP_ID, "team": TEAM_ID,
            "text": "",
            "bot_profile": {
                "id": BOT_ID, "app_id": APP_ID, "user_id": BOT_USER, "name": app_name, "deleted": false,
                "updated": 1_700_000_000, "team_id": TEAM_ID,
                "icons": {"image_36": "https://a.slack-edge.com/80588/img/plugins/app/bot_36.png"},
            },
        });
        if let Some(body) = body.as_object_mut() {
            body.extend(content);
        }
        if let Some(thread) = thread {
            body["thread_ts"] = json!(thread);
            body["parent_user_id"] = json!(BOT_USER);
        }
        Ok(self.add(ts, body, only_for))
    }

    /// Adds what a person, or Slack itself, says.
    pub fn person_says(
        &mut self,
        ts: String,
        user: &str,
        text: &str,
        thread: Option<&str>,
        only_for: Option<&str>,
    ) {
        let mut body = json!({"type": "message", "ts": ts, "user": user, "team": TEAM_ID, "text": text});
        if let Some(thread) = thread {
            body["thread_ts"] = json!(thread);
        }
        self.add(ts, body, only_for);
    }

    pub fn slackbot_whispers(&mut self, ts: String, text: &str, to: &str) {
        self.person_says(ts, SLACKBOT, text, None, Some(to));
    }

    fn add(&mut self, ts: String, body: Value, only_for: Option<&str>) -> &Message {
        let body = match body {
            Value::Object(body) => body,
            _ => Map::new(),
        };
        let at = self.messages.len();
        self.messages.push(Message { ts, body, only_for: only_for.map(str::to_owned), trouble: None });
        &self.messages[at]
    }

    /// Puts new content in the place of the old, as `chat.update` does, which cannot reach ephemeral ones.
    pub fn edit(&mut self, ts: &str, content: Content, edited_ts: &str) -> Result<&Message, Refusal> {
        if self.message(ts).is_some_and(|message| message.only_for.is_some()) {
            return Err(Refusal::new("message_not_found"));
        }
        self.rewrite(ts, content, edited_ts)
    }

    /// The same by `response_url`, which reaches ephemeral messages too.
    pub fn replace(&mut self, ts: &str, content: Content, edited_ts: &str) -> Result<(), Refusal> {
        self.rewrite(ts, content, edited_ts).map(|_| ())
    }

    fn rewrite(&mut self, ts: &str, content: Content, edited_ts: &str) -> Result<&Message, Refusal> {
        let message = self.message_mut(ts).ok_or_else(|| Refusal::new("message_not_found"))?;
        if !message.is_from_app() {
            return Err(Refusal::new("cant_update_message"));
        }
        // Blocks that are not sent again are gone: otherwise a button would outlive its purpose.
        for key in ["text", "blocks", "attachments"] {
            message.body.remove(key);
        }
        message.body.insert("text".to_owned(), json!(""));
        message.body.extend(content);
        message.body.insert("edited".to_owned(), json!({"user": BOT_USER, "ts": edited_ts}));
        message.trouble = None;
        Ok(message)
    }

    pub fn delete(&mut self, ts: &str) -> Result<(), Refusal> {
        let at = self.messages.iter().position(|message| message.ts == ts);
        let at = at.ok_or_else(|| Refusal::new("message_not_found"))?;
        if !self.messages[at].is_from_app() {
            return Err(Refusal::new("cant_delete_message"));
        }
        self.messages.remove(at);
        Ok(())
    }

    /// The message as Slack shows it, with the counts of its thread when it has one.
    pub fn shown(&self, message: &Message) -> Value {
        let mut body = message.body.clone();
        let replies: Vec<&Message> =
            self.messages.iter().filter(|reply| reply.thread() == Some(&message.ts)).collect();
        if let Some(last) = replies.last() {
            let mut users: Vec<&Value> = replies.iter().filter_map(|reply| reply.body.get("user")).collect();
            users.dedup();
            body.insert("thread_ts".to_owned(), json!(message.ts));
            body.insert("reply_count".to_owned(), json!(replies.len()));
            body.insert("reply_users_count".to_owned(), json!(users.len()));
            body.insert("reply_users".to_owned(), json!(users));
            body.insert("latest_reply".to_owned(), json!(last.ts));
            body.insert("subscribed".to_owned(), json!(false));
        }
        Value::Object(body)
    }

    pub fn brief(&self) -> Value {
        json!({"id": self.id, "name": self.name})
    }

    pub fn whole(&self) -> Value {
        if let Some(user) = &self.with {
            return json!({
                "id": self.id, "created": self.created, "is_im": true, "is_archived": false, "is_org_shared": false,
                "user": user, "is_user_deleted": false, "priority": 0, "context_team_id": TEAM_ID,
            });
        }
        let says = |value: &str| json!({"value": value, "creator": OPERATOR, "last_set": self.created});
        json!({
            "id": self.id, "name": self.name, "name_normalized": self.name, "created": self.created,
            "creator": OPERATOR, "context_team_id": TEAM_ID, "is_channel": true, "is_group": false, "is_im": false,
            "is_mpim": false, "is_private": false, "is_archived": self.archived, "is_general": self.id == GENERAL_ID,
            "is_shared": false, "is_ext_shared": false, "is_org_shared": false, "is_pending_ext_shared": false,
            "is_member": self.has_app, "unlinked": 0, "shared_team_ids": [TEAM_ID], "pending_shared": [],
            "previous_names": [], "parent_conversation": null, "topic": says(&self.topic), "purpose": says(""),
            "num_members": if self.has_app { 8 } else { 7 },
        })
    }

    /// Whether a user may be in this room at all.
    pub fn admits(&self, user: &str) -> bool {
        match &self.with {
            Some(with) => with == user,
            None => user != STRANGER || self.id != GENERAL_ID,
        }
    }
}
