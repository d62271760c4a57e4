//! The disk of a box's state: ext4 of its own on a loop device, so that it can fill up and, as a worn card
//! does, become read-only under a running agent. Only root can make one.

use std::{fs::File, io::Write, path::Path, time::Duration};

use anyhow::Result;
use tempfile::TempDir;

use crate::{ext4, process::Program, wait::until};

const BYTES: u64 = 96 * 1024 * 1024;
const FILLER: &str = "filler";

pub struct Disk {
    /// Where it is mounted.
    root: TempDir,
    images: TempDir,
    /// Which of the images it is now.
    mounts: usize,
}

impl Disk {
    pub async fn make() -> Result<Self> {
        let disk = Self { root: tempfile::tempdir()?, images: tempfile::tempdir()?, mounts: 0 };
        ext4::make(&disk.image(), BYTES, None).await?;
        disk.mount().await?;
        Ok(disk)
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Takes over what is in a folder.
    pub async fn take_over(&self, folder: &Path) -> Result<()> {
        let (from, to) = (folder.join(".").display().to_string(), self.root().display().to_string());
        Program::new("cp", "cp").arg("-a").arg(from).arg(&to).output().await?;
        Program::new("sync", "sync").arg("-f").arg(to).output().await.map(drop)
    }

    /// Takes every byte that is left, once more if something was let go of meanwhile.
    pub fn fill(&self) -> Result<()> {
        let mut filler = File::options().create(true).append(true).open(self.root().join(FILLER))?;
        for chunk in [1024 * 1024, 64 * 1024, 4096, 1] {
            while filler.write_all(&vec![0; chunk]).is_ok() {}
        }
        Ok(())
    }

    pub fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.root().join(FILLER))?)
    }

    /// Has it refuse every write from now on, as after an error of the medium. What was not synced is lost.
    pub async fn fail(&self) -> Result<()> {
        let abort = Program::new("mount", "mount").flag("-o", "remount,abort");
        abort.arg(self.root().display().to_string()).output().await.map(drop)
    }

    /// Mounts it anew, as the next start of the box does. Nobody may have a file of it open.
    pub async fn remount(&mut self) -> Result<()> {
        let gone = Program::new("umount", "umount").arg(self.root().display().to_string());
        until("the disk can be taken out", Duration::from_mins(1), || {
            let gone = gone.clone();
            async move { Ok(gone.output().await.ok()) }
        })
        .await?;
        // A mount namespace that somebody made meanwhile may hold the failed file system, and the kernel would
        // give us the same one again: so it is another disk, with what is on this one.
        let before = self.image();
        self.mounts += 1;
        std::fs::copy(&before, self.image())?;
        std::fs::remove_file(before)?;
        self.mount().await
    }

    async fn mount(&self) -> Result<()> {
        let mount = Program::new("mount", "mount").flag("-o", "loop,errors=remount-ro");
        let mount = mount.arg(self.image().display().to_string());
        mount.arg(self.root().display().to_string()).output().await.map(drop)
    }

    fn image(&self) -> std::path::PathBuf {
        self.images.path().join(format!("disk-{}", self.mounts))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: an agent that failed to end must not keep the folder.
        drop(std::process::Command::new("umount").arg("-l").arg(self.root()).status());
    }
}
