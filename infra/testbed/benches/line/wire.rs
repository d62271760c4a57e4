//! The box's end of the line: a network namespace whose loopback is all there is of a network. Its
//! counters are the line's bytes, with the headers of IP and TCP.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::{
    process::geteuid,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use testbed::{
    line::Line,
    process::{Process, Program},
    wait::until,
};

/// One TCP segment a packet, as on a real line: the kernel would count a big one as one packet.
const LAY: &str = "ip link set lo up mtu 1400 gso_max_segs 1 gso_max_size 1400 && exec sleep infinity";

pub enum Wire {
    /// Counts packets; needs root.
    Namespace(Box<Process>),
    /// Counts what is in them.
    Payload,
}

impl Wire {
    pub async fn lay(logs: &Path) -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self::Payload);
        }
        let program = Program::new("wire", "unshare").arg("--net").arg("sh").flag("-c", LAY);
        let mut process = program.start(logs)?;
        until("the namespace is there", Duration::from_secs(10), || {
            let there = process.ensure_alive().and_then(|()| Ok(is_up(&process)?.then_some(())));
            async move { there }
        })
        .await?;
        Ok(Self::Namespace(Box::new(process)))
    }

    pub fn unit(&self) -> &'static str {
        match self {
            Self::Namespace(_) => "bytes of IP packets, both ways",
            Self::Payload => "bytes of TCP payload only, both ways: packets are counted as root",
        }
    }

    /// Opens a port at the box's end.
    pub async fn listen(&self) -> Result<tokio::net::TcpListener> {
        let namespace = self.namespace()?;
        let open = move || {
            // A thread of its own, since it is the thread that moves, and it does not come back.
            thread::spawn(move || {
                if let Some(path) = namespace {
                    let file = File::open(path)?;
                    move_into_link_name_space(
                        std::os::fd::AsFd::as_fd(&file),
                        Some(LinkNameSpaceType::Network),
                    )?;
                }
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                listener.set_nonblocking(true)?;
                anyhow::Ok(listener)
            })
            .join()
        };
        match tokio::task::spawn_blocking(open).await? {
            Ok(listener) => Ok(tokio::net::TcpListener::from_std(listener?)?),
            Err(_) => bail!("the thread that opens a port has failed"),
        }
    }

    /// The program at the box's end.
    pub fn inside(&self, program: &Program) -> Result<Program> {
        Ok(match self.namespace()? {
            Some(path) => program.clone().behind("nsenter", &[&format!("--net={}", path.display()), "--"]),
            None => program.clone(),
        })
    }

    /// What has gone over the line.
    pub fn bytes(&self, line: &Line) -> Result<u64> {
        match self {
            Self::Namespace(process) => {
                let devices = fs::read_to_string(format!("/proc/{}/net/dev", process.pid()?))?;
                let lo = devices.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
                let received = lo.and_then(|lo| lo.split_whitespace().next());
                Ok(received.context("the namespace has no loopback")?.parse()?)
            }
            Self::Payload => {
                let doors = [&line.api, &line.mqtt, &line.credentials];
                Ok(doors.iter().map(|door| door.count.bytes()).sum())
            }
        }
    }

    fn namespace(&self) -> Result<Option<PathBuf>> {
        match self {
            Self::Namespace(process) => Ok(Some(format!("/proc/{}/ns/net", process.pid()?).into())),
            Self::Payload => Ok(None),
        }
    }
}

/// Its loopback is up as soon as it has an address to route to; before it moves, ours is what it has.
fn is_up(process: &Process) -> Result<bool> {
    let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/net"));
    if namespace(&process.pid()?.to_string())? == namespace("self")? {
        return Ok(false);
    }
    let routes = fs::read_to_string(format!("/proc/{}/net/fib_trie", process.pid()?))?;
    Ok(routes.contains("127.0.0.1"))
}
