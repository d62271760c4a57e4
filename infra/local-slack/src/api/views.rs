//! views.*: modals in exchange for a trigger, updates under a hash, and App Home.

use serde_json::{Map, Value, json};

use super::Arguments;
use crate::blockkit;
use crate::state::{Answer, Refusal};
use crate::workspace::Workspace;

pub(super) fn open(slack: &Workspace, arguments: &Arguments) -> Answer {
    let given = slack.given_view(arguments, "modal")?;
    let (now, trigger) = (slack.now(), arguments.need("trigger_id")?);
    let mut state = slack.state();
    let (user, _) = state.tickets.exchange(now, trigger)?;
    let view = state.views.open(&user, given, now.as_secs())?;
    drop(state);
    slack.views_changed(&user);
    Ok(json!({"view": view}))
}

/// Only a trigger that came from an open modal lets another be laid on it.
pub(super) fn push(slack: &Workspace, arguments: &Arguments) -> Answer {
    let given = slack.given_view(arguments, "modal")?;
    let (now, trigger) = (slack.now(), arguments.need("trigger_id")?);
    let mut state = slack.state();
    let (user, from) = state.tickets.exchange(now, trigger)?;
    if from.is_none_or(|from| state.views.find(&from).is_none_or(crate::state::views::View::is_home)) {
        return Err(Refusal::new("no_view_to_push_to"));
    }
    let view = state.views.push(&user, given, now.as_secs())?;
    drop(state);
    slack.views_changed(&user);
    Ok(json!({"view": view}))
}

pub(super) fn update(slack: &Workspace, arguments: &Arguments) -> Answer {
    let given = arguments.json("view")?.ok_or_else(|| Refusal::missing("view"))?;
    let kind = if given["type"] == "home" { "home" } else { "modal" };
    let given = slack.checked_view(&given, kind)?;
    let (id, external_id) = (arguments.text("view_id"), arguments.text("external_id"));
    let second = slack.now().as_secs();
    let updated = slack.state().views.update(id, external_id, arguments.text("hash"), given, second)?;
    let (user, view) = updated;
    slack.views_changed(&user);
    Ok(json!({"view": view}))
}

pub(super) fn publish(slack: &Workspace, arguments: &Arguments) -> Answer {
    let given = slack.given_view(arguments, "home")?;
    let user = arguments.need("user_id")?;
    let second = slack.now().as_secs();
    let mut state = slack.state();
    if state.people.find(user).is_none() {
        return Err(Refusal::new("user_not_found"));
    }
    let view = state.views.publish(user, arguments.text("hash"), given, second)?;
    drop(state);
    slack.views_changed(user);
    Ok(json!({"view": view}))
}

impl Workspace {
    fn given_view(&self, arguments: &Arguments, kind: &str) -> Result<Map<String, Value>, Refusal> {
        let given = arguments.json("view")?.ok_or_else(|| Refusal::missing("view"))?;
        self.checked_view(&given, kind)
    }

    /// The view as Slack would take it.
    pub(crate) fn checked_view(&self, given: &Value, kind: &str) -> Result<Map<String, Value>, Refusal> {
        blockkit::view(given, kind, &|id| self.state().files.find(id).is_some())
    }
}
