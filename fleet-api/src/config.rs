//! All configuration, read from environment and file in one go; every fault is told at once.

pub mod audit;
mod slack;
pub mod traces;

use std::{fmt, net::SocketAddr, num::NonZeroU32};

use base64::{Engine, engine::general_purpose::STANDARD};
use device_model::lan::ReservedRanges;

pub use self::slack::SlackConfig;
use crate::settings::Settings;

/// What `serve` needs.
#[derive(Clone)]
pub struct Config {
    pub listen: SocketAddr,
    pub database_url: String,
    pub login: LoginConfig,
    /// The IoT policy that a box's certificate gets.
    pub box_policy: String,
    pub bucket: String,
    /// Seals paths and keys their hash.
    pub path_key: [u8; 32],
    pub events: EventsConfig,
    pub audit: audit::AuditConfig,
    pub reserved: ReservedRanges,
    /// How long a change waits for its box before it is taken back.
    pub change_lifetime: std::time::Duration,
    pub reconcile: std::time::Duration,
    /// Within this every box's shadow is read, whether or not anything hints at it.
    pub reconcile_all: std::time::Duration,
    pub pace: PaceConfig,
    /// None: no identity provider is connected.
    pub oidc: Option<OidcConfig>,
    /// Where `/metrics` is served, and nothing else; None: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// None: no collector takes traces.
    pub traces: Option<traces::TracesConfig>,
    /// None: no Slack workspace is connected.
    pub slack: Option<SlackConfig>,
}

/// Against what a box's login is checked.
#[derive(Debug, Clone)]
pub struct LoginConfig {
    pub server_id: String,
    /// e.g. `https://sts.ap-northeast-1.amazonaws.com`; its authority is the signed host.
    pub sts_url: url::Url,
    pub region: String,
    pub account: String,
    pub role: String,
}

/// The company's identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    pub issuer: url::Url,
    pub audience: String,
    /// The claim that names roles; dots lead into objects.
    pub role_claim: String,
    /// Role and scope, as in `sre=admin`; a role may be named after its scope.
    pub roles: Vec<(String, String)>,
}

/// Requests a second that may come in the long run; twice as many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceConfig {
    pub per_token: NonZeroU32,
    pub per_box: NonZeroU32,
}

impl Default for PaceConfig {
    fn default() -> Self {
        let many = |many| NonZeroU32::new(many).unwrap_or(NonZeroU32::MIN);
        Self { per_token: many(100), per_box: many(200) }
    }
}

#[derive(Clone)]
pub struct EventsConfig {
    pub secret: String,
    pub destination_arn: String,
}

/// 32 bytes in base64, as keys are given here.
pub fn key(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// Everything that is wrong with the configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigFaults(pub Vec<String>);

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used: {}", self.0.join("; "))
    }
}

impl Config {
    /// From the environment and the file; a name in the file that means nothing here is a fault too.
    pub fn load(settings: &Settings) -> Result<Self, ConfigFaults> {
        let read = Self::read(|name| settings.get(name));
        let unasked = settings.unasked();
        if unasked.is_empty() {
            return read;
        }
        let mut faults = read.err().map(|faults| faults.0).unwrap_or_default();
        faults.extend(unasked.iter().map(|name| format!("{name} in the file means nothing here")));
        Err(ConfigFaults(faults))
    }

    pub fn read(var: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigFaults> {
        let mut env = Reader { var: &var, faults: Vec::new() };
        let listen = env.parsed("FLEET_API_LISTEN", "an address such as 127.0.0.1:8080");
        let database_url = env.want("DATABASE_URL");
        let login = (
            env.want("RECEHUB_SERVER_ID"),
            env.parsed::<url::Url>("RECEHUB_STS_URL", "a URL"),
            env.want("RECEHUB_STS_REGION"),
            env.want("RECEHUB_AWS_ACCOUNT"),
            env.want("RECEHUB_BOX_ROLE"),
        );
        let box_policy = env.want("RECEHUB_BOX_POLICY");
        let bucket = env.want("PRESCRIPTION_BUCKET");
        let path_key = env.key("RECEHUB_PATH_KEY");
        let events = (env.want("RECEHUB_EVENTS_SECRET"), env.want("RECEHUB_EVENTS_DESTINATION_ARN"));
        let audit = env.audit();
        let reserved = env.optional("RECEHUB_RESERVED_RANGES", "networks such as 100.64.0.0/10");
        let lifetime = env.optional("RECEHUB_CHANGE_LIFETIME_HOURS", "a number of hours");
        let reconcile = env.optional("RECEHUB_RECONCILE_SECONDS", "a number of seconds");
        let reconcile_all = env.optional("RECEHUB_RECONCILE_ALL_SECONDS", "a number of seconds");
        let mut pace = PaceConfig::default();
        let above_zero = "a number of requests a second, above 0";
        pace.per_token = env.optional("RECEHUB_RATE_PER_TOKEN", above_zero).unwrap_or(pace.per_token);
        pace.per_box = env.optional("RECEHUB_RATE_PER_BOX", above_zero).unwrap_or(pace.per_box);
        let metrics_listen = env.optional("FLEET_API_METRICS_LISTEN", "an address such as 127.0.0.1:9100");
        let traces = env.traces();
        let oidc = env.oidc();
        let slack = env.slack();
        let faults = env.faults;
        if !faults.is_empty() {
            return Err(ConfigFaults(faults));
        }
        let config = || {
            let (server_id, sts_url, region, account, role) = login;
            Some(Self {
                listen: listen?,
                database_url: database_url?,
                login: LoginConfig {
                    server_id: server_id?,
                    sts_url: sts_url?,
                    region: region?,
                    account: account?,
                    role: role?,
                },
                box_policy: box_policy?,
                bucket: bucket?,
                path_key: path_key?,
                events: EventsConfig { secret: events.0?, destination_arn: events.1? },
                audit: audit?,
                reserved: reserved.unwrap_or_default(),
                change_lifetime: std::time::Duration::from_hours(lifetime.unwrap_or(14 * 24).max(1)),
                reconcile: std::time::Duration::from_secs(reconcile.unwrap_or(60).max(1)),
                reconcile_all: std::time::Duration::from_secs(reconcile_all.unwrap_or(86_400).max(1)),
                pace,
                oidc,
                metrics_listen,
                traces,
                slack,
            })
        };
        config().ok_or_else(|| ConfigFaults(vec!["something is missing".to_owned()]))
    }
}

struct Reader<'a, F> {
    var: &'a F,
    faults: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<'_, F> {
    fn given(&self, name: &str) -> Option<String> {
        (self.var)(name).filter(|text| !text.is_empty())
    }

    fn want(&mut self, name: &str) -> Option<String> {
        let text = self.given(name);
        if text.is_none() {
            self.faults.push(format!("{name} is not set"));
        }
        text
    }

    fn parsed<T: std::str::FromStr>(&mut self, name: &str, what: &str) -> Option<T> {
        let text = self.want(name)?;
        self.parse(name, &text, what)
    }

    fn optional<T: std::str::FromStr>(&mut self, name: &str, what: &str) -> Option<T> {
        let text = self.given(name)?;
        self.parse(name, &text, what)
    }

    fn parse<T: std::str::FromStr>(&mut self, name: &str, text: &str, what: &str) -> Option<T> {
        let value = text.parse().ok();
        if value.is_none() {
            self.faults.push(format!("{name} is not {what}"));
        }
        value
    }

    fn key(&mut self, name: &str) -> Option<[u8; 32]> {
        let key = key(&self.want(name)?);
        if key.is_none() {
            self.faults.push(format!("{name} is not 32 bytes in base64"));
        }
        key
    }

    /// All of the identity provider's settings or none of them.
    fn oidc(&mut self) -> Option<OidcConfig> {
        self.given("RECEHUB_OIDC_ISSUER")?;
        let issuer = self.parsed::<url::Url>("RECEHUB_OIDC_ISSUER", "a URL");
        let audience = self.want("RECEHUB_OIDC_AUDIENCE");
        let role_claim = self.given("RECEHUB_OIDC_ROLE_CLAIM").unwrap_or_else(|| "roles".to_owned());
        let roles = self.pairs("RECEHUB_OIDC_ROLES", "sre=admin,pharmacists=paths");
        let known = |scope: &str| matches!(scope, "read" | "change" | "admin" | "paths");
        if roles.iter().any(|(_, scope)| !known(scope)) {
            self.faults
                .push("RECEHUB_OIDC_ROLES names a scope that is not read, change, admin or paths".to_owned());
        }
        Some(OidcConfig { issuer: issuer?, audience: audience?, role_claim, roles })
    }

    /// Names and what they stand for.
    fn pairs(&mut self, name: &str, example: &str) -> Vec<(String, String)> {
        let text = self.given(name).unwrap_or_default();
        let mut pairs = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((left, right)) => pairs.push((left.trim().to_owned(), right.trim().to_owned())),
                None => self.faults.push(format!("{name} is not like {example}")),
            }
        }
        pairs
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn environment(name: &str) -> Option<String> {
        let key = STANDARD.encode([7; 32]);
        let text = match name {
            "FLEET_API_LISTEN" => "127.0.0.1:0",
            "RECEHUB_STS_URL" => "http://127.0.0.1:4566",
            "RECEHUB_PATH_KEY" | "RECEHUB_AUDIT_KEY" => &key,
            "RECEHUB_RESERVED_RANGES"
            | "RECEHUB_CHANGE_LIFETIME_HOURS"
            | "RECEHUB_AUDIT_FORMER_KEYS"
            | "RECEHUB_CHECKPOINT_SECONDS"
            | "RECEHUB_RETENTION_DAYS" => return None,
            name if name.starts_with("RECEHUB_RECONCILE") => return None,
            name if name.starts_with("RECEHUB_RATE") || name.starts_with("RECEHUB_OIDC") => return None,
            "FLEET_API_METRICS_LISTEN" => return None,
            name if name.starts_with("OTEL_") => return None,
            name if name.starts_with("SLACK_") => return None,
            _ => "x",
        };
        Some(text.to_owned())
    }

    #[test]
    fn what_is_beside_the_fleet_may_be_left_out() {
        let config = Config::read(environment).unwrap();

        assert!(config.slack.is_none() && config.oidc.is_none());
        assert!(config.metrics_listen.is_none() && config.traces.is_none());
        assert_eq!(config.pace, PaceConfig::default());
        assert_eq!((config.reconcile.as_secs(), config.reconcile_all.as_secs()), (60, 24 * 60 * 60));
    }

    #[test]
    fn the_identity_provider_is_told_whole_or_not_at_all() {
        let given = |name: &str| match name {
            "RECEHUB_OIDC_ISSUER" => Some("https://id.example".to_owned()),
            "RECEHUB_OIDC_AUDIENCE" => Some("recehub".to_owned()),
            "RECEHUB_OIDC_ROLES" => Some("sre=admin, pharmacists=paths".to_owned()),
            name => environment(name),
        };
        let broken = |name: &str| match name {
            "RECEHUB_OIDC_AUDIENCE" => None,
            "RECEHUB_OIDC_ROLES" => Some("sre=root,ops".to_owned()),
            "RECEHUB_RATE_PER_BOX" => Some("0".to_owned()),
            name => given(name),
        };

        let oidc = Config::read(given).unwrap().oidc.unwrap();
        assert_eq!((oidc.role_claim.as_str(), oidc.roles.len()), ("roles", 2));
        assert_eq!(Config::read(broken).err().unwrap().0.len(), 4);
    }

    #[test]
    fn a_name_in_the_file_that_means_nothing_is_told_with_the_other_faults() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"RECEHUB_TYPO=1\n").unwrap();
        let settings = Settings::load(Some(file.path())).unwrap();

        let faults = Config::load(&settings).err().unwrap().0;

        assert!(faults.contains(&"RECEHUB_TYPO in the file means nothing here".to_owned()));
        assert!(faults.contains(&"PRESCRIPTION_BUCKET is not set".to_owned()));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let broken = |name: &str| match name {
            "FLEET_API_LISTEN" => Some("here".to_owned()),
            "RECEHUB_PATH_KEY" => Some("c2hvcnQ=".to_owned()),
            "PRESCRIPTION_BUCKET" => None,
            "SLACK_SIGNING_SECRET" => Some("s".to_owned()),
            "SLACK_APP_TOKEN" => Some("xoxb-1".to_owned()),
            name => environment(name),
        };

        let faults = Config::read(broken).err().unwrap().0;

        assert_eq!(faults.len(), 8, "{faults:?}");
        assert!(faults.contains(&"PRESCRIPTION_BUCKET is not set".to_owned()));
        assert!(faults.contains(&"RECEHUB_PATH_KEY is not 32 bytes in base64".to_owned()));
        assert!(faults.contains(&"SLACK_BOT_TOKEN is not set".to_owned()));
        assert!(faults.iter().any(|fault| fault.starts_with("SLACK_APP_TOKEN is not an app-level token")));
    }
}
