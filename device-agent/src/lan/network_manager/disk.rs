//! The files that profiles are kept in: what outlives a power cut, and the trial that lies over it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    durable,
    lan::network_manager::{
        keyfile,
        stored::{Stored, UUID},
    },
};

/// Where NetworkManager keeps profiles for good, and where it keeps those that the next boot forgets.
pub const FOR_GOOD: &str = "/etc/NetworkManager/system-connections";
pub const TILL_BOOT: &str = "/run/NetworkManager/system-connections";

/// Our profile, as the next boot will find it.
pub fn saved() -> io::Result<Option<Stored>> {
    Ok(ours_in(Path::new(FOR_GOOD))?.into_iter().next().map(|(_, stored)| stored))
}

/// Takes away what lies over our profile. True if there was something; NetworkManager learns of it when
/// it reads its files again.
pub fn drop_trial() -> io::Result<bool> {
    let over = ours_in(Path::new(TILL_BOOT))?;
    for (path, _) in &over {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(!over.is_empty())
}

/// NetworkManager syncs a profile only if it takes the place of another, and no folder ever.
pub fn sync(file: &Path) -> io::Result<()> {
    fs::File::open(file)?.sync_all()?;
    file.parent().map_or(Ok(()), durable::sync_folder)
}

pub fn read(file: &Path) -> io::Result<Stored> {
    fs::read_to_string(file).map(|text| keyfile::read(&text))
}

/// The files there that hold our profile, whatever they are called.
fn ours_in(folder: &Path) -> io::Result<Vec<(PathBuf, Stored)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut ours = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "nmconnection") {
            continue;
        }
        match read(&path) {
            Ok(stored) if stored.uuid == UUID => ours.push((path, stored)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ours)
}
