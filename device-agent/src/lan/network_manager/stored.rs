//! Settings as a profile of NetworkManager has them, whether they come over the bus or out of its file,
//! and what they mean to us.

use std::net::Ipv4Addr;

use device_model::{
    lan::{LanDraft, LanSettings, Route, RouteDraft},
    outcome::code,
    shadow::ProbePolicy,
};
use ipnet::Ipv4Net;

use crate::lan::{Fault, state::Profile};

/// Of ours, on every box, so that it is found again whatever it is called.
pub const UUID: &str = "2f6b8f0e-6c43-4d7b-9a51-6f0c2f3c7a10";
pub const ID: &str = "recehub-lan0";
/// Ours goes before whatever else may be kept for the interface.
pub const PRIORITY: i32 = 999;
/// What operators asked for, whole, beside what NetworkManager makes of it: it keeps no gateway for an
/// interface that is never the default way, and knows of no share.
pub const ASKED: &str = "recehub.profile";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    pub uuid: String,
    pub interface: Option<String>,
    pub is_ethernet: bool,
    pub priority: i32,
    /// `auto` is DHCP, `manual` is static.
    pub method: String,
    pub addresses: Vec<Ipv4Net>,
    pub gateway: Option<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
    pub mtu: Option<i64>,
    pub routes: Vec<Route>,
    pub asked: Option<String>,
}

impl Stored {
    /// What was asked for, as long as the addresses beside it still are those; what somebody on site put
    /// there counts more.
    pub fn profile(&self) -> Result<Profile, Fault> {
        let asked: Option<Profile> = self.asked.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let lan = LanSettings::try_from(self.draft(asked.as_ref())).map_err(|faults| {
            let detail = format!("the profile {} of the interface is of no use: {faults}", self.uuid);
            Fault::new(code::BAD_SETTINGS, &detail)
        })?;
        Ok(match asked {
            Some(asked) => Profile { lan, ..asked },
            None => Profile { lan, share: None, probe: ProbePolicy::default() },
        })
    }

    fn draft(&self, asked: Option<&Profile>) -> LanDraft {
        let address = self.addresses.first();
        let known = asked.and_then(|asked| LanDraft::from(asked.lan.clone()).gateway?.parse().ok());
        let gateway =
            self.gateway.or(known).filter(|gateway| address.is_some_and(|own| own.contains(gateway)));
        let is_static = self.method == "manual";
        let some = |texts: Vec<String>| (!texts.is_empty()).then_some(texts);
        let route = |route: &Route| RouteDraft { to: route.to.to_string(), via: route.via.to_string() };
        LanDraft {
            mode: match self.method.as_str() {
                "auto" => Some("dhcp".to_owned()),
                "manual" => Some("static".to_owned()),
                other => Some(other.to_owned()),
            },
            address: address.filter(|_| is_static).map(ToString::to_string),
            gateway: gateway.filter(|_| is_static).map(|gateway| gateway.to_string()),
            dns: some(self.dns.iter().map(ToString::to_string).collect()),
            mtu: self.mtu.filter(|mtu| *mtu > 0),
            routes: Some(self.routes.iter().map(route).collect::<Vec<_>>())
                .filter(|routes| !routes.is_empty()),
            ..LanDraft::default()
        }
    }
}
