//! The box's disk: an ext4 of its own on a loop device, mounted where only the box sees it. At a power
//! cut it loses what was not synced.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

use crate::{ext4, lab::space::Space, process::Program, wait::until};

const BYTES: u64 = 256 * 1024 * 1024;
const BOUND: Duration = Duration::from_mins(1);

pub struct Disk {
    image: PathBuf,
    /// Where the box has it.
    root: PathBuf,
}

impl Disk {
    /// A disk with what is in `root`, in whose place it is to be mounted, unless there is one from before.
    pub async fn make(image: PathBuf, root: &Path) -> Result<Self> {
        if !image.exists() {
            ext4::make(&image, BYTES, Some(root)).await?;
        }
        Ok(Self { image, root: root.to_owned() })
    }

    /// The line of a shell's script that mounts it.
    pub fn mount(&self) -> String {
        format!("mount -o loop '{}' '{}'", self.image.display(), self.root.display())
    }

    /// Has nothing reach the disk any more, not even what was written and not synced.
    pub async fn cut(&self, hub: &Space) -> Result<()> {
        hub.run(&format!("mount -o remount,abort '{}'", self.root.display())).await.map(drop)
    }

    /// Waits until nobody has it mounted: two at once would spoil it.
    pub async fn until_free(&self) -> Result<()> {
        let image = self.image.display().to_string();
        let devices = Program::new("losetup", "/usr/sbin/losetup").flag("--associated", image);
        until("the disk is free", BOUND, || {
            let devices = devices.clone();
            async move { Ok(devices.output().await?.is_empty().then_some(())) }
        })
        .await
    }
}
