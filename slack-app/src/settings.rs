//! How the app reaches its workspace, and whom it listens to.

use std::{fmt, path::PathBuf};

/// What the app has to know about the workspace that it is installed in.
#[derive(Clone)]
pub struct Settings {
    /// One; two while the secret is being rotated.
    pub signing_secrets: Vec<String>,
    pub bot_token: String,
    /// With it, Slack's requests come over lines that we open (Socket Mode). None: over HTTP alone.
    pub app_token: Option<String>,
    /// `https://slack.com/api`, or where a local Slack listens.
    pub api_url: String,
    /// Requests of other workspaces are refused. None: any that is signed for this app.
    pub team_id: Option<String>,
    /// Requests of other organisations are refused. None: any.
    pub enterprise_id: Option<String>,
    pub app_id: Option<String>,
    /// Where changes are announced.
    pub channel_id: String,
    /// Channels in which something may be changed, the one above included. Empty: any that the app is in.
    pub channels: Vec<String>,
    /// With all the characters that the fleet's map needs; none: the map is told in words.
    pub map_font: Option<PathBuf>,
}

impl Settings {
    /// Whether something may be changed from there. A modal and Home have no channel: whoever came to them
    /// was let in where they came from.
    pub fn may_change_in(&self, channel_id: Option<&str>) -> bool {
        let listed =
            |channel: &str| channel == self.channel_id || self.channels.iter().any(|one| one == channel);
        self.channels.is_empty() || channel_id.is_none_or(listed)
    }

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
    fn a_list_of_channels_shuts_out_all_others() {
        let mut settings = settings();
        assert!(settings.may_change_in(Some("C9")), "no list, no limit");

        settings.channels = vec!["C2".to_owned()];

        for (channel, may) in [(Some("C1"), true), (Some("C2"), true), (Some("C9"), false), (None, true)] {
            assert_eq!(settings.may_change_in(channel), may, "{channel:?}");
        }
    }

    fn settings() -> Settings {
        Settings {
            signing_secrets: Settings::signing_secrets("first, second,"),
            bot_token: "xoxb-secret".to_owned(),
            app_token: Some("xapp-secret".to_owned()),
            api_url: "https://slack.com/api".to_owned(),
            team_id: None,
            enterprise_id: None,
            app_id: None,
            channel_id: "C1".to_owned(),
            channels: Vec::new(),
            map_font: None,
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let settings = settings();

        let shown = format!("{settings:?}");

        assert_eq!(settings.signing_secrets, ["first", "second"]);
        assert!(!shown.contains("first") && !shown.contains("xoxb") && !shown.contains("xapp"), "{shown}");
    }
}
