//! The profiles that NetworkManager keeps for the interface: ours, and before there is one, whatever
//! else somebody set up.

use std::{collections::HashMap, path::PathBuf};

use zbus::{OwnedObjectPath, OwnedVariant, Variant};

use crate::lan::{
    Fault,
    network_manager::{
        bus::{self, Bus, Groups},
        settings,
        stored::{Stored, UUID},
    },
};

const SETTINGS: &str = "org.freedesktop.NetworkManager.Settings";
const PROFILE: &str = "org.freedesktop.NetworkManager.Settings.Connection";

/// `NMSettingsAddConnection2Flags` and `NMSettingsUpdate2Flags`.
const TO_DISK: u32 = 0x1;
const IN_MEMORY: u32 = 0x2;
const BLOCK_AUTOCONNECT: u32 = 0x20;

type Wanted<'a> = HashMap<&'a str, HashMap<&'a str, Variant<'a>>>;

pub struct Kept {
    pub path: OwnedObjectPath,
    pub groups: Groups,
    /// It is not what its file says: a trial, or somebody's own.
    pub is_unsaved: bool,
}

impl Kept {
    pub fn stored(&self) -> Stored {
        settings::read(&self.groups)
    }
}

/// Ours, if there is one.
pub async fn ours(bus: &Bus) -> Result<Option<Kept>, Fault> {
    let all: Vec<OwnedObjectPath> = bus.call(bus::SETTINGS, SETTINGS, "ListConnections", &()).await?;
    for path in all {
        // It may be gone since it was listed.
        if let Ok(kept) = look(bus, path).await
            && kept.stored().uuid == UUID
        {
            return Ok(Some(kept));
        }
    }
    Ok(None)
}

/// What runs the interface as long as there is none of ours: what is on it, else what NetworkManager
/// would put on it.
pub async fn others(
    bus: &Bus,
    interface: &str,
    on_it: Option<OwnedObjectPath>,
) -> Result<Option<Kept>, Fault> {
    let mut all: Vec<OwnedObjectPath> = bus.call(bus::SETTINGS, SETTINGS, "ListConnections", &()).await?;
    all.sort_by_key(|path| on_it.as_ref() != Some(path));
    let mut best: Option<(Kept, (bool, i32))> = None;
    for path in all {
        let is_on_it = on_it.as_ref() == Some(&path);
        let Ok(kept) = look(bus, path).await else { continue };
        let stored = kept.stored();
        let fits = is_on_it || stored.interface.as_deref() == Some(interface);
        if kept.is_unsaved || !stored.is_ethernet || !fits || stored.uuid == UUID {
            continue;
        }
        let rank = (is_on_it, stored.priority);
        if best.as_ref().is_none_or(|(_, other)| rank > *other) {
            best = Some((kept, rank));
        }
    }
    Ok(best.map(|(kept, _)| kept))
}

async fn look(bus: &Bus, path: OwnedObjectPath) -> Result<Kept, Fault> {
    let groups = bus.call(&path, PROFILE, "GetSettings", &()).await?;
    let is_unsaved = bus.property(&path, PROFILE, "Unsaved").await?;
    Ok(Kept { path, groups, is_unsaved })
}

/// Puts a profile of ours in memory, over whatever its file says.
pub async fn try_on(bus: &Bus, wanted: &Wanted<'_>) -> Result<OwnedObjectPath, Fault> {
    match ours(bus).await? {
        Some(kept) => update(bus, kept.path, wanted, IN_MEMORY).await,
        // It must not come up of itself before it is looked at.
        None => add(bus, wanted, IN_MEMORY | BLOCK_AUTOCONNECT).await,
    }
}

/// Has NetworkManager write the profile; says where it stands now.
pub async fn save(bus: &Bus, wanted: &Wanted<'_>) -> Result<(OwnedObjectPath, PathBuf), Fault> {
    let path = match ours(bus).await? {
        Some(kept) if settings::holds(&kept.groups, wanted) => {
            if kept.is_unsaved {
                let () = bus.call(&kept.path, PROFILE, "Save", &()).await?;
            }
            kept.path
        }
        Some(kept) => update(bus, kept.path, wanted, TO_DISK).await?,
        None => add(bus, wanted, TO_DISK).await?,
    };
    let file: String = bus.property(&path, PROFILE, "Filename").await?;
    Ok((path, file.into()))
}

/// Has NetworkManager read the files again.
pub async fn reload(bus: &Bus) -> Result<(), Fault> {
    let _: bool = bus.call(bus::SETTINGS, SETTINGS, "ReloadConnections", &()).await?;
    Ok(())
}

async fn add(bus: &Bus, wanted: &Wanted<'_>, flags: u32) -> Result<OwnedObjectPath, Fault> {
    let more: HashMap<&str, Variant<'_>> = HashMap::new();
    let (path, _): (OwnedObjectPath, HashMap<String, OwnedVariant>) =
        bus.call(bus::SETTINGS, SETTINGS, "AddConnection2", &(wanted, flags, more)).await?;
    Ok(path)
}

async fn update(
    bus: &Bus,
    path: OwnedObjectPath,
    wanted: &Wanted<'_>,
    flags: u32,
) -> Result<OwnedObjectPath, Fault> {
    let more: HashMap<&str, Variant<'_>> = HashMap::new();
    let _: HashMap<String, OwnedVariant> =
        bus.call(&path, PROFILE, "Update2", &(wanted, flags, more)).await?;
    Ok(path)
}
