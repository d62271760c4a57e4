//! auth, users, usergroups, team, bots.

use serde_json::{Value, json};

use super::Arguments;
use crate::state::people::{APP_ID, BOT_ID, BOT_USER, TEAM_DOMAIN, TEAM_ID, TEAM_NAME};
use crate::state::{Answer, Refusal};
use crate::workspace::Workspace;

pub(super) fn auth_test(slack: &Workspace) -> Value {
    json!({
        "url": format!("{}/", slack.url()), "team": TEAM_NAME, "user": "app", "team_id": TEAM_ID, "user_id": BOT_USER,
        "bot_id": BOT_ID, "is_enterprise_install": false,
    })
}

pub(super) fn info(slack: &Workspace, arguments: &Arguments) -> Answer {
    let id = arguments.text("user").ok_or_else(|| Refusal::new("user_not_found"))?;
    let state = slack.state();
    let person = state.people.find(id).ok_or_else(|| Refusal::new("user_not_found"))?;
    Ok(json!({"user": person.whole(arguments.flag("include_locale"))}))
}

pub(super) fn list(slack: &Workspace, arguments: &Arguments) -> Value {
    let with_locale = arguments.flag("include_locale");
    let state = slack.state();
    let members: Vec<Value> = state.people.everyone.iter().map(|person| person.whole(with_locale)).collect();
    json!({"members": members, "cache_ts": slack.now().as_secs(), "response_metadata": {"next_cursor": ""}})
}

pub(super) fn groups(slack: &Workspace, arguments: &Arguments) -> Value {
    let with_users = arguments.flag("include_users");
    let state = slack.state();
    let groups: Vec<Value> = state.people.groups.iter().map(|group| group.whole(with_users)).collect();
    json!({"usergroups": groups})
}

pub(super) fn group_members(slack: &Workspace, arguments: &Arguments) -> Answer {
    let wanted = arguments.need("usergroup")?;
    let state = slack.state();
    let group = state.people.groups.iter().find(|group| group.id == wanted);
    let group = group.ok_or_else(|| Refusal::new("no_such_subteam"))?;
    Ok(json!({"users": group.users}))
}

pub(super) fn team() -> Value {
    json!({"team": {"id": TEAM_ID, "name": TEAM_NAME, "domain": TEAM_DOMAIN, "email_domain": "", "icon": {}}})
}

pub(super) fn bot(slack: &Workspace) -> Value {
    let bot = json!({"id": BOT_ID, "deleted": false, "name": slack.app_name(), "updated": 1_700_000_000,
        "app_id": APP_ID, "user_id": BOT_USER, "icons": {}});
    json!({"bot": bot})
}
