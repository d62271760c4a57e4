//! What the agent takes of the box: memory, CPU, disk.

use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;
use testbed::{Testbed, boxes::RecehubBox, process::Program, wait::until};
use tokio::time::sleep;

const MIB: u64 = 1024 * 1024;
const BIG: u64 = 1024 * MIB;
const IDLE: Duration = Duration::from_mins(1);
const BOUND: Duration = Duration::from_mins(5);

/// To be called while nothing else happens: it watches the agent do nothing for a minute.
pub async fn measure(bed: &Testbed) -> Result<String> {
    let one = &bed.boxes[0];
    let pid = one.agent.as_ref().context("no agent")?.pid()?;
    until("the agent is connected", BOUND, || async {
        Ok(said(one, |event| event["message"] == "connected over MQTT")?.then_some(()))
    })
    .await?;
    let before = cpu_of(pid)?;
    sleep(IDLE).await;
    let (idle, busy) = (memory(pid, "VmRSS")?, cpu_of(pid)?.saturating_sub(before));
    let size = fs::metadata(Program::ours("device-agent", "device-agent")?.path())?.len();
    // The highest mark begins anew.
    fs::OpenOptions::new()
        .write(true)
        .open(format!("/proc/{pid}/clear_refs"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"5"))?;
    let file = one.share.folder.join("big.bin");
    let draft = one.home.join("big.draft");
    File::create(&draft)?.set_len(BIG)?;
    fs::rename(&draft, &file)?;
    until("the big file is captured", BOUND, || async {
        Ok(said(one, |event| event["size_bytes"] == BIG)?.then_some(()))
    })
    .await?;
    let peak = memory(pid, "VmHWM")?;
    fs::remove_file(file)?;
    let mib = |bytes: u64| bytes as f64 / MIB as f64;
    Ok(format!(
        "the agent\n  memory, idle (goal: at most 12 MiB)   {:>8.1} MiB\n  \
         memory at most, with a file of 1 GiB  {:>8.1} MiB\n  CPU in an idle minute                 {:>8.0} ms\n  \
         program (goal: at most 12 MB)         {:>8.1} MB\n",
        mib(idle),
        mib(peak),
        busy.as_secs_f64() * 1000.0,
        size as f64 / 1e6,
    ))
}

fn said(one: &RecehubBox, is_it: impl Fn(&Value) -> bool) -> Result<bool> {
    let log = fs::read_to_string(one.agent_log())?;
    Ok(log.lines().filter_map(|line| serde_json::from_str(line).ok()).any(|event| is_it(&event)))
}

/// Bytes that the process has had written to the disk.
pub fn written(pid: u32) -> Result<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).context("no write_bytes")?;
    Ok(line.parse()?)
}

/// CPU time of each part of the bed, with the processes that it has started.
pub fn busy(bed: &mut Testbed) -> Result<Vec<(String, Duration)>> {
    let all: Vec<(u32, u32, Duration)> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| stat(pid).ok())
        .collect();
    let mut parts = bed.processes();
    parts.push(("this bench".to_owned(), 0));
    let of_tree = |top: u32| {
        let (mut tree, mut time) = (vec![top], Duration::ZERO);
        while let Some(pid) = tree.pop() {
            for (child, parent, busy) in &all {
                if *child == pid {
                    time += *busy;
                }
                if *parent == pid {
                    tree.push(*child);
                }
            }
        }
        time
    };
    let this = cpu_of(std::process::id())?;
    Ok(parts.into_iter().map(|(name, pid)| (name, if pid == 0 { this } else { of_tree(pid) })).collect())
}

fn cpu_of(pid: u32) -> Result<Duration> {
    Ok(stat(pid)?.2)
}

/// A process's id, its parent's, and the CPU time it has had.
fn stat(pid: u32) -> Result<(u32, u32, Duration)> {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))?;
    // The name before it is in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(") ").context("no stat")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let field = |at: usize| fields.get(at).context("a short stat");
    let ticks: u64 = field(11)?.parse::<u64>()? + field(12)?.parse::<u64>()?;
    let a_second = rustix::param::clock_ticks_per_second();
    Ok((pid, field(1)?.parse()?, Duration::from_millis(ticks * 1000 / a_second)))
}

/// A line of the process's status, in bytes.
fn memory(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    let kib: u64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}
