//! The pharmacy's switch, and the router in it: DHCP and DNS by dnsmasq, or by one that misleads.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

use crate::{
    lab::{
        pharmacy::ROUTER,
        rogue::{Answer, Rogue},
        space::Space,
    },
    process::{Process, Program},
    wait::until,
};

/// The addresses that the router hands out.
pub const LEASES: &str = "192.168.10.100,192.168.10.150,255.255.255.0,120";
/// Of its own: else a bridge has that of some cable, and becomes another when that is pulled out.
const MAC: &str = "02:00:00:00:00:01";
/// A name server that is there and never answers.
pub const HANGING_DNS: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 53);

pub struct Router {
    space: Space,
    name: String,
    logs: PathBuf,
    leases: PathBuf,
    dnsmasq: Option<Process>,
    rogue: Option<Rogue>,
    hanging: Vec<std::net::UdpSocket>,
}

/// What answers a box that asks for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dhcp {
    Good,
    Silent,
    Rogue(Answer),
}

impl Router {
    /// A router that works.
    pub async fn build(folder: &Path, logs: &Path, name: &str) -> Result<Self> {
        let setup = format!(
            "ip link set lo up\nip link add sw0 address {MAC} type bridge\nip addr add {ROUTER}/24 dev sw0\n\
             ip addr add {HANGING_DNS}/32 dev sw0\nip link set sw0 up"
        );
        let space = Space::open(&format!("{name}-switch"), logs, &setup).await?;
        let mut this = Self {
            space,
            name: name.to_owned(),
            logs: logs.to_owned(),
            leases: folder.join("dnsmasq.leases"),
            dnsmasq: None,
            rogue: None,
            hanging: Vec::new(),
        };
        let hangs = || Ok(std::net::UdpSocket::bind((HANGING_DNS, 53))?);
        this.hanging.push(this.space.within(hangs).await?);
        this.set_dhcp(Dhcp::Good).await?;
        Ok(this)
    }

    pub fn space(&self) -> &Space {
        &self.space
    }

    /// A cable from the switch to a new interface there.
    pub async fn plug(&self, port: &str, interface: &str, there: &Space) -> Result<()> {
        let pid = there.pid()?;
        // After a power cut the kernel may not have taken the old one away yet.
        let script = format!(
            "ip link del {port} 2>/dev/null || true\n\
             ip link add {port} type veth peer name {interface} netns {pid}\n\
             ip link set {port} master sw0 up"
        );
        self.space.run(&script).await.map(drop)
    }

    /// Plugs the cable of a port in or out.
    pub async fn set_cable(&self, port: &str, is_in: bool) -> Result<()> {
        let state = if is_in { "up" } else { "down" };
        self.space.run(&format!("ip link set {port} {state}")).await.map(drop)
    }

    /// Has the router answer nobody, or be there again.
    pub async fn set_alive(&self, is_alive: bool) -> Result<()> {
        let script = if is_alive {
            format!("ip addr replace {ROUTER}/24 dev sw0")
        } else {
            format!("ip addr del {ROUTER}/24 dev sw0")
        };
        self.space.run(&script).await.map(drop)
    }

    pub async fn set_dhcp(&mut self, dhcp: Dhcp) -> Result<()> {
        self.rogue = None;
        if let Some(old) = self.dnsmasq.take() {
            old.kill().await?;
        }
        // Names are looked up whatever becomes of DHCP.
        self.dnsmasq = Some(self.start_dnsmasq(dhcp == Dhcp::Good).await?);
        if let Dhcp::Rogue(answer) = dhcp {
            self.rogue = Some(Rogue::start(&self.space, answer).await?);
        }
        Ok(())
    }

    async fn start_dnsmasq(&self, has_dhcp: bool) -> Result<Process> {
        let dnsmasq = Program::new(&format!("{}-dnsmasq", self.name), "/usr/sbin/dnsmasq")
            .arg("--keep-in-foreground")
            .arg("--conf-file=/dev/null")
            .arg("--no-hosts")
            .arg("--no-resolv")
            .arg("--user=root")
            .arg("--group=root")
            .arg("--log-facility=-")
            .arg("--pid-file=")
            .arg("--bind-interfaces")
            .arg(format!("--listen-address={ROUTER}"))
            .arg(format!("--address=/rececom.test/{}", crate::lab::pharmacy::RECEIPT_COMPUTER));
        let dnsmasq = if has_dhcp {
            dnsmasq
                .arg("--dhcp-authoritative")
                // The box itself makes sure that nobody has an address; a ping here takes three seconds.
                .arg("--no-ping")
                .arg(format!("--dhcp-range={LEASES}"))
                .arg(format!("--dhcp-option=3,{ROUTER}"))
                .arg(format!("--dhcp-option=6,{ROUTER}"))
                .arg(format!("--dhcp-leasefile={}", self.leases.display()))
        } else {
            dnsmasq
        };
        let mut process = self.space.inside(&dnsmasq)?.start(&self.logs)?;
        until("the router answers", Duration::from_mins(1), || {
            let alive = process.ensure_alive();
            let open = self.space.run("grep -q ' 010AA8C0:0035 ' /proc/net/udp");
            async move {
                alive?;
                Ok(open.await.ok().map(drop))
            }
        })
        .await?;
        Ok(process)
    }
}
