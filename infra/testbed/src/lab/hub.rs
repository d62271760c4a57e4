//! The box of a pharmacy as it is in the world: real NetworkManager, real smbd, the real agent, on a disk
//! and between cables that can be taken from it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::{
    Testbed,
    boxes::RecehubBox,
    lab::{cloud_side::CloudSide, disk::Disk, router::Router, space::Space},
    process::{Process, Program},
    samba::Share,
    wait::until,
};

const BOUND: Duration = Duration::from_mins(1);
/// The port of the switch that the box is plugged into.
pub const PORT: &str = "box";
const SMB_PORT: u16 = 445;

/// As it is on a box: the agent alone decides about lan0, and nobody but the system about wan0.
const NETWORK_MANAGER: &str = "[main]\nplugins=keyfile\ndhcp=internal\ndns=none\nrc-manager=unmanaged\n\
    no-auto-default=*\nauth-polkit=false\nsystemd-resolved=false\n\
    [keyfile]\nunmanaged-devices=interface-name:wan0\n";

pub struct Hub {
    pub one: RecehubBox,
    number: usize,
    /// What starts the agent and smbd, out of the box.
    agent: Program,
    smbd: Program,
    space: Option<Space>,
    disk: Disk,
    bus: Option<Process>,
    network_manager: Option<Process>,
    hijacker: Option<Process>,
    /// What the box finds at its start but does not keep: hosts, boot id.
    given: PathBuf,
    logs: PathBuf,
}

impl Hub {
    /// An enrolled box, not switched on yet.
    pub async fn make(bed: &Testbed, number: usize, folder: &Path) -> Result<Self> {
        let mut one = RecehubBox::enrolled(&bed.surroundings(), &bed.api, number, SMB_PORT).await?;
        one.share = one.share.on_every_interface();
        let kept = one.home.join("network-manager");
        fs::create_dir_all(kept.join("var"))?;
        fs::create_dir_all(kept.join("etc/system-connections"))?;
        put(&kept.join("etc/NetworkManager.conf"), NETWORK_MANAGER)?;
        let given = folder.join("given");
        fs::create_dir_all(&given)?;
        put(&given.join("hosts"), &CloudSide::hosts())?;
        // smbd looks the client's name up: a name server that does not answer would hold it up.
        put(&given.join("resolv.conf"), "")?;
        let logs = bed.folder.join("log");
        let smbd = one.share.smbd(&logs, &format!("smbd-{}", one.thing)).await?;
        let disk = Disk::make(folder.join("disk"), &one.home).await?;
        let agent = one
            .agent_program()
            .clone()
            .env("RECEHUB_LAN_BACKEND", "network-manager")
            .env("RECEHUB_LAN_INTERFACE", "lan0")
            .env("RECEHUB_WAN_INTERFACE", "wan0")
            // What came to nothing is tried again soon: nobody waits for ten minutes here.
            .env("RECEHUB_LAN_RETRY_SECONDS", "1,1,1");
        let (space, bus, network_manager, hijacker) = (None, None, None, None);
        Ok(Self { one, number, agent, smbd, space, disk, bus, network_manager, hijacker, given, logs })
    }

    /// Switches the box on: its cables are in, its services start.
    pub async fn boot(&mut self, router: &Router, cloud: &CloudSide) -> Result<()> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        put(&self.given.join("boot-id"), &boot_id)?;
        let space = Space::with_mounts(&self.name("box"), &self.logs, &self.mounts()).await?;
        router.plug(PORT, "lan0", &space).await?;
        cloud.connect(self.number, &space).await?;
        // The same after a power cut, as with a real card: DHCP knows it again.
        space.run(&format!("ip link set lan0 address 02:00:00:00:{:02x}:01", self.number)).await?;
        let agent = cloud.reached_by(&self.agent);
        self.one.run_agent_as(space.inside(&agent)?);
        self.space = Some(space);
        self.start_bus().await?;
        self.start_network_manager().await?;
        self.start_share().await?;
        self.one.start_agent()
    }

    /// The power goes: what was not synced is lost, and nobody can say a last word.
    pub async fn cut_power(&mut self) -> Result<()> {
        let space = self.space.take().context("the box is off")?;
        // From this moment on nothing happens in the box, however long it takes to tell the disk.
        space.signal_all(Signal::STOP)?;
        self.disk.cut(&space).await?;
        space.kill_all()?;
        drop(space);
        let services = [self.bus.take(), self.network_manager.take(), self.hijacker.take()];
        for process in services.into_iter().chain([self.one.smbd.take(), self.one.agent.take()]).flatten() {
            process.kill().await?;
        }
        self.disk.until_free().await
    }

    pub fn space(&self) -> Result<&Space> {
        self.space.as_ref().context("the box is off")
    }

    pub fn share(&self) -> &Share {
        &self.one.share
    }

    pub fn network_manager(&self) -> Result<&Process> {
        self.network_manager.as_ref().context("NetworkManager does not run")
    }

    pub async fn kill_network_manager(&mut self) -> Result<()> {
        self.network_manager.take().context("NetworkManager does not run")?.kill().await
    }

    pub async fn start_network_manager(&mut self) -> Result<()> {
        let program =
            Program::new(&self.name("network-manager"), "/usr/sbin/NetworkManager").arg("--no-daemon");
        let mut process = self.space()?.inside(&program)?.start(&self.logs)?;
        self.until_runs("nmcli -t -f RUNNING general | grep -q ^running", &mut process).await?;
        self.network_manager = Some(process);
        Ok(())
    }

    pub async fn start_share(&mut self) -> Result<()> {
        let mut process = self.space()?.inside(&self.smbd)?.start(&self.logs)?;
        self.until_runs(&format!("grep -q ':{SMB_PORT:04X} 00000000:0000 0A ' /proc/net/tcp"), &mut process)
            .await?;
        self.one.smbd = Some(process);
        Ok(())
    }

    pub async fn stop_share(&mut self) -> Result<()> {
        self.one.smbd.take().context("smbd does not run")?.kill().await
    }

    pub fn suspend_share(&self) -> Result<()> {
        self.one.smbd.as_ref().context("smbd does not run")?.suspend()
    }

    pub fn resume_share(&self) -> Result<()> {
        self.one.smbd.as_ref().context("smbd does not run")?.resume()
    }

    /// Has smbd let the share's user in, or not.
    pub async fn set_share_account(&self, is_open: bool) -> Result<()> {
        let program = self.one.share.set_account(is_open).await?;
        self.space()?.inside(&program)?.output().await.map(drop)
    }

    /// Stops the agent where it is; see [`Self::resume_agent`].
    pub fn suspend_agent(&self) -> Result<()> {
        self.one.agent.as_ref().context("the agent does not run")?.suspend()
    }

    pub fn resume_agent(&self) -> Result<()> {
        self.one.agent.as_ref().context("the agent does not run")?.resume()
    }

    /// Has a better default route than the line's lead into the pharmacy, as somebody's script might,
    /// again and again.
    pub fn hijack_default_route(&mut self, gateway: &str) -> Result<()> {
        let script =
            format!("while :; do {} 2>/dev/null || true; sleep 0.05; done", hijack("replace", gateway));
        let program = Program::new(&self.name("hijacker"), "sh").flag("-c", script);
        self.hijacker = Some(self.space()?.inside(&program)?.start(&self.logs)?);
        Ok(())
    }

    pub async fn end_hijack(&mut self, gateway: &str) -> Result<()> {
        if let Some(hijacker) = self.hijacker.take() {
            hijacker.kill().await?;
        }
        self.space()?.run(&format!("{} 2>/dev/null || true", hijack("del", gateway))).await.map(drop)
    }

    /// Starts what has ended of itself, as systemd does; tells which.
    pub async fn restart_ended(&mut self) -> Result<Vec<String>> {
        let mut restarted = Vec::new();
        if ended(&mut self.network_manager, &mut restarted)? {
            self.start_network_manager().await?;
        }
        if ended(&mut self.one.smbd, &mut restarted)? {
            self.start_share().await?;
        }
        if ended(&mut self.one.agent, &mut restarted)? {
            self.one.start_agent()?;
        }
        Ok(restarted)
    }

    async fn start_bus(&mut self) -> Result<()> {
        let program = Program::new(&self.name("dbus"), "dbus-daemon")
            .arg("--system")
            .arg("--nofork")
            .arg("--nopidfile");
        let mut process = self.space()?.inside(&program)?.start(&self.logs)?;
        self.until_runs("test -S /run/dbus/system_bus_socket", &mut process).await?;
        self.bus = Some(process);
        Ok(())
    }

    /// Waits until a script in the box succeeds, and the process runs.
    async fn until_runs(&self, script: &str, process: &mut Process) -> Result<()> {
        let (space, what) = (self.space()?, format!("{} is ready", process.name()));
        until(&what, BOUND, || {
            let alive = process.ensure_alive();
            async move {
                alive?;
                Ok(space.run(script).await.ok().map(drop))
            }
        })
        .await
    }

    /// The machine's own system folders and devices are out of the box's reach.
    fn mounts(&self) -> String {
        let (given, kept) = (self.given.display(), self.one.home.join("network-manager"));
        let kept = kept.display();
        // NetworkManager takes veths in hand only if it cannot write to /sys.
        format!(
            "mount -t tmpfs -o mode=755 run /run\nmkdir /run/dbus\n\
             mount -t sysfs -o ro,nosuid,nodev,noexec sysfs /sys\n{disk}\n\
             mount --bind '{kept}/etc' /etc/NetworkManager\nmount --bind '{kept}/var' /var/lib/NetworkManager\n\
             mount --bind '{given}/hosts' /etc/hosts\nmount --bind '{given}/resolv.conf' /etc/resolv.conf\n\
             mount --bind '{given}/boot-id' /proc/sys/kernel/random/boot_id\nip link set lo up",
            disk = self.disk.mount(),
        )
    }

    fn name(&self, part: &str) -> String {
        format!("{}-{part}", self.one.thing)
    }
}

/// Takes note of a process that has ended.
fn ended(process: &mut Option<Process>, names: &mut Vec<String>) -> Result<bool> {
    let has_ended = process.as_mut().map(Process::ended).transpose()?.flatten().is_some();
    if let (true, Some(process)) = (has_ended, process.take_if(|_| has_ended)) {
        names.push(process.name().to_owned());
    }
    Ok(has_ended)
}

fn hijack(change: &str, gateway: &str) -> String {
    format!("ip route {change} default via {gateway} dev lan0 onlink metric 1")
}

fn put(file: &Path, text: &str) -> Result<()> {
    crate::secrets::write_file(file, text.as_bytes(), 0o644)
}
