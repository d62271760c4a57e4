//! `/rece …`: written down and acknowledged at once; the worker answers.

use std::str::FromStr;

use axum::extract::State;
use serde::Deserialize;

use crate::{
    SlackApp,
    fleet::Ports,
    job::Job,
    model::SlackUser,
    normal::halved,
    request::{Origin, Signed, Turned},
};

/// What was asked for, read from the text after `/rece`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    Menu,
    Help,
    Lan { target: String },
    Status { target: String },
    History { target: String },
    Rollback { target: String },
    Pending,
    Approve,
    Unknown { text: String },
}

/// The fields of a command that we use. Slack sends more.
#[derive(Deserialize)]
pub struct Command {
    #[serde(default)]
    team_id: Option<String>,
    #[serde(default)]
    enterprise_id: Option<String>,
    #[serde(default)]
    api_app_id: Option<String>,
    user_id: String,
    channel_id: String,
    #[serde(default)]
    text: String,
    trigger_id: String,
    response_url: String,
}

/// `POST /slack/commands`
pub async fn take<P: Ports>(State(app): State<SlackApp<P>>, signed: Signed) -> Result<(), Turned> {
    if signed.is_ssl_check() {
        return Ok(());
    }
    given(&app, signed.form()?).await
}

/// Whichever way it came.
pub async fn given<P: Ports>(app: &SlackApp<P>, command: Command) -> Result<(), Turned> {
    let team_id = command.team_id.as_deref().filter(|team| !team.is_empty());
    let enterprise_id = command.enterprise_id.as_deref().filter(|id| !id.is_empty());
    let origin = Origin { team_id, enterprise_id, app_id: command.api_app_id.as_deref() };
    origin.check(app.settings())?;
    let user = SlackUser { team_id: team_id.unwrap_or_default().to_owned(), user_id: command.user_id };
    tracing::info!(slack.user_id = %user.user_id, "a command came");
    // Slack repeats a request that it thinks was lost: the trigger is the same, so the job is.
    let key = format!("command:{}", command.trigger_id);
    let job = Job::Command {
        user,
        channel_id: command.channel_id,
        text: command.text,
        trigger_id: command.trigger_id,
        response_url: command.response_url,
    };
    app.write_down(&key, &job).await
}

impl FromStr for Asked {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = halved(text);
        let (verb, rest) = text.split_once(char::is_whitespace).unwrap_or((&text, ""));
        let target = rest.trim().to_owned();
        Ok(match verb.to_ascii_lowercase().as_str() {
            "" | "menu" => Self::Menu,
            "help" => Self::Help,
            "lan" => Self::Lan { target },
            "status" => Self::Status { target },
            "history" => Self::History { target },
            "rollback" => Self::Rollback { target },
            "pending" => Self::Pending,
            "approve" => Self::Approve,
            _ => Self::Unknown { text },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Asked {
        text.parse().unwrap()
    }

    #[test]
    fn a_command_is_read_as_a_japanese_keyboard_types_it() {
        let lan = |target: &str| Asked::Lan { target: target.to_owned() };
        assert_eq!(asked("lan tenpo-0001"), lan("tenpo-0001"));
        assert_eq!(asked("  ＬＡＮ　ひまわり 薬局 "), lan("ひまわり 薬局"));
        assert_eq!(asked("lan"), lan(""));
        assert_eq!(asked(""), Asked::Menu);
        assert_eq!(asked("HELP"), Asked::Help);
        assert_eq!(asked("ｐｅｎｄｉｎｇ"), Asked::Pending);
        assert_eq!(asked("dance now"), Asked::Unknown { text: "dance now".to_owned() });
    }
}
