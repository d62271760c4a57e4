//! Images of ext4 disks, for boxes whose disk fails or loses what was not synced. Only root can mount them.

use std::{fs::File, path::Path};

use anyhow::Result;

use crate::process::Program;

/// An image of so many bytes, sparse, with what is in a folder.
pub async fn make(image: &Path, bytes: u64, from: Option<&Path>) -> Result<()> {
    File::create(image)?.set_len(bytes)?;
    // -m 0: nothing is kept back for root, who the agent may be here.
    let mut make = Program::new("mkfs", "/usr/sbin/mkfs.ext4").arg("-q").arg("-F").flag("-m", 0);
    if let Some(folder) = from {
        make = make.flag("-d", folder.display());
    }
    make.arg(image.display().to_string()).output().await.map(drop)
}
