//! A network namespace: held by a process of ours, so that it goes when we do, however we end.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    os::fd::AsFd,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Result, bail};
use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::{
    lab::owner::{MARK, owner},
    process::{Process, Program},
    wait::until,
};

const BOUND: Duration = Duration::from_mins(1);
/// What the holder becomes once all is set up.
const HELD: &str = "sleep";

pub struct Space {
    holder: Process,
    /// What the kernel calls it.
    network: PathBuf,
    has_mounts: bool,
}

impl Space {
    /// A namespace in which `setup`, a shell's script, has been done. It knows no network but its own.
    pub async fn open(name: &str, logs: &Path, setup: &str) -> Result<Self> {
        Self::hold(Program::new(name, "unshare").arg("--net"), false, logs, setup).await
    }

    /// One that also has mounts of its own: what is mounted in it is seen, and kept, by nobody else.
    pub async fn with_mounts(name: &str, logs: &Path, setup: &str) -> Result<Self> {
        let unshare = Program::new(name, "unshare").arg("--net").arg("--mount");
        Self::hold(unshare, true, logs, setup).await
    }

    async fn hold(unshare: Program, has_mounts: bool, logs: &Path, setup: &str) -> Result<Self> {
        let script = format!("set -e\n{setup}\nexec {HELD} infinity");
        let mut holder = unshare.arg("sh").flag("-c", script).env(MARK, owner()?).start(logs)?;
        until("the namespace is set up", BOUND, || {
            let there = holder.ensure_alive().and_then(|()| is_held(&holder));
            async move { there.map(|there| there.then_some(())) }
        })
        .await?;
        let network = fs::read_link(network_of(holder.pid()?))?;
        Ok(Self { holder, network, has_mounts })
    }

    pub fn pid(&self) -> Result<u32> {
        self.holder.pid()
    }

    pub fn ensure_alive(&mut self) -> Result<()> {
        self.holder.ensure_alive()
    }

    /// The words before a command that have it run in here.
    pub fn entrance(&self) -> Result<Vec<String>> {
        let mut words = vec!["nsenter".to_owned(), format!("--target={}", self.pid()?), "--net".to_owned()];
        words.extend(self.has_mounts.then(|| "--mount".to_owned()));
        words.push("--".to_owned());
        Ok(words)
    }

    /// The program, in here.
    pub fn inside(&self, program: &Program) -> Result<Program> {
        let words = self.entrance()?;
        let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        Ok(program.clone().env(MARK, owner()?).behind(&words[0], &arguments))
    }

    /// Runs a shell's script in here, up to its first failure.
    pub async fn run(&self, script: &str) -> Result<String> {
        self.inside(&Program::new(script, "sh").arg("-e").flag("-c", script))?.output().await
    }

    /// Opens a port on all addresses that are in here.
    pub async fn listen(&self) -> Result<tokio::net::TcpListener> {
        let listener = self.within(|| Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?)).await?;
        listener.set_nonblocking(true)?;
        Ok(tokio::net::TcpListener::from_std(listener)?)
    }

    /// Does what needs this network, e.g. opens a socket; what comes of it may be used anywhere.
    pub async fn within<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let network = network_of(self.pid()?);
        // A thread of its own, since it is the thread that moves, and it does not come back.
        let moved = move || {
            let file = File::open(network)?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            act()
        };
        match tokio::task::spawn_blocking(|| thread::spawn(moved).join()).await? {
            Ok(outcome) => outcome,
            Err(_) => bail!("the thread that went into a namespace has failed"),
        }
    }

    /// Kills every process that is in here, the holder too: with it the namespace is gone.
    pub fn kill_all(&self) -> Result<()> {
        self.signal_all(Signal::KILL)
    }

    pub fn signal_all(&self, signal: Signal) -> Result<()> {
        for pid in processes()? {
            // Whoever has ended meanwhile, or is of another user, is none of ours.
            let is_in_here = fs::read_link(network_of(pid)).is_ok_and(|its| its == self.network);
            if let (true, Some(pid)) = (is_in_here, i32::try_from(pid).ok().and_then(Pid::from_raw)) {
                kill_process(pid, signal).ok();
            }
        }
        Ok(())
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // What a program in here started itself is not killed with that program.
        drop(self.kill_all());
    }
}

/// Every process of this machine.
pub fn processes() -> Result<Vec<u32>> {
    let names = fs::read_dir("/proc")?.flatten().map(|entry| entry.file_name());
    Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
}

fn network_of(pid: u32) -> PathBuf {
    format!("/proc/{pid}/ns/net").into()
}

/// It is another program once it has set everything up; before it moves, our network is what it has.
fn is_held(holder: &Process) -> Result<bool> {
    let pid = holder.pid()?;
    let program = fs::read_to_string(format!("/proc/{pid}/comm"))?;
    if program.trim() != HELD {
        return Ok(false);
    }
    let is_ours = fs::read_link(network_of(pid))? == fs::read_link("/proc/self/ns/net")?;
    if is_ours {
        bail!("{} has no network of its own", holder.name());
    }
    Ok(true)
}
