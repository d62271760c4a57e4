//! The pharmacy's side of a box as it really is: what the kernel has on lan0, and what a power cut would
//! leave.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::lab::hub::Hub;

/// Ours by which its own profiles stand in NetworkManager, in memory too.
const LOOPBACK: &str = "lo.nmconnection";
/// Somewhere behind the box's own line.
const BEYOND: &str = "203.0.113.10";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// With the length of the prefix.
    pub addresses: BTreeSet<String>,
    pub routes: BTreeSet<String>,
    pub mtu: u64,
    /// The profiles on disk, by their file names.
    pub saved: BTreeMap<String, String>,
}

impl Settings {
    pub async fn of(hub: &Hub) -> Result<Self> {
        let addresses = json(hub, "ip -json addr show dev lan0").await?;
        let interface = addresses.get(0).context("there is no lan0")?;
        let of_interface = interface["addr_info"].as_array().into_iter().flatten();
        let routes = json(hub, "ip -json -4 route show dev lan0").await?;
        Ok(Self {
            addresses: of_interface
                .filter(|one| one["family"] == "inet")
                .map(|one| format!("{}/{}", text(&one["local"]), one["prefixlen"]))
                .collect(),
            routes: routes
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| format!("{} via {}", text(&one["dst"]), text(&one["gateway"])))
                .collect(),
            mtu: interface["mtu"].as_u64().unwrap_or_default(),
            saved: saved(hub).await?,
        })
    }

    /// The box's one address in the pharmacy.
    pub fn address(&self) -> Option<&str> {
        self.addresses.first().and_then(|address| address.split('/').next())
    }
}

/// The interface by which the box reaches the world; that of its own line, whatever happens.
pub async fn way_out(hub: &Hub) -> Result<String> {
    let route = json(hub, &format!("ip -json route get {BEYOND} || echo '[]'")).await?;
    Ok(text(&route[0]["dev"]))
}

/// Profiles that a power cut would take away, by their file names.
pub async fn unsaved(hub: &Hub) -> Result<Vec<String>> {
    let script = "ls /run/NetworkManager/system-connections 2>/dev/null || true";
    let names = hub.space()?.run(script).await?;
    Ok(names.lines().filter(|name| *name != LOOPBACK).map(str::to_owned).collect())
}

async fn saved(hub: &Hub) -> Result<BTreeMap<String, String>> {
    let script = "cd /etc/NetworkManager/system-connections\n\
        for file in *; do [ -e \"$file\" ] || continue; echo \"== $file\"; grep -v ^timestamp= \"$file\"; done";
    let text = hub.space()?.run(script).await?;
    let files = text.split("== ").filter_map(|file| file.split_once('\n'));
    Ok(files.map(|(name, content)| (name.to_owned(), content.trim().to_owned())).collect())
}

async fn json(hub: &Hub, script: &str) -> Result<Value> {
    let answer = hub.space()?.run(script).await?;
    serde_json::from_str(&answer).with_context(|| format!("{script} answered {answer}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
