//! The far end of the boxes' own lines: a provider's network in which the cloud's three doors stand. From
//! a box they are reached over its wan0 and by no other way.

use std::path::Path;

use anyhow::Result;

use crate::{Testbed, lab::space::Space, line::Line, process::Program};

/// The provider's router, which every box has its default route to.
pub const GATEWAY: &str = "10.64.0.1";
/// The provider's network. It is none of the ranges that the fleet API knows to be a line's, so that only
/// the box itself can see that a pharmacy's network overlaps with it.
pub const NETWORK: &str = "10.64.0.0/16";
/// Of its own: else a bridge has that of some cable, and becomes another when that is pulled out.
const MAC: &str = "02:00:00:00:00:fe";
/// Where the doors stand.
const DOORS: &str = "203.0.113.10";
/// The name in the certificates of the doors.
const NAME: &str = "local-cloud.test";

pub struct CloudSide {
    space: Space,
    line: Line,
}

/// How a box's own line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wan {
    Up,
    /// The modem has lost its cell: nothing comes back, and nothing is told.
    Silent,
    /// The modem is unplugged.
    Unplugged,
}

impl CloudSide {
    pub async fn build(bed: &Testbed, logs: &Path) -> Result<Self> {
        let setup = format!(
            "ip link set lo up\nip addr add {DOORS}/32 dev lo\nip link add isp0 address {MAC} type bridge\n\
             ip addr add {GATEWAY}/16 dev isp0\nip link set isp0 up"
        );
        let space = Space::open("lab-cloud", logs, &setup).await?;
        let line = Line::from(&bed.cloud, &bed.fleet_api, || space.listen()).await?;
        Ok(Self { space, line })
    }

    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The line of the box of a pharmacy, plugged in. There is no other way out of the box.
    pub async fn connect(&self, number: usize, hub: &Space) -> Result<()> {
        let (pid, address) = (hub.pid()?, address(number));
        // After a power cut the kernel may not have taken the old one away yet.
        let plug = format!(
            "ip link del wan-{number} 2>/dev/null || true\n\
             ip link add wan-{number} type veth peer name wan0 netns {pid}\n\
             ip link set wan-{number} master isp0 up"
        );
        self.space.run(&plug).await?;
        let start = format!(
            "ip link set wan0 address 02:00:00:00:{number:02x}:02\nip addr add {address}/16 dev wan0\n\
             ip link set wan0 up\n\
             ip route add default via {GATEWAY} dev wan0 metric 10"
        );
        hub.run(&start).await.map(drop)
    }

    pub async fn set(&self, number: usize, wan: Wan) -> Result<()> {
        let address = address(number);
        let (link, route) = match wan {
            Wan::Up => ("up", "del"),
            Wan::Silent => ("up", "replace"),
            Wan::Unplugged => ("down", "del"),
        };
        let script = format!(
            "ip route {route} blackhole {address}/32 2>/dev/null || [ {route} = del ]\n\
             ip link set wan-{number} {link}"
        );
        self.space.run(&script).await.map(drop)
    }

    /// The agent of a box, told where the doors are.
    pub fn reached_by(&self, agent: &Program) -> Program {
        let Line { api, mqtt, credentials, .. } = &self.line;
        agent
            .clone()
            .env("RECEHUB_FLEET_API", format!("http://{DOORS}:{}", api.port))
            .env("RECEHUB_MQTT_HOST", NAME)
            .env("RECEHUB_MQTT_PORT", mqtt.port)
            .env("RECEHUB_CREDENTIALS_URL", format!("https://{NAME}:{}", credentials.port))
    }

    /// The line of a shell's script that succeeds where the fleet API is reached.
    pub fn call(&self) -> String {
        format!("curl -s -f -m 2 -o /dev/null http://{DOORS}:{}/readyz", self.line.api.port)
    }

    /// What the box's resolver has to know.
    pub fn hosts() -> String {
        format!("127.0.0.1 localhost\n{DOORS} {NAME}\n")
    }
}

fn address(number: usize) -> String {
    format!("10.64.7.{number}")
}
