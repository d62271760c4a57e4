//! Reads a Slack app manifest: which commands and shortcuts the app has, so that the page can hint them.

use serde::{Deserialize, Serialize};

/// What the emulator uses of an app manifest. Everything else in the file is left alone.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Manifest {
    #[serde(default)]
    pub display_information: DisplayInformation,
    #[serde(default)]
    pub features: Features,
}

#[derive(Debug, Clone, Deserialize)]
pub struct DisplayInformation {
    pub name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Features {
    #[serde(default)]
    pub slash_commands: Vec<SlashCommand>,
    #[serde(default)]
    pub shortcuts: Vec<Shortcut>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SlashCommand {
    pub command: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub usage_hint: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shortcut {
    pub name: String,
    /// `global` or `message`
    #[serde(rename = "type")]
    pub kind: String,
    pub callback_id: String,
    #[serde(default)]
    pub description: String,
}

impl Default for DisplayInformation {
    fn default() -> Self {
        Self { name: "App".to_owned() }
    }
}

impl Manifest {
    pub fn parse(yaml: &str) -> anyhow::Result<Self> {
        Ok(serde_yaml_ng::from_str(yaml)?)
    }

    /// Whether Slack would send this command to the app. Without a manifest every command is the app's.
    pub fn knows_command(&self, command: &str) -> bool {
        let commands = &self.features.slash_commands;
        commands.is_empty() || commands.iter().any(|known| known.command == command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_the_commands_the_app_has() {
        let manifest = Manifest::parse(
            "display_information: {name: Desk}\nfeatures:\n  bot_user: {display_name: Desk}\n  slash_commands:\n  - command: /desk\n    url: https://a/b\n    usage_hint: open\n",
        )
        .unwrap();

        assert_eq!(manifest.display_information.name, "Desk");
        assert!(manifest.knows_command("/desk"));
        assert!(!manifest.knows_command("/other"));
        assert!(Manifest::default().knows_command("/anything"));
    }
}
