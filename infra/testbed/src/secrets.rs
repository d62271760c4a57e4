//! The secrets of this one laptop system, made at its first start and kept beside its state.

use std::{
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use rand::{Rng, distr::Alphanumeric};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Made once, the same ever after.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secrets {
    /// The superuser's and the owner's.
    pub postgres_password: String,
    /// The role's that the API works as.
    #[serde(default = "password")]
    pub application_password: String,
    pub server_id: String,
    /// Keys of an administrator of the account.
    pub admin_key: AccessKey,
    /// Keys with the rights of the API's own role.
    pub api_key: AccessKey,
    /// Keys with the rights of the role that rebuilds a ledger.
    #[serde(default = "AccessKey::new")]
    pub restore_key: AccessKey,
    pub path_key: String,
    /// Signs checkpoints of the audit log.
    #[serde(default = "key")]
    pub audit_key: String,
    pub events_secret: String,
    pub slack_signing_secret: String,
    pub slack_bot_token: String,
    pub share_password: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessKey {
    pub id: String,
    pub secret: String,
}

impl Secrets {
    pub fn open(folder: &Path) -> Result<Self> {
        let file = folder.join("secrets.json");
        if let Some(secrets) = read_json(&file)? {
            // What this version has beyond the last one was made just now, and is to stay.
            write_json(&file, &secrets)?;
            return Ok(secrets);
        }
        let secrets = Self {
            postgres_password: password(),
            application_password: password(),
            server_id: format!("recehub-{}", text(16).to_lowercase()),
            admin_key: AccessKey::new(),
            api_key: AccessKey::new(),
            restore_key: AccessKey::new(),
            path_key: key(),
            audit_key: key(),
            events_secret: text(40),
            slack_signing_secret: hex::encode(rand::random::<[u8; 16]>()),
            slack_bot_token: format!("xoxb-{}", text(32)),
            share_password: text(16),
        };
        write_json(&file, &secrets)?;
        Ok(secrets)
    }
}

impl AccessKey {
    fn new() -> Self {
        let id: String = text(32).chars().filter(char::is_ascii_uppercase).cycle().take(16).collect();
        Self { id: format!("AKIA{id}"), secret: text(40) }
    }

    /// As the local cloud takes it.
    pub fn as_pair(&self) -> String {
        format!("{}:{}", self.id, self.secret)
    }
}

fn password() -> String {
    text(32)
}

fn key() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}

pub fn text(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

/// Reads a file that may not be there yet.
pub fn read_json<T: DeserializeOwned>(file: &Path) -> Result<Option<T>> {
    match fs::read_to_string(file) {
        Ok(text) => {
            let value = serde_json::from_str(&text);
            Ok(Some(value.with_context(|| format!("{} cannot be read", file.display()))?))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
    }
}

/// Puts a file, readable for its owner only, in the place of the old one at once.
pub fn write_json<T: Serialize>(file: &Path, value: &T) -> Result<()> {
    write_file(file, serde_json::to_string_pretty(value)?.as_bytes(), 0o600)
}

pub fn write_file(file: &Path, content: &[u8], mode: u32) -> Result<()> {
    let draft = file.with_extension("draft");
    let mut open = fs::File::options();
    let mut draft_file = open.create(true).write(true).truncate(true).mode(mode).open(&draft)?;
    draft_file.set_permissions(fs::Permissions::from_mode(mode))?;
    draft_file.write_all(content)?;
    draft_file.sync_all()?;
    Ok(fs::rename(&draft, file)?)
}
