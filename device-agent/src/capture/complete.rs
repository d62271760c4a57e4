//! Reads one file whole, or says why not: opened beneath the share and never through a link, nobody
//! writing to it, the same before and after.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use device_model::upload::ContentHash;
use sha2::{Digest, Sha256};

use crate::{
    capture::{
        beneath,
        lease::{self, Probe},
        sealed::{ContentKey, SealedFile, Sealer},
    },
    durable,
};

/// Contents up to this size travel in the database; bigger ones in a file beside it.
pub const INLINE: usize = 256 * 1024;
const CHUNK: usize = 64 * 1024;
/// How often a file that changes under the reader is read again before its writer's close is awaited.
const READS: usize = 3;

/// A file as it was read.
#[derive(Debug)]
pub struct Whole {
    pub hash: ContentHash,
    pub size: u64,
    pub stamp: Stamp,
    pub body: Body,
    /// False if the kernel could not say whether someone is writing.
    pub leased: bool,
}

#[derive(Debug)]
pub enum Body {
    Inline(Vec<u8>),
    /// In the spool's folder, durable already.
    File(SealedFile),
}

/// What tells that a file was not touched since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Compared, never interpreted.
    pub text: String,
    /// When the kernel last saw a change, in seconds by the box's own clock.
    pub changed_at: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum Incomplete {
    /// It is gone again; it may come back under another name.
    #[error("gone")]
    Gone,
    /// A directory, a link, a FIFO, a device.
    #[error("not a regular file")]
    NotAFile,
    /// It waits for its trigger, or may still be in the making; it is looked at again.
    #[error("not yet there as a whole")]
    Early,
    #[error("too big")]
    TooBig,
    /// It stays on the share and unseen, so the next look at everything comes back to it.
    #[error("no room for it")]
    NoRoom,
    /// Someone has it open for writing; their close brings the next event, or has brought it a moment ago.
    #[error("being written")]
    Busy,
    /// It changed each time it was read.
    #[error("changing while it is read")]
    Changing,
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("cannot be spooled: {0}")]
    Spool(io::Error),
}

impl Stamp {
    pub fn of(metadata: &Metadata) -> Self {
        let text = format!(
            "{}:{}:{}.{}:{}.{}:{}",
            metadata.dev(),
            metadata.ino(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
            metadata.size(),
        );
        Self { text, changed_at: metadata.ctime() }
    }
}

/// Reads the file at `path` below `share`; a big one is copied into `spool`, sealed, as it is read.
pub fn read(share: &Path, path: &[u8], spool: &Path) -> Result<Whole, Incomplete> {
    for _ in 0..READS {
        let file = open(share, path)?;
        let before = file.metadata().map_err(Incomplete::Unreadable)?;
        let probe = lease::probe(&file);
        if probe == Probe::Busy {
            return Err(Incomplete::Busy);
        }
        // One byte more than there was tells that it grew; who writes without end is not followed.
        let (hash, size, body) = read_through(&mut (&file).take(before.size() + 1), spool)?;
        // Time stamps of older kernels stand still for some milliseconds: who began to write in between
        // is seen by the lease alone.
        let is_free = lease::probe(&file) != Probe::Busy;
        let stamp = Stamp::of(&before);
        // It is asked for by its path: what was moved away and changed there never stood here.
        match metadata(share, path) {
            Ok(after) if is_free && Stamp::of(&after) == stamp && after.size() == size => {
                return Ok(Whole { hash, size, stamp, body, leased: probe == Probe::Free });
            }
            _ => discard(&body),
        }
    }
    Err(Incomplete::Changing)
}

/// Opens the file at `path` below `share` to be read.
pub fn open(share: &Path, path: &[u8]) -> Result<File, Incomplete> {
    found(beneath::open_file(share, path))
}

/// What [`open`] would open.
pub fn metadata(share: &Path, path: &[u8]) -> Result<Metadata, Incomplete> {
    found(beneath::metadata(share, path))
}

fn found<T>(looked: io::Result<Option<T>>) -> Result<T, Incomplete> {
    match looked {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(Incomplete::NotAFile),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(Incomplete::Gone)
        }
        Err(error) => Err(Incomplete::Unreadable(error)),
    }
}

/// Throws away a body that nobody wants.
pub fn discard(body: &Body) {
    if let Body::File(copy) = body {
        // If it stays, the sweep at the next start takes it.
        drop(fs::remove_file(&copy.path));
    }
}

fn read_through(file: &mut impl Read, spool: &Path) -> Result<(ContentHash, u64, Body), Incomplete> {
    let mut hasher = Sha256::new();
    let mut inline = Vec::new();
    let mut copy: Option<Draft> = None;
    let mut size = 0u64;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Incomplete::Unreadable(error)),
        };
        let part = chunk.get(..read).unwrap_or_default();
        hasher.update(part);
        size += read as u64;
        if copy.is_none() && inline.len() + read <= INLINE {
            inline.extend_from_slice(part);
            continue;
        }
        if copy.is_none() {
            let mut draft = Draft::new(spool).map_err(Incomplete::Spool)?;
            draft.write(&inline).map_err(Incomplete::Spool)?;
            inline = Vec::new();
            copy = Some(draft);
        }
        if let Some(draft) = &mut copy {
            draft.write(part).map_err(Incomplete::Spool)?;
        }
    }
    let hash = ContentHash(hasher.finalize().into());
    let body = match copy {
        None => Body::Inline(inline),
        Some(draft) => Body::File(draft.keep(spool, size).map_err(Incomplete::Spool)?),
    };
    Ok((hash, size, body))
}

/// A sealed copy in the making, which removes itself unless it is kept.
pub struct Draft {
    sealer: Option<Sealer<File>>,
    key: ContentKey,
    path: Option<PathBuf>,
}

impl Draft {
    pub fn new(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!("{:032x}", rand::random::<u128>()));
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&path)?;
        let key = ContentKey::random();
        let mut draft = Self { sealer: None, key, path: Some(path) };
        draft.sealer = Some(Sealer::new(&draft.key, file)?);
        Ok(draft)
    }

    pub fn write(&mut self, part: &[u8]) -> io::Result<()> {
        self.sealer.as_mut().map_or(Ok(()), |sealer| sealer.write(part))
    }

    /// Makes the content and its entry in the folder durable.
    pub fn keep(mut self, folder: &Path, size: u64) -> io::Result<SealedFile> {
        if let Some(sealer) = self.sealer.take() {
            sealer.finish()?.sync_all()?;
        }
        durable::sync_folder(folder)?;
        let path = self.path.take().ok_or(io::ErrorKind::NotFound)?;
        Ok(SealedFile { path, key: self.key.clone(), size })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            drop(fs::remove_file(path));
        }
    }
}
