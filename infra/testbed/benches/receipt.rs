//! How long a prescription takes from the receipt computer's save to the box's receipt, through real
//! smbd, and what each process holds in memory meanwhile. Prints figures; judges nothing.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use device_model::upload::{ContentHash, UploadId};
use serde_json::Value;
use testbed::{Testbed, boxes::RecehubBox, wait::until};

const FILES: usize = 200;
const BYTES: usize = 5 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok()
        .context("a TLS provider is set already")?;
    let mut bed = Testbed::for_test(1).await?;
    let idle = memory(&mut bed)?;
    let one = &bed.boxes[0];
    let saved = save_all(one).await?;
    let receipts = until("every file has its receipt", Duration::from_mins(2), || {
        let receipts = receipts(&one.agent_log());
        async move { receipts.map(|receipts| (receipts.len() >= FILES).then_some(receipts)) }
    })
    .await?;
    let mut times: Vec<Duration> =
        saved.iter().filter_map(|(id, saved)| receipts.get(id)?.duration_since(*saved).ok()).collect();
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!("{} files of {BYTES} bytes, one after the other by smbclient", times.len());
    println!("last write -> receipt at the box: p50 {:.1} ms, p99 {:.1} ms", at(50), at(99));
    println!("\nresident memory (MiB)      idle   after");
    let after = memory(&mut bed)?;
    for (name, bytes) in idle {
        let mib = |bytes: u64| bytes / 1_048_576;
        println!("  {name:22} {:7} {:7}", mib(bytes), mib(after.get(&name).copied().unwrap_or_default()));
    }
    bed.stop().await
}

/// Saves the files in one SMB session; tells when each was last written, by upload id.
async fn save_all(one: &RecehubBox) -> Result<BTreeMap<String, SystemTime>> {
    let local = tempfile::tempdir()?;
    let mut commands = format!("lcd {}; ", local.path().display());
    let mut contents = BTreeMap::new();
    for number in 0..FILES {
        let name = format!("rx{number}.csv");
        let mut content = format!("{number}\r\n").repeat(BYTES).into_bytes();
        content.truncate(BYTES);
        fs::File::create(local.path().join(&name))?.write_all(&content)?;
        commands.push_str("put ");
        commands.push_str(&name);
        commands.push_str("; ");
        contents.insert(name, ContentHash::of(&content));
    }
    one.share.client(&commands).output().await?;
    let thing = one.thing.parse()?;
    let saved = contents.into_iter().map(|(name, hash)| {
        let written = fs::metadata(one.share.folder.join(&name))?.modified()?;
        Ok((UploadId::of(&thing, name.as_bytes(), hash).to_string(), written))
    });
    saved.collect()
}

/// When the agent had each receipt, from its log.
fn receipts(log: &Path) -> Result<BTreeMap<String, SystemTime>> {
    let lines = fs::read_to_string(log)?;
    let events = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let received = events.filter(|event| event["message"] == "the cloud has it").filter_map(|event| {
        let at: chrono::DateTime<chrono::Utc> = event["timestamp"].as_str()?.parse().ok()?;
        Some((event["upload.id"].as_str()?.to_owned(), at.into()))
    });
    Ok(received.collect())
}

/// Resident memory by process.
fn memory(bed: &mut Testbed) -> Result<BTreeMap<String, u64>> {
    bed.processes().into_iter().map(|(name, pid)| Ok((name, resident(pid)?))).collect()
}

fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}
