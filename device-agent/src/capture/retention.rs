//! Removes from the share what the cloud has for long, if the box is told to: only what stands there as
//! it was read, and only if nobody writes to it.

use std::{
    ffi::OsStr,
    fs::Metadata,
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use chrono::{DateTime, TimeDelta, Utc};
use rustix::fs::{AtFlags, RenameFlags};

use crate::capture::{
    beneath,
    complete::Stamp,
    lease::{self, Probe},
    scope::OWN_PREFIX,
    source::SharePath,
    spool::Spool,
};

#[derive(Debug, Clone)]
pub struct Retention {
    /// How long a file stays after the receipt for its present content.
    pub keep: TimeDelta,
}

impl Retention {
    /// Removes what is due of these files. `now` must be a time that can be trusted.
    pub async fn apply(
        &self,
        share: PathBuf,
        spool: &Spool,
        files: Vec<(SharePath, Stamp)>,
        now: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        let due = spool.confirmed_before(files, now - self.keep).await?;
        if due.is_empty() {
            return Ok(());
        }
        let removed = tokio::task::spawn_blocking(move || {
            let removed = due.iter().map(|(path, stamp)| remove(&share, path, stamp));
            removed.fold((0, 0), |(removed, failed), result| match result {
                Ok(true) => (removed + 1, failed),
                Ok(false) => (removed, failed),
                Err(_) => (removed, failed + 1),
            })
        });
        let (removed, failed): (u64, u64) = removed.await?;
        tracing::info!(files.removed = removed, files.failed = failed, "old files left the share");
        Ok(())
    }
}

/// Removes the file if it is still the one that bore this stamp. True if it did.
pub fn remove(share: &Path, path: &[u8], stamp: &Stamp) -> io::Result<bool> {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    let (folder, name) = slash.map_or((&b""[..], path), |slash| {
        let (folder, name) = path.split_at(slash);
        (folder, name.get(1..).unwrap_or_default())
    });
    let folder = beneath::open_folder(share, folder)?;
    let Some(file) = beneath::open_file(share, path)? else {
        return Ok(false);
    };
    let read = file.metadata()?;
    if Stamp::of(&read) != *stamp {
        return Ok(false);
    }
    // Something new may take the name at any moment: what bears it is moved aside and looked at before
    // it goes. Nobody can open it by its name then.
    let aside = [OWN_PREFIX, format!("{:032x}", rand::random::<u128>()).as_bytes()].concat();
    let (name, aside) = (OsStr::from_bytes(name), OsStr::from_bytes(&aside));
    rustix::fs::renameat_with(&folder, name, &folder, aside, RenameFlags::NOREPLACE)?;
    let moved = rustix::fs::statat(&folder, aside, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_it = moved.st_ino == read.ino() && moved.st_dev == read.dev();
    if is_it && content_of(&file.metadata()?) == content_of(&read) && lease::probe(&file) != Probe::Busy {
        rustix::fs::unlinkat(&folder, aside, AtFlags::empty())?;
        return Ok(true);
    }
    match rustix::fs::renameat_with(&folder, aside, &folder, name, RenameFlags::NOREPLACE) {
        // The name is taken by something newer still, which would have replaced this.
        Err(rustix::io::Errno::EXIST) => Ok(rustix::fs::unlinkat(&folder, aside, AtFlags::empty())?),
        back => Ok(back?),
    }
    .map(|()| false)
}

/// What a rename leaves as it is.
fn content_of(metadata: &Metadata) -> (i64, i64, u64) {
    (metadata.mtime(), metadata.mtime_nsec(), metadata.size())
}
