//! Work behind an acknowledgement. It holds no secret and no prescription.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::model::SlackUser;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Job {
    /// `/rece …`
    Command { user: SlackUser, channel_id: String, text: String, trigger_id: String, response_url: String },
    /// A button was pressed, something was chosen, or a shortcut was used.
    Act(Act),
    /// Somebody opened the app's Home.
    Home { user: SlackUser },
}

/// What somebody did, and where an answer can be given.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    pub user: SlackUser,
    /// Of the button; see [`crate::verb`].
    pub verb: String,
    /// What it is about: the name of a box, or the id of a change.
    pub about: String,
    /// None: in a modal or in Home.
    pub channel_id: Option<String>,
    pub trigger_id: String,
    /// Of a message only.
    pub response_url: Option<String>,
    /// The modal in which it happened.
    pub view: Option<ActView>,
}

/// A modal as it stood when something was done in it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActView {
    pub id: String,
    pub hash: String,
    pub callback_id: String,
    pub private_metadata: String,
    /// What stood in its fields, by field.
    pub values: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct TakenJob {
    pub id: i64,
    pub job: Job,
    /// How long ago the request came, by the clock of whoever keeps the jobs. A trigger is good for
    /// three seconds.
    pub age: Duration,
    pub attempt: u32,
}

/// Whoever knows the address of the answer can answer in our name.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { user, channel_id, .. } => {
                let mut shown = f.debug_struct("Command");
                shown.field("user", user).field("channel_id", channel_id).finish_non_exhaustive()
            }
            Self::Act(act) => {
                let mut shown = f.debug_struct("Act");
                shown.field("user", &act.user).field("verb", &act.verb).finish_non_exhaustive()
            }
            Self::Home { user } => f.debug_struct("Home").field("user", user).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_shows_nothing_that_one_could_answer_with() {
        let user = SlackUser { team_id: "T1".to_owned(), user_id: "U1".to_owned() };
        let [text, trigger_id, response_url] = ["canary", "canary", "https://canary"].map(str::to_owned);
        let act = Job::Act(Act {
            user: user.clone(),
            verb: "status".to_owned(),
            about: "canary".to_owned(),
            channel_id: None,
            trigger_id: "canary".to_owned(),
            response_url: Some("https://canary".to_owned()),
            view: None,
        });
        let command = Job::Command { user, channel_id: "C1".to_owned(), text, trigger_id, response_url };

        for job in [command, act] {
            let shown = format!("{job:?}");
            assert!(shown.contains("U1") && !shown.contains("canary"), "{shown}");
        }
    }
}
