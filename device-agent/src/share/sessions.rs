//! Who is connected to the share, as smbd itself says.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    net::{IpAddr, UdpSocket},
    path::PathBuf,
};

use serde_json::Value;

use crate::share::samba::run;

pub trait Sessions: Send + Sync + 'static {
    /// The sessions of other hosts; none: that cannot be told now.
    fn others(&self) -> impl Future<Output = Option<BTreeSet<String>>> + Send;
}

/// Asks `smbstatus`.
pub struct SmbStatus {
    pub conf: PathBuf,
    pub is_ours: fn(IpAddr) -> bool,
}

impl Sessions for SmbStatus {
    async fn others(&self) -> Option<BTreeSet<String>> {
        let arguments = ["--json", "--shares", "-s"].map(OsString::from);
        let said = run("smbstatus", arguments.into_iter().chain([self.conf.clone().into()]), None).await;
        let said = said.map_err(|error| tracing::debug!(%error, "smbd's sessions cannot be told")).ok()?;
        let status: Value = serde_json::from_str(&said.output).ok()?;
        Some(elsewhere(&status, self.is_ours))
    }
}

/// Connections to a share that come from another machine, by their numbers.
fn elsewhere(status: &Value, is_ours: impl Fn(IpAddr) -> bool) -> BTreeSet<String> {
    let connections = status["tcons"].as_object().into_iter().flatten();
    let from_elsewhere = connections.filter(|(_, connection)| {
        let machine = connection["machine"].as_str().and_then(|text| text.parse().ok());
        // `IPC$` is only asked what shares there are.
        connection["service"] != "IPC$" && machine.is_some_and(|machine| !is_ours(machine))
    });
    let id = |(number, connection): (&String, &Value)| {
        format!("{}-{number}", connection["session_id"].as_str().unwrap_or_default())
    };
    from_elsewhere.map(id).collect()
}

/// Only what is an address of this machine can be bound to.
pub fn is_ours(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_another_hosts_connections_to_the_share_count() {
        let connection = |service: &str, machine: &str| json!({"service": service, "machine": machine, "session_id": "7", "tcon_id": "1"});
        let status = json!({"tcons": {"1": connection("rx", "127.0.0.1"), "2": connection("rx", "192.168.10.9"),
            "3": connection("rx", "192.168.10.20"), "4": connection("IPC$", "192.168.10.20"),
            "5": connection("rx", "nowhere")}});
        let own: IpAddr = "192.168.10.9".parse().unwrap();

        let found = elsewhere(&status, |address| address.is_loopback() || address == own);

        assert_eq!(found, BTreeSet::from(["7-3".to_owned()]));
        assert_eq!(elsewhere(&json!({"version": "4.17"}), |_| false), BTreeSet::new());
    }

    #[test]
    fn an_address_of_this_machine_is_ours() {
        assert!(is_ours("127.0.0.1".parse().unwrap()));
        assert!(!is_ours("192.0.2.1".parse().unwrap()));
    }
}
