//! A LAN interface for laptops and tests: what runs and what would survive a power cut are files in a
//! folder, and files in it tell it to wait or to fail. It touches no network.
//!
//! `gate/hold-PHASE` holds a change there, `wan-down` keeps the cloud out of reach, and
//! `saved-fault`, `baseline-fault`, `apply-fault`, `probe-fault`, `commit-fault` and `rollback-fault` hold
//! the code that the call fails with for as long as they are there.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use device_model::{
    lan::{Addressing, LanSettings},
    outcome::code,
    shadow::{Effective, ProbePolicy, ShareProbe, TrialPhase},
};
use serde_json::json;

use crate::{
    durable,
    lan::{
        Fault, LanInterface,
        state::{Profile, Wish},
    },
};

/// How often the gate is looked at while it is closed.
const LOOK: Duration = Duration::from_millis(10);
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

pub struct FakeLan {
    folder: PathBuf,
}

impl FakeLan {
    /// The interface as a boot finds it: what is not running any more comes from what was saved.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder.join("gate"))?;
        let fake = Self { folder: folder.to_owned() };
        if fake.read("saved.json")?.is_none() {
            fake.put("saved.json", &first_settings())?;
        }
        if fake.read("running.json")?.is_none()
            && let Some(saved) = fake.read("saved.json")?
        {
            fake.put("running.json", &saved)?;
        }
        Ok(fake)
    }

    fn read(&self, name: &str) -> io::Result<Option<Profile>> {
        match fs::read(self.folder.join(name)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn put(&self, name: &str, profile: &Profile) -> io::Result<()> {
        durable::replace(&self.folder.join(name), &serde_json::to_vec_pretty(profile)?)
    }

    fn fault(&self, call: &str) -> Result<(), Fault> {
        match self.word(&format!("{call}-fault")) {
            Some(code) => Err(Fault::new(&code, &format!("told to fail by the file `{call}-fault`"))),
            None => Ok(()),
        }
    }

    fn word(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.folder.join(name)).ok()?;
        Some(text.trim().to_owned()).filter(|word| !word.is_empty())
    }
}

impl LanInterface for FakeLan {
    type Baseline = ();

    async fn reached(&self, step: TrialPhase) {
        let name = json!(step).as_str().unwrap_or_default().to_owned();
        let gate = self.folder.join("gate");
        let hold = gate.join(format!("hold-{name}"));
        if !hold.exists() {
            return;
        }
        if let Err(error) = durable::replace(&gate.join("at"), name.as_bytes()) {
            tracing::warn!(%error, "the gate cannot tell where it holds");
        }
        while hold.exists() {
            tokio::time::sleep(LOOK).await;
        }
        drop(fs::remove_file(gate.join("at")));
    }

    fn boot_id(&self) -> String {
        self.word("boot-id")
            .or_else(|| fs::read_to_string(BOOT_ID).ok())
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    async fn saved(&self) -> Result<Profile, Fault> {
        self.fault("saved")?;
        Ok(self.read("saved.json")?.unwrap_or_else(first_settings))
    }

    async fn effective(&self) -> Option<Effective> {
        let running = self.read("running.json").ok().flatten()?;
        Some(match running.lan.addressing() {
            Addressing::Static { address, .. } => {
                Effective { address: Some(address.to_string()), source: "static".to_owned() }
            }
            // Nobody hands out a lease here, and none is made up.
            Addressing::Dhcp => Effective { address: None, source: "dhcp".to_owned() },
        })
    }

    async fn judgeable(&self) {
        while self.folder.join("wan-down").exists() {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn baseline(&self, _: &Wish) -> Result<(), Fault> {
        self.fault("baseline")
    }

    async fn try_on(&self, profile: &Profile) -> Result<(), Fault> {
        self.fault("apply")?;
        Ok(self.put("running.json", profile)?)
    }

    async fn probe(&self, profile: &Profile, (): &()) -> Result<(), Fault> {
        match self.fault("probe") {
            Err(fault) if fault.code == code::SHARE_LOGIN && profile.probe.share == ShareProbe::Warn => {
                Ok(())
            }
            probed => probed,
        }
    }

    async fn commit(&self, profile: &Profile) -> Result<(), Fault> {
        self.fault("commit")?;
        // Running too: after a power cut in the middle it is the old one again.
        self.put("saved.json", profile)?;
        Ok(self.put("running.json", profile)?)
    }

    async fn roll_back(&self, previous: &Profile) -> Result<(), Fault> {
        self.fault("rollback")?;
        Ok(self.put("running.json", previous)?)
    }

    fn longest_trial(&self) -> Duration {
        Duration::from_secs(5)
    }
}

fn first_settings() -> Profile {
    Profile { lan: LanSettings::dhcp(), share: None, probe: ProbePolicy::default() }
}
