//! The parts of Slack's interaction payloads that we use.
//!
//! Read by types of our own: those of slack-morphism lose fields and refuse an app without a team.

use std::collections::HashMap;

use serde::Deserialize;

use crate::{fleet::SlackUser, form::Values, request::Origin};

#[derive(Deserialize)]
pub struct Payload {
    pub r#type: String,
    /// Null when the app is installed in a whole organisation.
    #[serde(default)]
    team: Option<Team>,
    user: User,
    #[serde(default)]
    api_app_id: Option<String>,
    #[serde(default)]
    pub view: Option<View>,
}

#[derive(Deserialize)]
pub struct View {
    pub id: String,
    #[serde(default)]
    pub callback_id: String,
    #[serde(default)]
    pub private_metadata: String,
    #[serde(default)]
    state: State,
}

#[derive(Deserialize)]
struct Team {
    id: String,
}

#[derive(Deserialize)]
struct User {
    id: String,
    #[serde(default)]
    team_id: Option<String>,
}

#[derive(Default, Deserialize)]
struct State {
    #[serde(default)]
    values: HashMap<String, HashMap<String, Input>>,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    selected_option: Option<Chosen>,
}

#[derive(Deserialize)]
struct Chosen {
    value: String,
}

impl Payload {
    pub fn origin(&self) -> Origin<'_> {
        Origin { team_id: self.team_id(), app_id: self.api_app_id.as_deref() }
    }

    pub fn user(&self) -> SlackUser {
        SlackUser { team_id: self.team_id().unwrap_or_default().to_owned(), user_id: self.user.id.clone() }
    }

    fn team_id(&self) -> Option<&str> {
        let team = self.team.as_ref().map(|team| team.id.as_str());
        team.or(self.user.team_id.as_deref())
    }
}

impl View {
    /// What stands in the fields, by the name of the block. An empty field is left out.
    pub fn values(&self) -> Values {
        let inputs = self.state.values.iter();
        let inputs = inputs.filter_map(|(block, inputs)| Some((block, inputs.values().next()?)));
        let read = inputs.filter_map(|(block, input)| {
            let chosen = input.selected_option.as_ref().map(|chosen| &chosen.value);
            Some((block.clone(), input.value.as_ref().or(chosen)?.clone()))
        });
        read.collect()
    }
}
