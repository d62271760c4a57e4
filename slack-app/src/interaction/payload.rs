//! The parts of Slack's interaction payloads that we use.
//!
//! Read by types of our own: those of slack-morphism lose fields and refuse an app without a team.

use std::collections::HashMap;

use serde::Deserialize;

use crate::{form::Values, job::ActView, model::SlackUser, request::Origin};

#[derive(Deserialize)]
pub struct Payload {
    pub r#type: String,
    /// Null when the app is installed in a whole organisation.
    #[serde(default)]
    team: Option<Team>,
    #[serde(default)]
    enterprise: Option<Team>,
    user: User,
    #[serde(default)]
    api_app_id: Option<String>,
    #[serde(default)]
    pub trigger_id: Option<String>,
    #[serde(default)]
    pub response_url: Option<String>,
    #[serde(default)]
    pub channel: Option<Team>,
    #[serde(default)]
    pub view: Option<View>,
    #[serde(default)]
    pub actions: Vec<Action>,
    #[serde(default)]
    message: Option<Message>,
    /// Of a suggestion: what was typed.
    #[serde(default)]
    pub value: Option<String>,
}

#[derive(Deserialize)]
pub struct View {
    pub id: String,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    hash: String,
    #[serde(default)]
    pub callback_id: String,
    #[serde(default)]
    pub private_metadata: String,
    #[serde(default)]
    state: State,
}

#[derive(Deserialize)]
pub struct Team {
    pub id: String,
}

#[derive(Deserialize)]
struct User {
    id: String,
    #[serde(default)]
    team_id: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    blocks: Vec<Block>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(default)]
    block_id: Option<String>,
}

#[derive(Default, Deserialize)]
struct State {
    #[serde(default)]
    values: HashMap<String, HashMap<String, Input>>,
}

#[derive(Deserialize)]
pub struct Action {
    pub action_id: String,
    #[serde(flatten)]
    input: Input,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    selected_option: Option<Chosen>,
    #[serde(default)]
    selected_date_time: Option<i64>,
}

#[derive(Deserialize)]
struct Chosen {
    value: String,
}

impl Payload {
    pub fn origin(&self) -> Origin<'_> {
        let enterprise_id = self.enterprise.as_ref().map(|enterprise| enterprise.id.as_str());
        Origin { team_id: self.team_id(), enterprise_id, app_id: self.api_app_id.as_deref() }
    }

    pub fn user(&self) -> SlackUser {
        SlackUser { team_id: self.team_id().unwrap_or_default().to_owned(), user_id: self.user.id.clone() }
    }

    /// The names of the blocks of the message that was pressed in or taken a shortcut from.
    pub fn message_blocks(&self) -> impl Iterator<Item = &str> {
        self.message.iter().flat_map(|message| &message.blocks).filter_map(|block| block.block_id.as_deref())
    }

    fn team_id(&self) -> Option<&str> {
        let team = self.team.as_ref().map(|team| team.id.as_str());
        team.or(self.user.team_id.as_deref())
    }
}

impl Action {
    pub fn given(&self) -> Option<&str> {
        let chosen = self.input.selected_option.as_ref().map(|chosen| chosen.value.as_str());
        self.input.value.as_deref().or(chosen)
    }
}

impl View {
    pub fn is_modal(&self) -> bool {
        self.r#type != "home"
    }

    /// What stands in the fields, by the name of the block. An empty field is left out.
    pub fn values(&self) -> Values {
        let inputs = self.state.values.iter();
        let inputs = inputs.filter_map(|(block, inputs)| Some((block, inputs.values().next()?)));
        inputs.filter_map(|(block, input)| Some((block.clone(), input.read()?))).collect()
    }

    pub fn as_act(&self) -> ActView {
        ActView {
            id: self.id.clone(),
            hash: self.hash.clone(),
            callback_id: self.callback_id.clone(),
            private_metadata: self.private_metadata.clone(),
            values: self.values(),
        }
    }
}

impl Input {
    fn read(&self) -> Option<String> {
        let chosen = self.selected_option.as_ref().map(|chosen| chosen.value.clone());
        self.value.clone().or(chosen).or_else(|| self.selected_date_time.map(|seconds| seconds.to_string()))
    }
}
