//! Ten files a second, one after the other by one SMB client: from the close on the share to the receipt.

use std::{
    fmt::Write as _,
    fs::File,
    io::Write as _,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use testbed::{Testbed, boxes::RecehubBox};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    BYTES, content, floor,
    footprint::written,
    receipts::{Closed, Receipts, closes, upload_id},
    rivals::Rival,
    samples::Samples,
};

/// All take turns, since a disk has moods.
const ROUNDS: usize = 3;
const FILES: usize = 100;
const EVERY: Duration = Duration::from_millis(100);
/// What is left of it when smbclient has put a file.
const PAUSE: &str = "0.09";

pub async fn measure(bed: &Testbed, rivals: &[Rival]) -> Result<String> {
    let (ours, theirs) = (&bed.boxes[0], &bed.boxes[1]);
    let pid = ours.agent.as_ref().context("no agent")?.pid()?;
    let mut receipts = Receipts::of(ours);
    let (mut of_ours, mut commits, mut appends) =
        (Samples::default(), Samples::default(), Samples::default());
    let mut of_rivals: Vec<Samples> = rivals.iter().map(|_| Samples::default()).collect();
    // The first files log in and warm things up; they do not count.
    one_of_ours(ours, &mut receipts, ROUNDS, 10).await?;
    let mut disk = 0;
    for round in 0..ROUNDS {
        let folder = bed.folder.join(format!("floor-{round}"));
        let (files, logs) = (folder.join("files"), folder.join("logs"));
        let floor =
            move || Ok((floor::two_commits(&files, FILES, EVERY)?, floor::two_appends(&logs, FILES, EVERY)?));
        let (files, logs) =
            tokio::task::spawn_blocking(floor).await?.map_err(|error: anyhow::Error| error)?;
        commits.add(files);
        appends.add(logs);
        let before = written(pid)?;
        of_ours.add(one_of_ours(ours, &mut receipts, round, FILES).await?);
        disk += written(pid)? - before;
        for (rival, samples) in rivals.iter().zip(&mut of_rivals) {
            samples.add(one_of_theirs(theirs, rival, round).await?);
        }
    }
    let mut text = format!(
        "{:<48} {:>11} {:>11} {:>8} {:>6}\n",
        "SMB close -> receipt, 10 files of 5 KB a second", "p50", "p99", "of floor", "files"
    );
    text += &of_ours.row("recehub: spool, S3, ledger, receipt", &commits);
    text += &commits.row("floor: two durable files, one after the other", &commits);
    text += &appends.row("  two durable appends to a log", &commits);
    for (rival, samples) in rivals.iter().zip(&of_rivals) {
        text += &samples.row(&format!("{}, started at each close: S3 only", rival.name), &commits);
    }
    let each = disk as f64 / (ROUNDS * FILES) as f64;
    writeln!(
        text,
        "  the agent writes {:.1} KB to disk a file: {:.1} of its size (goal: at most 10)",
        each / 1024.0,
        each / BYTES as f64
    )?;
    Ok(text)
}

async fn one_of_ours(
    one: &RecehubBox,
    receipts: &mut Receipts,
    round: usize,
    files: usize,
) -> Result<Vec<Duration>> {
    let mut closes = closes(&one.share.folder)?;
    let mut saved = Vec::new();
    save(one, round, files).await?;
    while let Ok(closed) = closes.try_recv() {
        let number: usize = number_of(&closed)?;
        saved.push((upload_id(one, &closed.name, &content(round, number))?, closed.at));
    }
    let ids: Vec<String> = saved.iter().map(|(id, _)| id.clone()).collect();
    let at = receipts.wait_for(&ids).await?;
    let took = at.iter().zip(&saved).map(|(at, (_, closed))| at.duration_since(*closed));
    Ok(took.collect::<Result<_, _>>()?)
}

/// Each close starts the program, as a script that watches the share would.
async fn one_of_theirs(one: &RecehubBox, rival: &Rival, round: usize) -> Result<Vec<Duration>> {
    let mut closes = closes(&one.share.folder)?;
    let (copied, taken) = tokio::join!(save(one, round, FILES), copy_each(one, rival, &mut closes));
    copied?;
    taken
}

async fn copy_each(
    one: &RecehubBox,
    rival: &Rival,
    closes: &mut mpsc::UnboundedReceiver<Closed>,
) -> Result<Vec<Duration>> {
    let (mut copies, mut taken) = (JoinSet::new(), Vec::new());
    for _ in 0..FILES {
        let file = closes.recv().await.context("nobody watches any more")?;
        let copy = rival.copy_of(&one.share.folder.join(&file.name))?;
        copies.spawn(async move {
            copy.output().await?;
            anyhow::Ok(SystemTime::now().duration_since(file.at)?)
        });
    }
    while let Some(copied) = copies.join_next().await {
        taken.push(copied??);
    }
    Ok(taken)
}

/// Saves the files over one SMB session.
async fn save(one: &RecehubBox, round: usize, files: usize) -> Result<()> {
    let local = tempfile::tempdir()?;
    let mut commands = format!("lcd {}\n", local.path().display());
    for number in 0..files {
        let name = format!("rx-{round}-{number}.csv");
        File::create(local.path().join(&name))?.write_all(&content(round, number))?;
        write!(commands, "put {name}\n!sleep {PAUSE}\n")?;
    }
    let script = local.path().join("commands");
    File::create(&script)?.write_all(commands.as_bytes())?;
    one.share.client_reading(&script).output().await?;
    Ok(())
}

fn number_of(closed: &Closed) -> Result<usize> {
    let number = closed.name.rsplit('-').next().and_then(|rest| rest.strip_suffix(".csv"));
    Ok(number.with_context(|| format!("a file that is none of ours: {}", closed.name))?.parse()?)
}
