//! Typed things: slash commands, messages; and the shortcuts.

use serde_json::{Value, json};

use super::{Done, Impossible, told};
use crate::payload;
use crate::state::people::{APP_ID, Person, TEAM_DOMAIN, TEAM_ID, VERIFICATION_TOKEN};
use crate::state::rooms::CHANNEL_ID;
use crate::workspace::Workspace;

impl Workspace {
    pub(super) async fn command(&self, user: &Person, channel: &str, command: &str, text: &str) -> Done {
        let (trigger, hook, name) = {
            let now = self.now();
            let mut state = self.state();
            let name = match state.rooms.find(channel) {
                Some(room) if room.admits(user.id) => room.name.clone(),
                _ => return Err(Impossible::no("channel", channel)),
            };
            let trigger = state.tickets.trigger(now, user.id, None);
            let hook = state.tickets.hook(now, "commands", channel, user.id, None);
            (trigger, hook, name)
        };
        if !self.settings.manifest.knows_command(command) {
            let text = user.reads(
                &format!("`{command}` is not a valid command."),
                &format!("`{command}` は有効なコマンドではありません。"),
            );
            self.whisper(channel, user, &text);
            return Ok(json!({"ackMs": 0, "status": 0, "body": null, "error": "not_a_command"}));
        }
        let response_url = format!("{}{hook}", self.url());
        let ack = self
            .deliver_command(&[
                ("token", VERIFICATION_TOKEN),
                ("team_id", TEAM_ID),
                ("team_domain", TEAM_DOMAIN),
                ("channel_id", channel),
                ("channel_name", &name),
                ("user_id", user.id),
                ("user_name", &user.name),
                ("command", command),
                ("text", text),
                ("api_app_id", APP_ID),
                ("is_enterprise_install", "false"),
                ("response_url", &response_url),
                ("trigger_id", &trigger),
            ])
            .await;
        let mut failed = ack.error.clone();
        if failed.is_none() && !ack.is_empty() {
            let answer = match &ack.body {
                Value::String(text) => json!({"text": text}),
                body => body.clone(),
            };
            if answer["response_type"] == "in_channel" {
                self.say(user, channel, format!("{command} {text}").trim_end(), None)?;
            }
            if let Err(refusal) = self.answer_in(channel, user.id, None, &answer) {
                tracing::warn!(refusal.error, messages = ?refusal.messages, "the answer to a command is no message");
                failed = Some(refusal.error);
            }
        }
        if let Some(error) = failed {
            let text = user.reads(
                &format!("{command} failed with the error \"{error}\""),
                &format!("{command} はエラー「{error}」により失敗しました"),
            );
            self.whisper(channel, user, &text);
        }
        Ok(told(&ack))
    }

    /// A plain message of a person's.
    pub(super) fn say(&self, user: &Person, channel: &str, text: &str, thread: Option<&str>) -> Done {
        let now = self.now();
        let mut state = self.state();
        let ts = state.ts(now);
        let room = state.rooms.find_mut(channel).filter(|room| room.admits(user.id));
        let room = room.ok_or_else(|| Impossible::no("channel", channel))?;
        room.person_says(ts.clone(), user.id, text, thread, None);
        drop(state);
        self.messages_changed(channel);
        Ok(json!({"ackMs": 0, "status": 0, "body": null, "ts": ts}))
    }

    /// Slackbot tells one user something.
    pub(super) fn whisper(&self, channel: &str, user: &Person, text: &str) {
        let now = self.now();
        let mut state = self.state();
        let ts = state.ts(now);
        if let Some(room) = state.rooms.find_mut(channel) {
            room.slackbot_whispers(ts, text, user.id);
        }
        drop(state);
        self.messages_changed(channel);
    }

    pub(super) async fn shortcut(
        &self,
        user: &Person,
        channel: &str,
        callback_id: &str,
        message_ts: Option<&str>,
    ) -> Done {
        let payload = {
            let now = self.now();
            let mut state = self.state();
            let ts = state.ts(now);
            let trigger = state.tickets.trigger(now, user.id, None);
            match message_ts {
                None => payload::global_shortcut(user, callback_id, &trigger, &ts),
                Some(message_ts) => {
                    let hook = state.tickets.hook(now, "actions", channel, user.id, Some(message_ts));
                    let room = state.rooms.find(channel).ok_or_else(|| Impossible::no("channel", channel))?;
                    let message = room.message(message_ts).filter(|message| message.only_for.is_none());
                    let message = message.ok_or_else(|| Impossible::no("message", message_ts))?;
                    let response_url = format!("{}{hook}", self.url());
                    payload::message_shortcut(user, room, message, callback_id, &trigger, &response_url, &ts)
                }
            }
        };
        let ack = self.deliver_interaction(&payload).await;
        if let Some(error) = &ack.error {
            let text = user.reads(
                &format!("That shortcut didn't work (error \"{error}\")."),
                &format!("ショートカットを実行できませんでした(エラー「{error}」)。"),
            );
            let channel = if message_ts.is_some() { channel } else { CHANNEL_ID };
            self.whisper(channel, user, &text);
        }
        Ok(told(&ack))
    }
}
