//! Slack's answers, as far as we read them.

use serde::Deserialize;

#[derive(Deserialize)]
pub struct Opened {
    pub view: OpenedView,
}

#[derive(Deserialize)]
pub struct OpenedView {
    pub id: String,
}

#[derive(Deserialize)]
pub struct PostedMessage {
    pub channel: String,
    pub ts: String,
}

#[derive(Deserialize)]
pub struct UserInfo {
    pub user: User,
}

/// A user as far as it matters who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "Slack's own")]
pub struct User {
    pub locale: Option<String>,
    pub team_id: Option<String>,
    pub deleted: bool,
    pub is_bot: bool,
    /// A guest.
    pub is_restricted: bool,
    pub is_ultra_restricted: bool,
    /// Of another workspace, by Slack Connect.
    pub is_stranger: bool,
}

#[derive(Deserialize)]
pub struct Members {
    pub users: Vec<String>,
}

#[derive(Deserialize)]
pub struct OpenedChannel {
    pub channel: Channel,
}

#[derive(Deserialize)]
pub struct Channel {
    pub id: String,
}

#[derive(Deserialize)]
pub struct UploadPlace {
    pub upload_url: String,
    pub file_id: String,
}

#[derive(Deserialize)]
pub struct History {
    pub messages: Vec<HistoryMessage>,
}

#[derive(Deserialize)]
pub struct HistoryMessage {
    pub ts: String,
    #[serde(default)]
    pub blocks: Vec<HistoryBlock>,
}

#[derive(Deserialize)]
pub struct HistoryBlock {
    pub block_id: Option<String>,
}

impl HistoryMessage {
    pub fn is_named(&self, block_id: &str) -> bool {
        self.blocks.iter().any(|block| block.block_id.as_deref() == Some(block_id))
    }
}

/// Where a line is to be opened; with a ticket in it, so as good as a key.
#[derive(Deserialize)]
pub struct LineOpened {
    pub url: String,
}
