//! How the Slack workspace is reached, and who may do what from there.

use std::path::PathBuf;

use super::Reader;

#[derive(Clone)]
pub struct SlackConfig {
    pub signing_secret: String,
    pub bot_token: String,
    /// With it, Slack's requests come over lines that we open; none: over HTTP alone.
    pub app_token: Option<String>,
    pub api_url: String,
    pub team_id: String,
    pub app_id: String,
    pub channel_id: String,
    pub enterprise_id: Option<String>,
    /// Where something may be changed, besides that channel; empty: anywhere.
    pub channels: Vec<String>,
    /// User id and role, as in `U1=operator,U2=viewer`.
    pub roles: Vec<(String, String)>,
    /// Id of a user group and role, as in `S1=operator`.
    pub role_groups: Vec<(String, String)>,
    /// Which changes need a second pair of eyes; see [`crate::slack::approval`].
    pub approval: String,
    /// Where people's browsers reach this API.
    pub public_url: String,
    /// The font of the fleet's map; none: the map is told in words.
    pub map_font: Option<PathBuf>,
}

impl<F: Fn(&str) -> Option<String>> Reader<'_, F> {
    /// All of Slack's settings or none of them.
    pub(super) fn slack(&mut self) -> Option<SlackConfig> {
        let signing_secret = self.given("SLACK_SIGNING_SECRET")?;
        if !matches!(signing_secret.split(',').filter(|one| !one.trim().is_empty()).count(), 1 | 2) {
            self.faults.push("SLACK_SIGNING_SECRET is not one secret, or two while it is rotated".to_owned());
        }
        let bot_token = self.want("SLACK_BOT_TOKEN");
        let app_token = self.given("SLACK_APP_TOKEN");
        if app_token.as_ref().is_some_and(|token| !token.starts_with("xapp-")) {
            self.faults.push("SLACK_APP_TOKEN is not an app-level token, which begins with xapp-".to_owned());
        }
        let team_id = self.want("SLACK_TEAM_ID");
        let app_id = self.want("SLACK_APP_ID");
        let channel_id = self.want("SLACK_CHANNEL_ID");
        let roles = self.pairs("SLACK_ROLES", "U1=operator,U2=viewer");
        let role_groups = self.pairs("SLACK_ROLE_GROUPS", "S1=operator,S2=viewer");
        let channels = self.given("SLACK_CHANGE_CHANNELS").unwrap_or_default();
        let channels = channels.split(',').map(str::trim).filter(|one| !one.is_empty());
        let listen = self.given("FLEET_API_LISTEN").unwrap_or_default();
        let public_url = self.given("RECEHUB_PUBLIC_URL").unwrap_or_else(|| format!("http://{listen}"));
        Some(SlackConfig {
            signing_secret,
            bot_token: bot_token?,
            app_token,
            api_url: self.given("SLACK_API_URL").unwrap_or_else(|| "https://slack.com/api".to_owned()),
            team_id: team_id?,
            app_id: app_id?,
            channel_id: channel_id?,
            enterprise_id: self.given("SLACK_ENTERPRISE_ID"),
            channels: channels.map(str::to_owned).collect(),
            roles,
            role_groups,
            approval: self.given("SLACK_APPROVAL").unwrap_or_default(),
            public_url: public_url.trim_end_matches('/').to_owned(),
            map_font: self.given("RECEHUB_MAP_FONT").map(PathBuf::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, tests::environment};

    #[test]
    fn slack_signs_with_one_secret_or_with_two_while_it_is_rotated() {
        let told = |secrets: &'static str| {
            let read = Config::read(move |name: &str| match name {
                "SLACK_SIGNING_SECRET" => Some(secrets.to_owned()),
                "SLACK_BOT_TOKEN" | "SLACK_TEAM_ID" | "SLACK_APP_ID" | "SLACK_CHANNEL_ID" => {
                    Some("X".to_owned())
                }
                name => environment(name),
            });
            read.map_err(|faults| faults.to_string()).err()
        };

        assert_eq!(told("new"), None);
        assert_eq!(told("new,old"), None);
        for none in [",", "new,old,older"] {
            assert!(
                told(none).is_some_and(|told| told.contains("SLACK_SIGNING_SECRET is not one")),
                "{none}"
            );
        }
    }
}
