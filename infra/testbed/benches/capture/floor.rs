//! The least that a prescription can cost: it is made durable on the box, then in the cloud.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{BYTES, content};

/// Two files of [`BYTES`], one after the other, each durable before the next step. Blocks.
pub fn two_commits(folder: &Path, times: usize, every: Duration) -> Result<Vec<Duration>> {
    fs::create_dir_all(folder)?;
    repeat(times, every, |number| {
        for which in ["box", "cloud"] {
            let draft = folder.join("draft");
            let mut file = File::create(&draft)?;
            file.write_all(&content(0, number))?;
            file.sync_data()?;
            fs::rename(&draft, folder.join(format!("{which}-{number}")))?;
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    })
}

/// The same by appending to a log that has its length already: less than a store of files can do.
pub fn two_appends(folder: &Path, times: usize, every: Duration) -> Result<Vec<Duration>> {
    fs::create_dir_all(folder)?;
    let mut logs = Vec::new();
    for which in ["box", "cloud"] {
        let path = folder.join(which);
        let mut log = File::create(&path)?;
        log.write_all(&vec![0; BYTES * times])?;
        log.sync_all()?;
        logs.push(File::options().write(true).open(path)?);
    }
    repeat(times, every, |number| {
        for mut log in &logs {
            log.write_all(&content(0, number))?;
            log.sync_data()?;
        }
        Ok(())
    })
}

fn repeat(times: usize, every: Duration, mut work: impl FnMut(usize) -> Result<()>) -> Result<Vec<Duration>> {
    let mut taken = Vec::new();
    for number in 0..times {
        let began = Instant::now();
        work(number)?;
        taken.push(began.elapsed());
        sleep(every.saturating_sub(began.elapsed()));
    }
    Ok(taken)
}
