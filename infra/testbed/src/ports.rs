//! Ports: free ones, the same again after a restart, or the ones that were asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};

use crate::secrets::{read_json, write_json};

/// Names that `--port NAME=PORT` takes; boxes' shares are `smb-1`, `smb-2`, ….
pub const NAMES: [&str; 7] = ["postgres", "aws", "mqtt", "credentials", "cloud-admin", "slack", "fleet-api"];

/// Which part listens where.
pub struct Ports {
    file: std::path::PathBuf,
    asked: BTreeMap<String, u16>,
    taken: BTreeMap<String, u16>,
}

impl Ports {
    /// Remembers what was used before in `folder`.
    pub fn open(folder: &Path, asked: BTreeMap<String, u16>) -> Result<Self> {
        for name in asked.keys() {
            if !NAMES.contains(&name.as_str()) && !name.starts_with("smb-") {
                bail!("there is no port called `{name}`; there are {} and smb-1, smb-2, …", NAMES.join(", "));
            }
        }
        let mut by_port: BTreeMap<u16, &str> = BTreeMap::new();
        for (name, &port) in &asked {
            if let Some(other) = by_port.insert(port, name) {
                bail!("port {port} was asked for twice: for {other} and for {name}");
            }
        }
        let file = folder.join("ports.json");
        let taken = read_json(&file)?.unwrap_or_default();
        Ok(Self { file, asked, taken })
    }

    /// A port for `name`: the asked one, else the one of last time if it is free, else any free one.
    pub fn take(&mut self, name: &str) -> Result<u16> {
        let port = match self.asked.get(name) {
            Some(&port) if is_free(port) => port,
            Some(port) => bail!("port {port} ({name}) is in use by another program"),
            None => match self.taken.get(name) {
                Some(&port) if is_free(port) && !self.asked.values().any(|&asked| asked == port) => port,
                _ => self.free_port()?,
            },
        };
        self.taken.insert(name.to_owned(), port);
        write_json(&self.file, &self.taken)?;
        Ok(port)
    }

    /// One that no part has been promised.
    fn free_port(&self) -> Result<u16> {
        loop {
            let port = free_port()?;
            if !self.taken.values().chain(self.asked.values()).any(|&taken| taken == port) {
                return Ok(port);
            }
        }
    }
}

/// One that nobody in this process has been given: the kernel would give it twice, if whoever has it does not
/// listen on it yet, or does not at the moment.
pub fn free_port() -> Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    for _ in 0..1000 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let port = listener.local_addr()?.port();
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return Ok(port);
        }
    }
    bail!("no free port")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_kept_over_restarts_and_a_busy_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let first = Ports::open(folder.path(), BTreeMap::new()).unwrap().take("slack").unwrap();

        let mut again = Ports::open(folder.path(), BTreeMap::new()).unwrap();
        assert_eq!(again.take("slack").unwrap(), first);

        let busy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = busy.local_addr().unwrap().port();
        let mut asked = Ports::open(folder.path(), BTreeMap::from([("aws".to_owned(), port)])).unwrap();
        assert!(asked.take("aws").unwrap_err().to_string().contains("in use"));
        assert!(Ports::open(folder.path(), BTreeMap::from([("nothing".to_owned(), 1)])).is_err());
    }
}
