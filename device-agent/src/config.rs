//! What the box is told by its environment: read once, every fault named at once.

pub mod hosting;
pub mod lan;
pub mod share;

use std::{fmt, num::NonZeroU64, path::PathBuf, str::FromStr};

use device_model::{lan::ReservedRanges, thing_name::ThingName};
use url::Url;

use crate::{
    capture::spool::keys::KeyFile,
    config::{lan::LanBackend, share::Share},
    lan::pause::Pauses,
    space,
};

/// As the kernel has it.
const MAX_INTERFACE_NAME: usize = 15;

/// Where the box keeps itself; enough for `status`.
#[derive(Debug, Clone)]
pub struct Home {
    pub thing: ThingName,
    pub state_dir: PathBuf,
}

/// What `enroll` needs.
#[derive(Debug, Clone)]
pub struct Enrolment {
    pub home: Home,
    pub fleet_api: Url,
    /// Trusted beside nothing else; without it only a plain-http API can be spoken to.
    pub ca_file: Option<PathBuf>,
}

/// What `run` needs.
#[derive(Debug, Clone)]
pub struct Config {
    pub home: Home,
    pub share: Share,
    pub fleet_api: Url,
    pub server_id: String,
    /// The authority that login signatures name, with its port unless it is the usual one.
    pub sts_host: String,
    pub sts_region: String,
    pub mqtt_host: String,
    pub mqtt_port: u16,
    pub credentials_url: Url,
    pub role_alias: String,
    pub ca_file: PathBuf,
    pub lan: LanBackend,
    /// What a LAN change waits after it came to nothing.
    pub lan_pauses: Pauses,
    /// Networks of the box's own line, which the pharmacy's side may not use.
    pub reserved: ReservedRanges,
    /// With less free space than this nothing new is taken from the share.
    pub free_floor_bytes: u64,
    /// More bytes than this do not wait in the spool; not set, the free space alone is the bound.
    pub spool_quota_bytes: u64,
    pub spool_key: KeyFile,
    /// The line of the box's own: nothing of ours leaves by another interface. Names are looked up by
    /// the system's resolver, which has to be kept to that line by the system.
    pub wan_interface: Option<String>,
    /// What all uploads together may send in a second.
    pub upload_bytes_per_second: Option<NonZeroU64>,
}

/// Everything that is wrong with the environment.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigFaults(pub Vec<String>);

impl Home {
    pub fn read(var: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigFaults> {
        let mut reader = Reader::new(&var);
        let home = reader.home();
        reader.finish(home)
    }
}

impl Enrolment {
    pub fn read(var: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigFaults> {
        let mut reader = Reader::new(&var);
        let home = reader.home();
        let fleet_api = reader.url("RECEHUB_FLEET_API");
        let ca_file = reader.may("RECEHUB_CA_FILE").map(PathBuf::from);
        reader.finish(home.zip(fleet_api).map(|(home, fleet_api)| Self { home, fleet_api, ca_file }))
    }
}

impl Config {
    pub fn read(var: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigFaults> {
        let mut reader = Reader::new(&var);
        let config = reader.config();
        reader.finish(config)
    }
}

struct Reader<'a> {
    var: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(var: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { var, faults: Vec::new() }
    }

    fn config(&mut self) -> Option<Config> {
        // Each is asked for before any is missed, so that all faults are found.
        let home = self.home();
        let share = self.share();
        let fleet_api = self.url("RECEHUB_FLEET_API");
        let server_id = self.want("RECEHUB_SERVER_ID");
        let sts_host = self.want("RECEHUB_STS_HOST");
        let sts_region = self.want("RECEHUB_STS_REGION");
        let mqtt_host = self.want("RECEHUB_MQTT_HOST");
        let mqtt_port = self.want("RECEHUB_MQTT_PORT");
        let credentials_url = self.url("RECEHUB_CREDENTIALS_URL");
        let role_alias = self.want("RECEHUB_ROLE_ALIAS");
        let ca_file = self.want("RECEHUB_CA_FILE");
        let lan_pauses = self.or_default("RECEHUB_LAN_RETRY_SECONDS", Pauses::default());
        let reserved = self.or_default("RECEHUB_RESERVED_RANGES", ReservedRanges::default());
        let free_floor_bytes = self.or_default("RECEHUB_FREE_FLOOR_BYTES", space::DEFAULT_FLOOR);
        let spool_quota_bytes = self.or_default("RECEHUB_SPOOL_QUOTA_BYTES", u64::MAX);
        let wan_interface = self.interface("RECEHUB_WAN_INTERFACE");
        let lan = self.lan(home.as_ref(), wan_interface.as_ref().and_then(Option::as_deref));
        let upload_bytes_per_second = match self.may("RECEHUB_UPLOAD_BYTES_PER_SECOND") {
            Some(_) => self.want("RECEHUB_UPLOAD_BYTES_PER_SECOND").map(Some),
            None => Some(None),
        };
        let home = home?;
        Some(Config {
            spool_key: spool_key(self.var, &home),
            home,
            share: share?,
            fleet_api: fleet_api?,
            server_id: server_id?,
            sts_host: sts_host?,
            sts_region: sts_region?,
            mqtt_host: mqtt_host?,
            mqtt_port: mqtt_port?,
            credentials_url: credentials_url?,
            role_alias: role_alias?,
            ca_file: ca_file?,
            lan: lan?,
            lan_pauses: lan_pauses?,
            reserved: reserved?,
            free_floor_bytes: free_floor_bytes?,
            spool_quota_bytes: spool_quota_bytes?,
            wan_interface: wan_interface?,
            upload_bytes_per_second: upload_bytes_per_second?,
        })
    }

    fn home(&mut self) -> Option<Home> {
        let thing = self.want("RECEHUB_THING");
        let state_dir = self.want("RECEHUB_STATE_DIR");
        Some(Home { thing: thing?, state_dir: state_dir? })
    }

    /// `Some(None)`: none is asked for.
    #[expect(clippy::option_option, reason = "a fault and nothing said are two things")]
    fn interface(&mut self, name: &str) -> Option<Option<String>> {
        let interface = self.may(name);
        let fits = |text: &String| text.len() <= MAX_INTERFACE_NAME && !text.contains(['/', ' ']);
        if interface.as_ref().is_none_or(fits) {
            Some(interface)
        } else {
            self.faults.push(format!("{name} must be the name of a network interface"));
            None
        }
    }

    fn url(&mut self, name: &str) -> Option<Url> {
        let url: Url = self.want(name)?;
        if matches!(url.scheme(), "http" | "https") && url.has_host() {
            Some(url)
        } else {
            self.faults.push(format!("{name} must be an http or https URL"));
            None
        }
    }

    fn want<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Option<T> {
        let Some(text) = self.may(name) else {
            self.faults.push(format!("{name} is not set"));
            return None;
        };
        text.parse().map_err(|error| self.faults.push(format!("{name}: {error}"))).ok()
    }

    fn or_default<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, default: T) -> Option<T> {
        if self.may(name).is_some() { self.want(name) } else { Some(default) }
    }

    fn may(&self, name: &str) -> Option<String> {
        (self.var)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn finish<T>(self, config: Option<T>) -> Result<T, ConfigFaults> {
        match config {
            Some(config) if self.faults.is_empty() => Ok(config),
            _ => Err(ConfigFaults(self.faults)),
        }
    }
}

/// `$CREDENTIALS_DIRECTORY` is systemd's.
pub fn spool_key(var: impl Fn(&str) -> Option<String>, home: &Home) -> KeyFile {
    let credentials = var("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    KeyFile::find(&home.state_dir, credentials.as_deref())
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_told_at_once() {
        let var = |name: &str| match name {
            "RECEHUB_THING" => Some("a/b".to_owned()),
            "RECEHUB_MQTT_PORT" => Some("many".to_owned()),
            "RECEHUB_FLEET_API" => Some("ftp://fleet".to_owned()),
            "RECEHUB_LAN_BACKEND" => Some("fake".to_owned()),
            _ => None,
        };

        let faults = Config::read(var).unwrap_err();

        for name in ["THING", "STATE_DIR", "SHARE_DIR", "FLEET_API", "MQTT_PORT", "CA_FILE"] {
            let name = format!("RECEHUB_{name}");
            assert_eq!(faults.0.iter().filter(|fault| fault.starts_with(&name)).count(), 1, "{name}");
        }
    }

    #[test]
    fn what_need_not_be_set_has_a_default() {
        let complete = |name: &str| match name {
            "RECEHUB_THING" => Some("tenpo-0001".to_owned()),
            "RECEHUB_MQTT_PORT" => Some("8883".to_owned()),
            "RECEHUB_LAN_BACKEND" => Some("fake".to_owned()),
            "RECEHUB_FLEET_API" | "RECEHUB_CREDENTIALS_URL" => Some("https://localhost".to_owned()),
            "RECEHUB_STATE_DIR" | "RECEHUB_SHARE_DIR" | "RECEHUB_SERVER_ID" | "RECEHUB_STS_HOST"
            | "RECEHUB_STS_REGION" | "RECEHUB_MQTT_HOST" | "RECEHUB_ROLE_ALIAS" | "RECEHUB_CA_FILE" => {
                Some("x".to_owned())
            }
            _ => None,
        };
        let with = |name: &'static str, value: &'static str| {
            Config::read(move |asked| if asked == name { Some(value.to_owned()) } else { complete(asked) })
        };

        let default = Config::read(complete).unwrap();
        let wan = with("RECEHUB_RESERVED_RANGES", "192.168.0.0/17").unwrap();

        assert_eq!(default.free_floor_bytes, 64 * 1024 * 1024);
        assert_eq!(default.reserved, ReservedRanges::default());
        assert_eq!(wan.reserved, "192.168.0.0/17".parse().unwrap());
        assert_eq!(default.spool_quota_bytes, u64::MAX);
        assert_eq!((default.wan_interface, default.upload_bytes_per_second), (None, None));
        assert_eq!(with("RECEHUB_WAN_INTERFACE", "wwan0").unwrap().wan_interface.as_deref(), Some("wwan0"));
        for name in [
            "RECEHUB_RESERVED_RANGES",
            "RECEHUB_LAN_RETRY_SECONDS",
            "RECEHUB_FREE_FLOOR_BYTES",
            "RECEHUB_SPOOL_QUOTA_BYTES",
            "RECEHUB_WAN_INTERFACE",
            "RECEHUB_UPLOAD_BYTES_PER_SECOND",
        ] {
            assert!(with(name, "lots of things and more").unwrap_err().to_string().starts_with(name));
        }
    }

    #[test]
    fn enrolment_asks_for_no_more_than_it_needs() {
        let var = |name: &str| match name {
            "RECEHUB_THING" => Some("tenpo-0001".to_owned()),
            "RECEHUB_STATE_DIR" => Some("/var/lib/recehub".to_owned()),
            "RECEHUB_FLEET_API" => Some("http://127.0.0.1:8080".to_owned()),
            _ => None,
        };

        assert!(Enrolment::read(var).is_ok());
    }
}
