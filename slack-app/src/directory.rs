//! Who may do what in a real workspace: by configuration or by user group. Guests, strangers, bots and
//! whoever left may nothing, whatever stands in the configuration; and if Slack cannot be asked, nobody.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    fleet::Directory,
    model::{Role, SlackUser},
    roles::ConfiguredRoles,
    web::{User, Web},
};

/// Whoever is taken out of a group loses the role within this.
const REMEMBERED: Duration = Duration::from_mins(1);
/// More users than any workspace of ours has; beyond, all is forgotten.
const MOST: usize = 10_000;

#[derive(Clone)]
pub struct SlackDirectory(Arc<Inner>);

struct Inner {
    web: Web,
    team_id: Option<String>,
    users: ConfiguredRoles,
    /// Ids of user groups, and the role of whoever is in them.
    groups: ConfiguredRoles,
    known: Mutex<HashMap<SlackUser, (Option<Role>, Instant)>>,
}

impl SlackDirectory {
    pub fn new(web: Web, team_id: Option<String>, users: ConfiguredRoles, groups: ConfiguredRoles) -> Self {
        Self(Arc::new(Inner { web, team_id, users, groups, known: Mutex::default() }))
    }

    async fn ask(&self, user: &SlackUser) -> anyhow::Result<Option<Role>> {
        let told = self.0.web.user(&user.user_id).await?;
        if !self.is_one_of_us(user, &told) {
            tracing::warn!(slack.user_id = %user.user_id, "a guest or a stranger was shown out");
            return Ok(None);
        }
        let mut role = self.0.users.role_of(&user.user_id);
        for (group, grants) in self.0.groups.iter() {
            // One group that cannot be read must not pass for one that the user is not in.
            if role.is_none_or(|role| role < grants)
                && self.0.web.members(group).await?.contains(&user.user_id)
            {
                role = Some(grants);
            }
        }
        Ok(role)
    }

    fn is_one_of_us(&self, user: &SlackUser, told: &User) -> bool {
        let home = told.team_id.as_deref().unwrap_or(&user.team_id);
        let ours = self.0.team_id.as_deref().is_none_or(|team| team == home);
        let outsider = told.is_restricted || told.is_ultra_restricted || told.is_stranger;
        ours && !outsider && !told.deleted && !told.is_bot
    }
}

impl Directory for SlackDirectory {
    async fn role_of(&self, user: &SlackUser) -> anyhow::Result<Option<Role>> {
        let known = self.0.known.lock().get(user).copied();
        if let Some((role, _)) = known.filter(|(_, since)| since.elapsed() < REMEMBERED) {
            return Ok(role);
        }
        let role = self.ask(user).await?;
        let mut known = self.0.known.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(user.clone(), (role, Instant::now()));
        Ok(role)
    }
}
