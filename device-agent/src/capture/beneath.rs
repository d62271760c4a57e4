//! Opens what lies below the share, never through a link and never outside of it, whatever is moved
//! about meanwhile.

use std::{
    ffi::OsStr,
    fs::{File, Metadata},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags},
    io::Errno,
};

/// The regular file at the path, to be read. Nothing if a link leads there, or if it is anything else.
pub fn open_file(share: &Path, path: &[u8]) -> io::Result<Option<File>> {
    let found = find(share, path)?;
    // What was looked at is opened, not what bears its name by now.
    found.map(|found| File::open(path_of(&found))).transpose()
}

/// What [`open_file`] would open.
pub fn metadata(share: &Path, path: &[u8]) -> io::Result<Option<Metadata>> {
    find(share, path)?.map(|found| found.metadata()).transpose()
}

/// The folder at the path; the share itself if that is empty.
pub fn open_folder(share: &Path, path: &[u8]) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    Ok(open(share, path, OFlags::RDONLY | OFlags::DIRECTORY)?)
}

/// A path to just what is open here.
pub fn path_of(open: &impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", open.as_fd().as_raw_fd()))
}

/// A handle to look at, not to read by: it does something to a FIFO or a device to be opened.
fn find(share: &Path, path: &[u8]) -> io::Result<Option<File>> {
    let found = match open(share, path, OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(found) => File::from(found),
        Err(Errno::LOOP | Errno::XDEV) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(found.metadata()?.is_file().then_some(found))
}

fn open(share: &Path, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let share =
        rustix::fs::openat(CWD, share, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let path = OsStr::from_bytes(path);
    rustix::fs::openat2(share, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}
