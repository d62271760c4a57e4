//! What the box is told of the interface on the pharmacy's side.

use std::path::PathBuf;

use crate::config::{ConfigFaults, Home, Reader};

const DEFAULT_INTERFACE: &str = "lan0";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LanBackend {
    /// Keeps its state in a folder and touches no network.
    Fake { folder: PathBuf },
    /// The real interface.
    NetworkManager(RealLan),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealLan {
    pub interface: String,
    /// The box's own line, which the pharmacy's side is kept off.
    pub wan: String,
    pub smbclient: PathBuf,
    /// User and password of the box's share, as smbclient reads them; not there without such a share.
    pub credentials: PathBuf,
}

impl LanBackend {
    /// What is said of the interface, whatever is wrong with the rest.
    pub fn read(var: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigFaults> {
        let mut reader = Reader::new(&var);
        let home = reader.home();
        let wan = reader.interface("RECEHUB_WAN_INTERFACE").flatten();
        let lan = reader.lan(home.as_ref(), wan.as_deref());
        reader.finish(lan)
    }
}

impl Reader<'_> {
    pub(super) fn lan(&mut self, home: Option<&Home>, wan: Option<&str>) -> Option<LanBackend> {
        match self.may("RECEHUB_LAN_BACKEND").as_deref() {
            Some("fake") => {
                let folder = self.may("RECEHUB_LAN_FAKE_DIR").map(PathBuf::from);
                let folder = folder.or_else(|| home.map(|home| home.state_dir.join("lan-fake")));
                folder.map(|folder| LanBackend::Fake { folder })
            }
            Some("network-manager") => self.real_lan(home, wan).map(LanBackend::NetworkManager),
            Some(_) => {
                self.faults.push("RECEHUB_LAN_BACKEND must be `network-manager` or `fake`".to_owned());
                None
            }
            None => {
                self.faults.push("RECEHUB_LAN_BACKEND is not set".to_owned());
                None
            }
        }
    }

    fn real_lan(&mut self, home: Option<&Home>, wan: Option<&str>) -> Option<RealLan> {
        let interface = self.interface("RECEHUB_LAN_INTERFACE");
        let interface = interface.map(|name| name.unwrap_or_else(|| DEFAULT_INTERFACE.to_owned()));
        let smbclient = self.may("RECEHUB_SMBCLIENT").map_or_else(|| "smbclient".into(), PathBuf::from);
        if self.may("RECEHUB_WAN_INTERFACE").is_none() {
            self.faults.push("RECEHUB_WAN_INTERFACE is not set: the LAN could not be kept off it".to_owned());
        } else if wan.is_some() && interface.as_deref() == wan {
            self.faults.push("RECEHUB_LAN_INTERFACE must not be RECEHUB_WAN_INTERFACE".to_owned());
        }
        let credentials = home?.state_dir.join("share/credentials");
        Some(RealLan { interface: interface?, wan: wan?.to_owned(), smbclient, credentials })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<LanBackend, Vec<String>> {
        let var = |asked: &str| {
            let all = [
                ("RECEHUB_THING", "tenpo-0001"),
                ("RECEHUB_STATE_DIR", "/var/lib/recehub"),
                ("RECEHUB_LAN_BACKEND", "network-manager"),
            ];
            set.iter().chain(&all).find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
        };
        LanBackend::read(var).map_err(|ConfigFaults(faults)| faults)
    }

    #[test]
    fn the_real_interface_is_lan0_beside_a_line_of_the_boxs_own() {
        let real = |interface: &str, smbclient: &str| {
            LanBackend::NetworkManager(RealLan {
                interface: interface.to_owned(),
                wan: "wan0".to_owned(),
                smbclient: smbclient.into(),
                credentials: "/var/lib/recehub/share/credentials".into(),
            })
        };
        let wan = ("RECEHUB_WAN_INTERFACE", "wan0");

        assert_eq!(read(&[wan]).unwrap(), real("lan0", "smbclient"));
        let other = [wan, ("RECEHUB_LAN_INTERFACE", "eth1"), ("RECEHUB_SMBCLIENT", "/opt/smbclient")];
        assert_eq!(read(&other).unwrap(), real("eth1", "/opt/smbclient"));
        let fake = [("RECEHUB_LAN_BACKEND", "fake"), ("RECEHUB_LAN_FAKE_DIR", "/tmp/lan")];
        assert_eq!(read(&fake).unwrap(), LanBackend::Fake { folder: "/tmp/lan".into() });
    }

    #[test]
    fn an_interface_that_cannot_be_the_pharmacys_is_named() {
        let wrong: [(&[(&str, &str)], &str); 4] = [
            (&[], "RECEHUB_WAN_INTERFACE"),
            (&[("RECEHUB_WAN_INTERFACE", "lan0")], "RECEHUB_LAN_INTERFACE"),
            (&[("RECEHUB_WAN_INTERFACE", "wan0"), ("RECEHUB_LAN_INTERFACE", "a/b")], "RECEHUB_LAN_INTERFACE"),
            (&[("RECEHUB_LAN_BACKEND", "ifupdown")], "RECEHUB_LAN_BACKEND"),
        ];
        for (set, name) in wrong {
            let faults = read(set).unwrap_err();
            assert!(matches!(faults.as_slice(), [fault] if fault.starts_with(name)), "{name}: {faults:?}");
        }
    }
}
