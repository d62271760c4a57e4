//! Where files appear. A folder of this machine is told about by the kernel ([`super::watch`]); any other
//! is looked at from time to time ([`super::poll`]). Who captures need not know which it is.

use std::{fs, io, os::unix::ffi::OsStringExt, path::Path, sync::Arc};

use crate::capture::{
    beneath,
    complete::{Incomplete, Stamp},
    scope::Scope,
};

/// A path below the share's root, as raw bytes: a name need not be text.
pub type SharePath = Vec<u8>;

pub trait Source: Send + 'static {
    /// The next thing that happened. Cancel-safe.
    fn next(&mut self) -> impl Future<Output = io::Result<Noticed>> + Send;

    /// The share as it is, for the threads that look and read.
    fn view(&self) -> Arc<dyn View>;
}

pub trait View: Send + Sync {
    /// Lists what is at and below the folder.
    fn walk(&self, from: &[u8]) -> io::Result<Walked>;

    /// False if the file may still be in the making: it is asked for again at the next look at everything.
    fn rests(&self, path: &[u8]) -> Result<bool, Incomplete>;
}

#[derive(Debug, PartialEq, Eq)]
pub enum Noticed {
    /// A file was closed after writing, or took this name.
    File(SharePath),
    /// A directory came into being: its files may have come before its watch.
    Folder(SharePath),
    /// Only a look at everything tells.
    Everything,
    Nothing,
}

/// What was found below a folder.
#[derive(Debug, Default)]
pub struct Walked {
    pub files: Vec<(SharePath, Stamp)>,
    /// Files and folders left out by their names.
    pub excluded: u64,
    /// Files that are too big.
    pub too_big: u64,
    /// Files and folders whose paths are too long.
    pub too_long: u64,
    /// Folders that are there and could not be looked into.
    pub unreadable: usize,
}

/// Lists the files at and below the folder `from`. `enter` is called before a folder is read. What
/// vanishes meanwhile, or cannot be read, is left out: it never stops the walk. Only the share itself
/// must be readable.
pub fn walk(
    share: &Path,
    from: &[u8],
    scope: &Scope,
    enter: impl Fn(&[u8]) -> io::Result<()>,
) -> io::Result<Walked> {
    let mut walked = Walked::default();
    let mut waiting = vec![from.to_vec()];
    while let Some(folder) = waiting.pop() {
        let entered = enter(&folder);
        let listed = list(share, &folder, scope, &mut waiting, &mut walked);
        if folder.is_empty() && listed.is_err() {
            return listed.map(|()| walked);
        }
        // Where it cannot be watched, as there are too many, the looks at everything still find all.
        if listed.and(entered).is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
            walked.unreadable += 1;
        }
    }
    if walked.unreadable > 0 {
        tracing::warn!(
            folders.unreadable = walked.unreadable,
            "some folders of the share cannot be read or watched"
        );
    }
    Ok(walked)
}

fn list(
    share: &Path,
    folder: &[u8],
    scope: &Scope,
    waiting: &mut Vec<SharePath>,
    walked: &mut Walked,
) -> io::Result<()> {
    let open = beneath::open_folder(share, folder)?;
    for entry in fs::read_dir(beneath::path_of(&open))? {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name().into_vec();
        let Ok(kind) = entry.file_type() else { continue };
        let below = join(folder, &name);
        if !(kind.is_dir() || kind.is_file()) {
            continue;
        }
        if !(if kind.is_dir() { scope.has_folder(&name) } else { scope.has_file(&name) }) {
            walked.excluded += 1;
        } else if !Scope::has_path(&below) {
            walked.too_long += 1;
        } else if kind.is_dir() {
            waiting.push(below);
        } else if let Ok(metadata) = entry.metadata() {
            if metadata.len() > scope.max_file_bytes {
                walked.too_big += 1;
            } else {
                walked.files.push((below, Stamp::of(&metadata)));
            }
        }
    }
    Ok(())
}

pub fn join(folder: &[u8], name: &[u8]) -> SharePath {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}
