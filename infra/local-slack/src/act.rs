//! What a user does in Slack: types a command, presses, submits, closes. The page and the tests' driver
//! both come in here, so what a test drives is what an operator works.

mod choices;
mod commands;
mod press;
mod submit;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::deliver::Ack;
use crate::payload;
use crate::state::people::Person;
use crate::state::rooms::CHANNEL_ID;
use crate::state::{fresh_id, people};
use crate::workspace::Workspace;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Act {
    pub user_id: String,
    #[serde(default = "ops_channel")]
    pub channel_id: String,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum What {
    Command {
        command: String,
        #[serde(default)]
        text: String,
    },
    Message {
        text: String,
        thread_ts: Option<String>,
    },
    Action(Press),
    Submit {
        view_id: String,
        #[serde(default)]
        values: Map<String, Value>,
    },
    /// `clear`: the X of a stacked modal, which closes all of them.
    Close {
        view_id: String,
        #[serde(default)]
        clear: bool,
    },
    Shortcut {
        callback_id: String,
        message_ts: Option<String>,
    },
    Home {},
    /// `value` is what was typed so far.
    Suggest(Press),
    /// Slack checks the events address, as when it is entered in the app's settings.
    Verify {},
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Press {
    pub view_id: Option<String>,
    pub message_ts: Option<String>,
    pub block_id: Option<String>,
    pub action_id: String,
    pub value: Option<Value>,
    pub selected_option: Option<Value>,
    /// What stands in the other fields, as for `submit`.
    #[serde(default)]
    pub values: Map<String, Value>,
}

fn ops_channel() -> String {
    CHANNEL_ID.to_owned()
}

/// Why an act is not possible: there is no such button, modal, person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impossible(pub String);

impl Impossible {
    fn no(what: &str, which: &str) -> Self {
        Self(format!("there is no {what} `{which}`"))
    }
}

pub type Done = Result<Value, Impossible>;

impl Workspace {
    /// Does what a user did, to the end of Slack's part in it.
    pub async fn act(&self, act: Act) -> Done {
        let user = self.person(&act.user_id)?;
        let channel = act.channel_id.as_str();
        match act.what {
            What::Command { command, text } => self.command(&user, channel, &command, &text).await,
            What::Message { text, thread_ts } => self.say(&user, channel, &text, thread_ts.as_deref()),
            What::Action(press) => self.press(&user, channel, press).await,
            What::Submit { view_id, values } => self.submit(&user, &view_id, &values).await,
            What::Close { view_id, clear } => self.close(&user, &view_id, clear).await,
            What::Shortcut { callback_id, message_ts } => {
                self.shortcut(&user, channel, &callback_id, message_ts.as_deref()).await
            }
            What::Home {} => self.open_home(&user).await,
            What::Suggest(query) => {
                let place = press::Place {
                    channel,
                    view_id: query.view_id.as_deref(),
                    message_ts: query.message_ts.as_deref(),
                };
                let typed = query.value.as_ref().and_then(Value::as_str).unwrap_or("");
                self.suggest(&user, &place, &query, typed).await
            }
            What::Verify {} => self.verify().await,
        }
    }

    fn person(&self, id: &str) -> Result<Person, Impossible> {
        self.state().people.find(id).cloned().ok_or_else(|| Impossible::no("user", id))
    }

    async fn open_home(&self, user: &Person) -> Done {
        let payload = {
            let now = self.now();
            let mut state = self.state();
            let ts = state.ts(now);
            let channel = state.rooms.direct(now, user.id).id.clone();
            let event_id = fresh_id('E').replacen('E', "Ev", 1);
            payload::home_opened(user, &channel, state.views.home(user.id), now.as_secs(), &event_id, &ts)
        };
        Ok(told(&self.deliver_event(&payload).await))
    }

    async fn verify(&self) -> Done {
        let challenge = crate::state::fresh_hex(20);
        let event =
            json!({"token": people::VERIFICATION_TOKEN, "challenge": challenge, "type": "url_verification"});
        let ack = self.deliver_event(&event).await;
        let verified = ack.body.as_str() == Some(&challenge) || ack.body["challenge"] == json!(challenge);
        let mut answer = told(&ack);
        answer["verified"] = json!(verified);
        Ok(answer)
    }
}

/// The driver's answer about an acknowledgement.
fn told(ack: &Ack) -> Value {
    serde_json::to_value(ack).unwrap_or_default()
}
