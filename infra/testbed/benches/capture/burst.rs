//! A thousand files at once: the receipt computer's evening run, or a box that comes back. They appear
//! by rename, so that no save is waited for; the programs beside copy the same files from a folder.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, Result};
use testbed::{Testbed, boxes::RecehubBox};

use crate::{
    BYTES, content,
    footprint::{busy, written},
    receipts::{Receipts, upload_id},
    rivals::Rival,
};

const ROUNDS: usize = 3;
const FILES: usize = 1000;
/// So that no content is that of another part of this bench.
const FIRST_ROUND: usize = 100;

pub async fn measure(bed: &mut Testbed, rivals: &[Rival]) -> Result<String> {
    let mut receipts = Receipts::of(&bed.boxes[0]);
    let pid = bed.boxes[0].agent.as_ref().context("no agent")?.pid()?;
    let (mut ours, mut theirs) = (Vec::new(), vec![Vec::new(); rivals.len()]);
    let (mut disk, mut spent) = (0, Vec::new());
    for round in FIRST_ROUND..FIRST_ROUND + ROUNDS {
        let folder = make(&bed.folder, round)?;
        let (disk_before, busy_before) = (written(pid)?, busy(bed)?);
        ours.push(one_of_ours(&bed.boxes[0], &mut receipts, &folder, round).await?);
        disk += written(pid)? - disk_before;
        for ((name, before), (_, after)) in busy_before.into_iter().zip(busy(bed)?) {
            spent.push((name, after.saturating_sub(before)));
        }
        for (rival, rates) in rivals.iter().zip(&mut theirs) {
            let folder = make(&bed.folder, round)?;
            rates.push(rival.copy_all(&folder, FILES, round).await?);
            fs::remove_dir_all(folder)?;
        }
    }
    let mut text = format!("burst of {FILES} files of 5 KB, files a second in each of {ROUNDS} rounds\n");
    text += &row("recehub, until the last receipt (goal: at least 600)", &ours);
    for (rival, rates) in rivals.iter().zip(&theirs) {
        text += &row(&format!("{}, S3 only", rival.name), rates);
    }
    let files = (ROUNDS * FILES) as f64;
    write!(
        text,
        "  the agent writes {:.1} KB to disk a file: {:.1} of its size\n  CPU a file (us):",
        disk as f64 / files / 1024.0,
        disk as f64 / files / BYTES as f64
    )?;
    spent.sort_by(|one, other| one.0.cmp(&other.0));
    for of_one in spent.chunk_by(|one, other| one.0 == other.0) {
        let us: u128 = of_one.iter().map(|(_, time)| time.as_micros()).sum();
        write!(text, " {} {:.0}", of_one[0].0, us as f64 / files)?;
    }
    Ok(text + "\n")
}

async fn one_of_ours(one: &RecehubBox, receipts: &mut Receipts, folder: &Path, round: usize) -> Result<f64> {
    let began = SystemTime::now();
    let mut ids = Vec::new();
    for number in 0..FILES {
        let name = name(round, number);
        fs::rename(folder.join(&name), one.share.folder.join(&name))?;
        ids.push(upload_id(one, &name, &content(round, number))?);
    }
    let last = receipts.wait_for(&ids).await?.into_iter().max().context("no files")?;
    Ok(FILES as f64 / last.duration_since(began)?.as_secs_f64())
}

/// The files, in a folder beside the shares.
fn make(beside: &Path, round: usize) -> Result<PathBuf> {
    let folder = beside.join(format!("burst-{round}"));
    fs::create_dir_all(&folder)?;
    for number in 0..FILES {
        File::create(folder.join(name(round, number)))?.write_all(&content(round, number))?;
    }
    // What is still to be written of them must not slow down who comes first.
    rustix::fs::syncfs(File::open(&folder)?)?;
    Ok(folder)
}

fn name(round: usize, number: usize) -> String {
    format!("burst-{round}-{number}.csv")
}

fn row(name: &str, rates: &[f64]) -> String {
    let each: Vec<String> = rates.iter().map(|rate| format!("{rate:>8.0}")).collect();
    format!("  {name:<54} {}\n", each.join(""))
}
