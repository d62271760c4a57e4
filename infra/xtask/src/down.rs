//! `cargo xtask down`: ends what `up` started, and waits until it has ended. So does `lab down`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::cargo::{run, workspace};

const GRACE: Duration = Duration::from_secs(30);

pub fn run_down(rest: &[String]) -> Result<()> {
    end("down", ".recehub", rest)
}

/// Ends the system of the folder that is asked for, or of the usual one.
pub fn end(command: &str, usual: &str, rest: &[String]) -> Result<()> {
    let folder = match rest {
        [] => workspace().join(usual),
        [flag, folder] if flag == "--dir" => workspace().join(folder),
        [one] if one.starts_with("--dir=") => workspace().join(one.trim_start_matches("--dir=")),
        _ => bail!("usage: cargo xtask {command} [--dir DIR]"),
    };
    let Some(supervisor) = running(&folder) else {
        println!("nothing runs from {}", folder.display());
        return Ok(());
    };
    run(Command::new("kill").args(["-TERM", &supervisor.to_string()]))?;
    let started = Instant::now();
    while running(&folder) == Some(supervisor) {
        if started.elapsed() > GRACE {
            bail!("process {supervisor} did not end within {} s", GRACE.as_secs());
        }
        sleep(Duration::from_millis(50));
    }
    println!("stopped; the state stays in {}", folder.display());
    Ok(())
}

/// The supervisor's process, if it is alive and really ours.
fn running(folder: &Path) -> Option<u32> {
    let pid: u32 = fs::read_to_string(folder.join("supervisor.pid")).ok()?.trim().parse().ok()?;
    let program = fs::read(PathBuf::from(format!("/proc/{pid}/cmdline"))).ok()?;
    let first = program.split(|&byte| byte == 0).next()?;
    first.ends_with(b"testbed").then_some(pid)
}
