//! Everything that is wrong with how this box is set up, told at once. Whether the cloud is there is not
//! asked: a box has to start without it.

use std::{
    fs::{self, File},
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use tokio::net::UdpSocket;

use crate::{
    clock::Clock,
    config::{self, Config, ConfigFaults, Home, lan::LanBackend},
    identity::Identity,
    lan::network_manager,
    share::samba,
};

/// What is at fault, a sentence each. Parts that can be looked at are, whatever is wrong with the others.
pub async fn faults(var: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let said = |name: &str| var(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let folder = |name: &str| said(name).map(PathBuf::from);
    let mut faults = Config::read(&var).err().map_or_else(Vec::new, |ConfigFaults(faults)| faults);
    if let Some(share) = folder("RECEHUB_SHARE_DIR") {
        let read = fs::read_dir(&share).map(drop);
        faults.extend(fault(read, &format!("RECEHUB_SHARE_DIR: {} cannot be read", share.display())));
    }
    if let Some(conf) = folder("RECEHUB_SHARE_CONF") {
        let written = conf.parent().map_or(Ok(()), write_and_remove);
        faults.extend(fault(written, &format!("RECEHUB_SHARE_CONF: {} cannot be written", conf.display())));
        let path = said("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        for program in samba::PROGRAMS {
            if !folders.iter().any(|folder| folder.join(program).is_file()) {
                faults.push(format!("the share cannot be hosted without {program}"));
            }
        }
    }
    if let Some(state) = folder("RECEHUB_STATE_DIR") {
        let spool = state.join("spool");
        for place in [Some(&state), Some(&spool).filter(|spool| spool.exists())].into_iter().flatten() {
            let what = format!("RECEHUB_STATE_DIR: {} cannot be written to", place.display());
            faults.extend(fault(write_and_remove(place), &what));
        }
    }
    if let Ok(home) = Home::read(&var) {
        faults.extend(config::spool_key(&var, &home).fault().map(|fault| fault.to_string()));
    }
    if let (Ok(home), Some(ca_file)) = (Home::read(&var), folder("RECEHUB_CA_FILE")) {
        let identity = Identity::faults(&home, &ca_file, &Clock::system());
        faults.extend(identity.iter().map(ToString::to_string));
    }
    if let Some(interface) = said("RECEHUB_WAN_INTERFACE") {
        if Path::new("/sys/class/net").join(&interface).exists() {
            let servers = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
            for server in name_servers(&servers) {
                if leaves_elsewhere(server, &interface).await {
                    faults.push(format!(
                        "names are looked up at {server}, which is not reached by {interface}"
                    ));
                }
            }
        } else {
            faults.push(format!("RECEHUB_WAN_INTERFACE: there is no network interface {interface}"));
        }
    }
    if let Ok(LanBackend::NetworkManager(lan)) = LanBackend::read(&var) {
        faults.extend(network_manager::check::faults(&lan).await);
    }
    faults
}

fn fault(result: io::Result<()>, what: &str) -> Option<String> {
    result.err().map(|error| format!("{what}: {error}"))
}

/// As the spool does it: durably.
fn write_and_remove(folder: &Path) -> io::Result<()> {
    let probe = folder.join(format!(".check-{:016x}", rand::random::<u64>()));
    let written = File::create_new(&probe).and_then(|mut file| {
        file.write_all(b"x")?;
        file.sync_all()
    });
    match fs::remove_file(&probe) {
        Err(error) if written.is_ok() => Err(error),
        _ => written,
    }
}

/// Those that are not on this box: where one of those asks in turn is for the system to say.
fn name_servers(resolv_conf: &str) -> Vec<IpAddr> {
    let server = |line: &str| line.strip_prefix("nameserver")?.split_whitespace().next()?.parse().ok();
    resolv_conf.lines().filter_map(server).filter(|server: &IpAddr| !server.is_loopback()).collect()
}

/// True if what is sent there would leave by another interface. Nothing is sent to find out.
async fn leaves_elsewhere(server: IpAddr, interface: &str) -> bool {
    let source = async |interface: Option<&[u8]>| {
        let any =
            if server.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.bind_device(interface)?;
        socket.connect((server, 53)).await?;
        Ok::<_, io::Error>(socket.local_addr()?.ip())
    };
    // Without any way there nothing leaves by a wrong one.
    match source(None).await {
        Ok(usual) => source(Some(interface.as_bytes())).await.ok() != Some(usual),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_as_they_stand_there() {
        let text =
            "# one\nsearch example\nnameserver 192.0.2.1\nnameserver\t2001:db8::1\nnameserver 127.0.0.53\n";

        let expected: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(name_servers(text), expected);
    }
}
