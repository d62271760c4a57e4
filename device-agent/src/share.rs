//! The share that the box hosts for the receipt computer: a real smbd, whose configuration and password
//! follow the settings. Puts new ones on, tries a login, keeps them or puts the old ones back.
//!
//! Nothing here remembers how far it got: every step may be done twice, and what it does follows from the
//! settings alone, so whoever journals a change can go on after a power cut by asking again.

pub mod beside;
pub mod conf;
mod login;
mod password;
pub mod receipt_computer;
pub mod samba;
pub mod sessions;
pub mod setup;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use device_model::{lan::ReservedRanges, outcome::code, share::ShareSettings, thing_name::ThingName};
use tokio::sync::Mutex;

use crate::{
    config::hosting::Hosting,
    durable,
    identity::sealing::SealingKey,
    lan::Fault,
    share::{conf::Conf, password::Passwords, samba::Samba, sessions::SmbStatus},
};

/// What a box offers before anybody asks for something else.
const FIRST_NAME: &str = "rx";
const FIRST_USER: &str = "rece";
const FIRST_WORKGROUP: &str = "WORKGROUP";

/// Everything that hosting takes.
pub struct ShareHost {
    hosting: Hosting,
    /// Where the files of the share lie.
    share: PathBuf,
    /// What is ours of it: settings, password, credentials.
    folder: PathBuf,
    reserved: ReservedRanges,
    passwords: Passwords,
    samba: Samba,
    /// A change that was given up must not write beside the one that puts the old settings back.
    turn: Mutex<()>,
}

impl ShareHost {
    pub fn open(
        hosting: Hosting,
        share: PathBuf,
        state_dir: &Path,
        thing: ThingName,
        sealing: SealingKey,
        reserved: ReservedRanges,
    ) -> io::Result<Self> {
        let folder = state_dir.join("share");
        durable::make_folder(&folder)?;
        let passwords = Passwords { own: folder.join("password"), thing, sealing };
        let samba = Samba::new(&hosting);
        Ok(Self { hosting, share, folder, reserved, passwords, samba, turn: Mutex::new(()) })
    }

    /// Puts on what is saved: at a box's first start, and after whatever happened while no agent ran. A
    /// trial that was cut off is gone on with from there.
    pub async fn start(&self) -> Result<(), Fault> {
        let settings = self.saved()?;
        self.put(&settings).await?;
        self.save(&settings)
    }

    /// What outlives a power cut.
    pub fn saved(&self) -> Result<ShareSettings, Fault> {
        match fs::read(self.folder.join("settings.json")) {
            Ok(text) => Ok(serde_json::from_slice(&text).map_err(io::Error::from)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(first_settings()),
            Err(error) => Err(error.into()),
        }
    }

    /// Where `smbclient -A` finds the login that the share takes now.
    pub fn credentials(&self) -> PathBuf {
        self.folder.join("credentials")
    }

    pub async fn try_on(&self, settings: &ShareSettings) -> Result<(), Fault> {
        self.put(settings).await
    }

    /// Puts them on again, for a power cut may have been in between, and keeps them.
    pub async fn commit(&self, settings: &ShareSettings) -> Result<(), Fault> {
        self.put(settings).await?;
        self.save(settings)
    }

    /// `None`: nobody has ever asked for a share, so what is saved goes on again.
    pub async fn roll_back(&self, previous: Option<&ShareSettings>) -> Result<(), Fault> {
        let saved = self.saved()?;
        let previous = previous.unwrap_or(&saved);
        self.put(previous).await?;
        self.save(previous)
    }

    /// Who is connected, as smbd says.
    pub fn sessions(&self) -> SmbStatus {
        SmbStatus { conf: self.hosting.conf.clone(), is_ours: sessions::is_ours }
    }

    /// Whether the share lets its user in, tried by a real login for as long as `patience` lasts.
    pub async fn check_login(&self, patience: Duration) -> Result<(), Fault> {
        login::check(&self.credentials(), self.hosting.port, patience).await
    }

    /// Brings smbd to these settings. The new file stands beside the old one until it is found good; the
    /// credentials go first and come last, so that while they stand all the rest is as they say.
    async fn put(&self, settings: &ShareSettings) -> Result<(), Fault> {
        let _turn = self.turn.lock().await;
        let password = self.passwords.of(settings)?;
        let Hosting { conf: path, .. } = &self.hosting;
        // Beside smb.conf: smbd must find both, wherever the agent keeps its state.
        let users = path.with_extension("users");
        let conf = Conf {
            hosting: &self.hosting,
            share: &self.share,
            users: &users,
            reserved: &self.reserved,
            settings,
        };
        let (conf, map) = (conf.text(), conf.user_map());
        let credentials = password::credentials(settings, &password);
        if holds(path, &conf) && holds(&users, &map) && holds(&self.credentials(), &credentials) {
            return Ok(());
        }
        let draft = path.with_added_extension("new");
        durable::replace(&draft, conf.as_bytes())?;
        self.samba.check(&draft, &settings.name, &self.share).await?;
        remove(&self.credentials())?;
        durable::replace(&users, map.as_bytes())?;
        fs::rename(&draft, path)?;
        path.parent().map_or(Ok(()), durable::sync_folder)?;
        self.samba.set_password(&password).await?;
        self.samba.reload().await?;
        Ok(durable::replace(&self.credentials(), credentials.as_bytes())?)
    }

    fn save(&self, settings: &ShareSettings) -> Result<(), Fault> {
        let text = serde_json::to_vec(settings).map_err(io::Error::from)?;
        Ok(durable::replace(&self.folder.join("settings.json"), &text)?)
    }
}

fn holds(path: &Path, text: &str) -> bool {
    fs::read(path).is_ok_and(|found| found == text.as_bytes())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => path.parent().map_or(Ok(()), durable::sync_folder),
    }
}

fn first_settings() -> ShareSettings {
    ShareSettings {
        name: FIRST_NAME.to_owned(),
        user: FIRST_USER.to_owned(),
        workgroup: FIRST_WORKGROUP.to_owned(),
        password_sealed: None,
    }
}

fn not_set(detail: &str) -> Fault {
    Fault::new(code::SHARE_NOT_SET, detail)
}
