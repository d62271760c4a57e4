//! How much space there is where the spool lies. Below a floor nothing new is taken: the share keeps it,
//! and what is left is for sending and dropping what was taken already.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

pub const DEFAULT_FLOOR: u64 = 64 * 1024 * 1024;

pub struct Space {
    floor: u64,
    free: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Told once each time it comes to that.
    told: AtomicBool,
}

impl Space {
    /// The file system of this folder.
    pub fn of(folder: PathBuf, floor: u64) -> Self {
        Self::reading(move || free_bytes(&folder), floor)
    }

    /// Space that is told by someone else.
    pub fn reading(free: impl Fn() -> u64 + Send + Sync + 'static, floor: u64) -> Self {
        Self { floor, free: Box::new(free), told: AtomicBool::new(false) }
    }

    pub fn free(&self) -> u64 {
        (self.free)()
    }

    pub fn is_low(&self) -> bool {
        self.free() < self.floor
    }

    /// Whether as much may be taken without touching the floor.
    pub fn has_room_for(&self, size: u64) -> bool {
        let room = self.free().saturating_sub(size) >= self.floor;
        if self.told.swap(!room, Ordering::Relaxed) == room {
            if room {
                tracing::info!("there is space again; files of the share are taken");
            } else {
                tracing::error!("too little free space: files stay on the share until there is more");
            }
        }
        room
    }
}

/// Nothing, if the file system cannot say.
pub fn free_bytes(folder: &std::path::Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize))
}
