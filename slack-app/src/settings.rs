//! How the app reaches its workspace, and whom it listens to.

use std::fmt;

/// What the app has to know about the workspace that it is installed in.
#[derive(Clone)]
pub struct Settings {
    /// One; two while the secret is being rotated.
    pub signing_secrets: Vec<String>,
    pub bot_token: String,
    /// `https://slack.com/api`, or where a local Slack listens.
    pub api_url: String,
    /// Requests of other workspaces are refused. None: any that is signed for this app.
    pub team_id: Option<String>,
    pub app_id: Option<String>,
    /// Where changes are announced.
    pub channel_id: String,
}

impl Settings {
    /// Splits `secret` or `new-secret,old-secret`; empty parts are left out.
    pub fn signing_secrets(text: &str) -> Vec<String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    }
}

/// Leaves out what must not be read in a log.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("api_url", &self.api_url)
            .field("team_id", &self.team_id)
            .field("app_id", &self.app_id)
            .field("channel_id", &self.channel_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let settings = Settings {
            signing_secrets: Settings::signing_secrets("first, second,"),
            bot_token: "xoxb-secret".to_owned(),
            api_url: "https://slack.com/api".to_owned(),
            team_id: None,
            app_id: None,
            channel_id: "C1".to_owned(),
        };

        let shown = format!("{settings:?}");

        assert_eq!(settings.signing_secrets, ["first", "second"]);
        assert!(!shown.contains("first") && !shown.contains("xoxb"), "{shown}");
    }
}
