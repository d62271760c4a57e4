//! What happens on the share, as the kernel tells it: closed files, new names, new directories.
//! A directory is watched before it is read, so nothing falls between the two.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};

use crate::capture::{complete::Stamp, exclude::Excludes};

const BUFFER: usize = 16 * 1024;

/// A path below the share's root, as raw bytes: a name need not be text.
pub type SharePath = Vec<u8>;

pub struct Watch {
    stream: EventStream<Vec<u8>>,
    folders: Folders,
}

/// Which directory each watch stands for. Shared with the walks, which add to it.
#[derive(Clone)]
pub struct Folders {
    root: PathBuf,
    excludes: Arc<Excludes>,
    watches: Watches,
    paths: Arc<Mutex<HashMap<WatchDescriptor, SharePath>>>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Noticed {
    /// A file was closed after writing, or took this name.
    File(SharePath),
    /// A directory came into being: its files may have come before its watch.
    Folder(SharePath),
    /// The kernel dropped events: only a look at everything helps.
    Overflow,
    Nothing,
}

/// What was found below a folder.
#[derive(Debug, Default)]
pub struct Walked {
    pub files: Vec<(SharePath, Stamp)>,
    /// Left out by their names.
    pub excluded: u64,
    /// Folders that are there and could not be looked into.
    pub unreadable: usize,
}

impl Watch {
    pub fn new(root: PathBuf, excludes: Excludes) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let excludes = Arc::new(excludes);
        let folders = Folders { root, excludes, watches: inotify.watches(), paths: Arc::default() };
        let stream = inotify.into_event_stream(vec![0; BUFFER])?;
        Ok(Self { stream, folders })
    }

    pub fn folders(&self) -> Folders {
        self.folders.clone()
    }

    /// The next thing that happened. Cancel-safe.
    pub async fn next(&mut self) -> io::Result<Noticed> {
        match futures::StreamExt::next(&mut self.stream).await {
            Some(event) => Ok(self.folders.interpret(&event?)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Folders {
    /// Watches the directory and all below it, then lists the files. What vanishes meanwhile, or
    /// cannot be read, is left out: it never stops the walk.
    pub fn walk(&self, from: &[u8]) -> io::Result<Walked> {
        let mut walked = Walked::default();
        let mut waiting = vec![from.to_vec()];
        while let Some(folder) = waiting.pop() {
            if let Err(error) = self.visit(&folder, &mut waiting, &mut walked) {
                if folder == from && from.is_empty() {
                    return Err(error);
                }
                if error.kind() != io::ErrorKind::NotFound {
                    walked.unreadable += 1;
                }
            }
        }
        if walked.unreadable > 0 {
            tracing::warn!(
                folders.unreadable = walked.unreadable,
                "some folders of the share cannot be read"
            );
        }
        Ok(walked)
    }

    fn visit(&self, folder: &[u8], waiting: &mut Vec<SharePath>, walked: &mut Walked) -> io::Result<()> {
        let path = self.root.join(OsStr::from_bytes(folder));
        self.add(&path, folder)?;
        for entry in fs::read_dir(&path)? {
            let Ok(entry) = entry else { continue };
            let name = entry.file_name().into_vec();
            let Ok(kind) = entry.file_type() else { continue };
            if self.excludes.matches(&name) {
                walked.excluded += 1;
                continue;
            }
            let below = join(folder, &name);
            if kind.is_dir() {
                waiting.push(below);
            } else if kind.is_file()
                && let Ok(metadata) = entry.metadata()
            {
                walked.files.push((below, Stamp::of(&metadata)));
            }
        }
        Ok(())
    }

    fn add(&self, path: &Path, folder: &[u8]) -> io::Result<()> {
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::MOVED_TO
            | WatchMask::CREATE
            | WatchMask::ONLYDIR
            | WatchMask::DONT_FOLLOW;
        // Under the lock, so that no event of the new watch is read before its path is known. A
        // directory that was renamed keeps its watch and gets its new path here.
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let descriptor = self.watches.clone().add(path, mask)?;
        paths.insert(descriptor, folder.to_vec());
        Ok(())
    }

    fn interpret(&self, event: &EventOwned) -> Noticed {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return Noticed::Overflow;
        }
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        if event.mask.contains(EventMask::IGNORED) {
            paths.remove(&event.wd);
            return Noticed::Nothing;
        }
        let (Some(folder), Some(name)) = (paths.get(&event.wd), &event.name) else {
            return Noticed::Nothing;
        };
        if self.excludes.matches(name.as_bytes()) {
            return Noticed::Nothing;
        }
        let path = join(folder, name.as_bytes());
        if event.mask.contains(EventMask::ISDIR) {
            Noticed::Folder(path)
        } else if event.mask.intersects(EventMask::CLOSE_WRITE | EventMask::MOVED_TO) {
            Noticed::File(path)
        } else {
            Noticed::Nothing
        }
    }
}

fn join(folder: &[u8], name: &[u8]) -> SharePath {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}
