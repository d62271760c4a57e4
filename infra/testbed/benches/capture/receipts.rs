//! When files were closed on a share, and when the agent had their receipts.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use device_model::upload::{ContentHash, UploadId};
use inotify::{Inotify, WatchMask};
use serde_json::Value;
use testbed::{boxes::RecehubBox, wait::until};
use tokio::sync::mpsc;

const BOUND: Duration = Duration::from_mins(2);

/// A file that was closed after writing.
pub struct Closed {
    pub name: String,
    pub at: SystemTime,
}

/// Hears of each close from the kernel, as the agent does.
pub fn closes(folder: &Path) -> Result<mpsc::UnboundedReceiver<Closed>> {
    let mut inotify = Inotify::init()?;
    inotify.watches().add(folder, WatchMask::CLOSE_WRITE)?;
    let (tell, told) = mpsc::unbounded_channel();
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(events) = inotify.read_events_blocking(&mut buffer) {
            let at = SystemTime::now();
            for name in events.filter_map(|event| event.name) {
                let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
                if tell.send(Closed { name, at }).is_err() {
                    return;
                }
            }
        }
    });
    Ok(told)
}

pub fn upload_id(one: &RecehubBox, name: &str, content: &[u8]) -> Result<String> {
    Ok(UploadId::of(&one.thing.parse()?, name.as_bytes(), ContentHash::of(content)).to_string())
}

/// When the agent had each receipt, from its log.
pub struct Receipts {
    log: PathBuf,
    read: u64,
    at: HashMap<String, SystemTime>,
}

impl Receipts {
    pub fn of(one: &RecehubBox) -> Self {
        Self { log: one.agent_log(), read: 0, at: HashMap::new() }
    }

    /// Waits until each of these uploads has its receipt; answers when, in the same order.
    pub async fn wait_for(&mut self, ids: &[String]) -> Result<Vec<SystemTime>> {
        until("every file has its receipt", BOUND, || {
            let all = self
                .read_on()
                .map(|()| ids.iter().map(|id| self.at.get(id).copied()).collect::<Option<Vec<_>>>());
            async move { all }
        })
        .await
    }

    /// Reads the lines that came since the last time.
    fn read_on(&mut self) -> Result<()> {
        let mut log = File::open(&self.log).context("the agent has no log")?;
        log.seek(SeekFrom::Start(self.read))?;
        let mut text = String::new();
        log.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.read += whole as u64;
        for line in text[..whole].lines().filter(|line| line.contains("the cloud has it")) {
            let event: Value = serde_json::from_str(line)?;
            let at: chrono::DateTime<chrono::Utc> =
                event["timestamp"].as_str().context("a line without a time")?.parse()?;
            let id = event["upload.id"].as_str().context("a receipt without an upload")?;
            self.at.insert(id.to_owned(), at.into());
        }
        Ok(())
    }
}
