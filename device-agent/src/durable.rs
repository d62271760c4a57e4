//! Files that survive a power cut: draft, sync, rename, sync the folder.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Puts `content` in place of the file, readable by its owner only: whole, or not at all.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".draft");
    let draft = folder.join(name);
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    // The rename itself lives in the folder, so the folder is synced too.
    sync_folder(folder)
}

/// Makes the folder, if it is not there. What is made durable in it later does not get lost with it.
pub fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes what was created, renamed or removed in the folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Renames the file to `<name>.aside-<n>`, where nothing reads it but people; of those the newest
/// `most` stay. Answers with the new path.
pub fn set_aside(path: &Path, most: usize) -> io::Result<PathBuf> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let prefix = format!("{}.aside-", name.to_string_lossy());
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        numbers
            .extend(name.to_string_lossy().strip_prefix(&prefix).and_then(|text| text.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    let next = numbers.last().map_or(1, |last| last + 1);
    let aside = folder.join(format!("{prefix}{next}"));
    fs::rename(path, &aside)?;
    let too_many = (numbers.len() + 1).saturating_sub(most);
    for number in numbers.iter().take(too_many) {
        fs::remove_file(folder.join(format!("{prefix}{number}")))?;
        // What SQLite keeps beside a database goes with it.
        drop(fs::remove_file(folder.join(format!("{prefix}{number}-wal"))));
    }
    sync_folder(folder)?;
    Ok(aside)
}
