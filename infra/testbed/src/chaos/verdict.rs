//! The judgement: what S3, the ledger and the box have, against what stood on the share.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use crate::{
    aws,
    chaos::{prescriptions::CANARIES, receipt_computer::Book, stage::Stage},
};

const AT_ONCE: usize = 8;

/// What was found to hold.
#[derive(Debug)]
pub struct Verdict {
    /// Contents that stood on the share when all was calm: every one is in S3.
    pub owed: usize,
    /// Contents in S3, each as it stood on the share.
    pub stored: usize,
    /// Those of them that are a piece of a file whose save was cut short. None is current.
    pub pieces: usize,
    /// Contents that were overwritten before anyone had read them.
    pub overtaken: usize,
    pub observations: usize,
}

/// Judges, or fails with the first thing that is not as it must be.
pub async fn judge(stage: &mut Stage, book: &Book, owed: &BTreeSet<String>) -> Result<Verdict> {
    let paths = stored(stage, book).await?;
    let stored: BTreeSet<String> = paths.keys().cloned().collect();
    let lost = owed.difference(&stored).count();
    ensure!(lost == 0, "{lost} contents are lost: they stood on the share and are not in S3");
    let ledger = ledger(stage).await?;
    ensure!(ledger.keys().eq(&stored), "the ledger and S3 do not list the same uploads");
    judge_current(&ledger, &paths, book)?;
    let observations = judge_observations(stage).await?;
    judge_box(stage).await?;
    judge_logs(stage)?;
    Ok(Verdict {
        owed: owed.len(),
        stored: stored.len(),
        pieces: stored.iter().filter(|id| !book.closed.contains_key(*id)).count(),
        overtaken: book.closed.keys().filter(|id| !stored.contains(*id)).count(),
        observations,
    })
}

/// What is in S3, with the path at which it stood: each once, each a content that stood on the share.
async fn stored(stage: &Stage, book: &Book) -> Result<BTreeMap<String, String>> {
    let s3 = aws::s3_as_admin(&stage.bed);
    let bucket = stage.bed.cloud.output("BucketName")?;
    let prefix = format!("rx/{}/", stage.bed.boxes[0].thing);
    let mut keys = Vec::new();
    let (mut key_marker, mut version_marker) = (None, None);
    loop {
        let page = s3.list_object_versions().bucket(bucket).prefix("rx/");
        let page = page.set_key_marker(key_marker).set_version_id_marker(version_marker).send().await?;
        ensure!(page.delete_markers().is_empty(), "something was deleted from S3");
        keys.extend(page.versions().iter().filter_map(|version| version.key().map(str::to_owned)));
        if page.is_truncated() != Some(true) {
            break;
        }
        key_marker = page.next_key_marker().map(str::to_owned);
        version_marker = page.next_version_id_marker().map(str::to_owned);
    }
    let versions = keys.len();
    let keys: BTreeSet<String> = keys.into_iter().collect();
    ensure!(keys.len() == versions, "{} objects are doubled in S3", versions - keys.len());
    let (s3, prefix) = (&s3, &prefix);
    let ids = futures::stream::iter(&keys)
        .map(|key| async move {
            let object = s3.get_object().bucket(bucket).key(key).send().await?;
            let content = object.body.collect().await?.into_bytes();
            let id = key.strip_prefix(prefix).context("an object of nobody")?;
            let path = book.path_of(id, &content);
            let path = path.with_context(|| format!("{id} is in S3 and never stood on the share"))?;
            Ok((id.to_owned(), path.to_owned()))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect();
    ids.await
}

/// Upload ids as the API lists them, and whether each is current.
async fn ledger(stage: &Stage) -> Result<BTreeMap<String, bool>> {
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/uploads?thing={}&limit=200{cursor}", stage.bed.boxes[0].thing);
        let page = stage.bed.api.get(&path).await?;
        for item in page["items"].as_array().context("no items")? {
            let id = item["uploadId"].as_str().context("no id")?.to_owned();
            let twice = found.insert(id, item["current"] == true).is_some();
            ensure!(!twice, "the ledger lists an upload twice");
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(found),
        }
    }
}

/// `current` is what the share holds. At a path where nothing stands any more, whatever stood last.
fn judge_current(
    ledger: &BTreeMap<String, bool>,
    paths: &BTreeMap<String, String>,
    book: &Book,
) -> Result<()> {
    for (id, path) in paths {
        if let Some(standing) = book.standing.get(path) {
            let (current, stands) = (ledger.get(id) == Some(&true), standing == id);
            ensure!(current == stands, "{id} is current: {current}, and stands on the share: {stands}");
        }
    }
    Ok(())
}

/// One observation a sequence, and one for each file that the agent said it had captured.
async fn judge_observations(stage: &mut Stage) -> Result<usize> {
    let sequences: Vec<i64> =
        sqlx::query_scalar("select sequence from observations").fetch_all(&stage.ledger).await?;
    let seen: HashSet<i64> = sequences.iter().copied().collect();
    ensure!(seen.len() == sequences.len(), "a sequence has two observations");
    let log = stage.agent_log()?;
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let captured: Vec<i64> = events
        .filter(|event| event["message"] == "captured a file")
        .filter_map(|event| event["sequence"].as_i64())
        .collect();
    ensure!(!captured.is_empty(), "the agent's log does not tell of captures");
    let lost = captured.iter().filter(|sequence| !seen.contains(sequence)).count();
    ensure!(lost == 0, "{lost} captures are lost: they were in the spool and are not in the ledger");
    Ok(sequences.len())
}

async fn judge_box(stage: &Stage) -> Result<()> {
    let backlog = stage.backlog().await?;
    ensure!(backlog["count"] == 0 && backlog["quarantined"] == 0, "the box still has {backlog}");
    Ok(())
}

/// No name of a file reached a log, as text, as hexadecimal or as base64.
fn judge_logs(stage: &Stage) -> Result<()> {
    let mut logs = Vec::new();
    read_all(&stage.bed.folder.join("log"), &mut logs)?;
    let logs = String::from_utf8_lossy(&logs);
    ensure!(logs.contains("captured a file"), "the logs are not where they are looked for");
    for trace in CANARIES.into_iter().flat_map(traces) {
        ensure!(!logs.contains(&trace), "a log tells the name of a file");
    }
    Ok(())
}

/// What a word looks like in a log, however it may have been encoded.
fn traces(word: &str) -> Vec<String> {
    let mut traces = vec![word.to_owned(), hex::encode(word)];
    for shift in 0..3 {
        // Wherever it stands in what was encoded: without the letters that its neighbours share.
        let shifted = [&vec![0; shift], word.as_bytes()].concat();
        let text = STANDARD_NO_PAD.encode(&shifted);
        let (first, last) = ([0, 2, 3][shift], text.len() - usize::from(shifted.len() % 3 != 0));
        traces.push(text[first..last].to_owned());
    }
    traces
}

fn read_all(folder: &Path, into: &mut Vec<u8>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { read_all(&path, into)? } else { into.extend(std::fs::read(&path)?) }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_wherever_it_stands_in_what_was_encoded() {
        for before in ["", "x", "xy", "xyz"] {
            let text = format!("{before}kanariya-1.csv");
            for encoded in [text.clone(), hex::encode(&text), STANDARD_NO_PAD.encode(&text)] {
                assert!(traces("kanariya").iter().any(|trace| encoded.contains(trace)), "{encoded}");
            }
        }
    }
}
