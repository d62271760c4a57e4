//! Whose a lab is: every process in it is marked with the process that made it, so that what a killed run
//! left behind is found, and nothing else is.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::lab::space::processes;

/// The variable of the environment that marks a process.
pub const MARK: &str = "RECEHUB_LAB_OF";
/// Folders of labs that were to be gone at their end.
pub const FOLDER_PREFIX: &str = "recehub-lab-";

/// A process, told from a later one with the same number.
pub fn owner() -> Result<String> {
    let pid = std::process::id();
    Ok(format!("{pid}.{}", started(pid).context("this process cannot be looked at")?))
}

/// Ends what is left of labs whose makers have ended; how many processes that were.
pub fn sweep() -> Result<usize> {
    let mut swept = 0;
    for pid in processes()? {
        let Some(owner) = mark_of(pid) else { continue };
        let whose = i32::try_from(pid).ok().and_then(Pid::from_raw);
        if let (false, Some(whose)) = (lives(&owner), whose) {
            // It may have ended by itself meanwhile.
            swept += usize::from(kill_process(whose, Signal::KILL).is_ok());
        }
    }
    for entry in fs::read_dir(std::env::temp_dir())?.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(FOLDER_PREFIX)?.split('-').next());
        if owner.is_some_and(|owner| !lives(owner)) {
            remove(&entry.path());
        }
    }
    Ok(swept)
}

/// What cannot be removed now is removed by the next one.
fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(%error, "{} is left of an earlier lab and cannot be removed", folder.display());
    }
}

fn lives(owner: &str) -> bool {
    let Some((pid, start)) = owner.split_once('.') else { return false };
    pid.parse().ok().and_then(started).is_some_and(|its| its == start)
}

fn mark_of(pid: u32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|&byte| byte == 0);
    let mark = variables.find_map(|variable| variable.strip_prefix(format!("{MARK}=").as_bytes()))?;
    String::from_utf8(mark.to_vec()).ok()
}

/// When a process began, in the kernel's count. Its name, which may hold anything, stands in brackets before.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_runs_is_told_from_one_that_had_its_number() {
        let me = owner().unwrap();
        let (pid, _) = me.split_once('.').unwrap();

        assert!(lives(&me));
        assert!(!lives(&format!("{pid}.1")));
        assert!(!lives("nonsense"));
    }
}
