//! The box's end of the line: a network namespace whose loopback is all there is of a network. Its
//! counters are the line's bytes, with the headers of IP and TCP.

use std::{fs, net::Ipv4Addr, path::Path};

use anyhow::{Context, Result};
use rustix::process::geteuid;
use testbed::{lab::space::Space, line::Line, process::Program};

/// One TCP segment a packet, as on a real line: the kernel would count a big one as one packet.
const LAY: &str = "ip link set lo up mtu 1400 gso_max_segs 1 gso_max_size 1400";

pub enum Wire {
    /// Counts packets; needs root.
    Namespace(Box<Space>),
    /// Counts what is in them.
    Payload,
}

impl Wire {
    pub async fn lay(logs: &Path) -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self::Payload);
        }
        Ok(Self::Namespace(Box::new(Space::open("wire", logs, LAY).await?)))
    }

    pub fn unit(&self) -> &'static str {
        match self {
            Self::Namespace(_) => "bytes of IP packets, both ways",
            Self::Payload => "bytes of TCP payload only, both ways: packets are counted as root",
        }
    }

    /// Opens a port at the box's end.
    pub async fn listen(&self) -> Result<tokio::net::TcpListener> {
        match self {
            Self::Namespace(space) => space.listen().await,
            Self::Payload => Ok(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?),
        }
    }

    /// The program at the box's end.
    pub fn inside(&self, program: &Program) -> Result<Program> {
        match self {
            Self::Namespace(space) => space.inside(program),
            Self::Payload => Ok(program.clone()),
        }
    }

    /// What has gone over the line.
    pub fn bytes(&self, line: &Line) -> Result<u64> {
        match self {
            Self::Namespace(space) => {
                let devices = fs::read_to_string(format!("/proc/{}/net/dev", space.pid()?))?;
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
}
