//! What happens on the share, as the kernel tells it: closed files, new names, new directories.
//! A directory is watched before it is read, so nothing falls between the two.

use std::{
    collections::HashMap,
    io,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};

use crate::capture::{
    beneath,
    complete::Incomplete,
    scope::Scope,
    source::{self, Noticed, SharePath, Source, View, Walked},
};

const BUFFER: usize = 16 * 1024;

pub struct Watch {
    stream: EventStream<Vec<u8>>,
    folders: Arc<Folders>,
}

/// Which directory each watch stands for. Shared with the walks, which add to it.
struct Folders {
    share: PathBuf,
    scope: Arc<Scope>,
    watches: Watches,
    paths: Mutex<HashMap<WatchDescriptor, SharePath>>,
}

impl Watch {
    pub fn new(share: PathBuf, scope: Arc<Scope>) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let folders = Folders { share, scope, watches: inotify.watches(), paths: Mutex::default() };
        let stream = inotify.into_event_stream(vec![0; BUFFER])?;
        Ok(Self { stream, folders: Arc::new(folders) })
    }
}

impl Source for Watch {
    async fn next(&mut self) -> io::Result<Noticed> {
        match futures::StreamExt::next(&mut self.stream).await {
            Some(event) => Ok(self.folders.interpret(&event?)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn view(&self) -> Arc<dyn View> {
        Arc::<Folders>::clone(&self.folders)
    }
}

impl View for Folders {
    fn walk(&self, from: &[u8]) -> io::Result<Walked> {
        source::walk(&self.share, from, &self.scope, |folder| self.add(folder))
    }

    /// The lease tells, when it is read.
    fn rests(&self, _path: &[u8]) -> Result<bool, Incomplete> {
        Ok(true)
    }
}

impl Folders {
    fn add(&self, folder: &[u8]) -> io::Result<()> {
        let mask = WatchMask::CLOSE_WRITE | WatchMask::MOVED_TO | WatchMask::CREATE | WatchMask::ONLYDIR;
        // Under the lock, so that no event of the new watch is read before its path is known, and what
        // had the path before cannot get it again. A directory that was renamed keeps its watch and gets
        // its new path here.
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let open = beneath::open_folder(&self.share, folder)?;
        let descriptor = self.watches.clone().add(beneath::path_of(&open), mask)?;
        paths.insert(descriptor, folder.to_vec());
        Ok(())
    }

    fn interpret(&self, event: &EventOwned) -> Noticed {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            tracing::warn!("the kernel dropped events of the share; looking at everything");
            return Noticed::Everything;
        }
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        if event.mask.contains(EventMask::IGNORED) {
            paths.remove(&event.wd);
            return Noticed::Nothing;
        }
        let (Some(folder), Some(name)) = (paths.get(&event.wd), &event.name) else {
            return Noticed::Nothing;
        };
        let name = name.as_bytes();
        let path = source::join(folder, name);
        if !Scope::has_path(&path) {
            return Noticed::Nothing;
        }
        if event.mask.contains(EventMask::ISDIR) {
            if self.scope.has_folder(name) { Noticed::Folder(path) } else { Noticed::Nothing }
        } else if event.mask.intersects(EventMask::CLOSE_WRITE | EventMask::MOVED_TO)
            && self.scope.has_file(name)
        {
            Noticed::File(path)
        } else {
            Noticed::Nothing
        }
    }
}
