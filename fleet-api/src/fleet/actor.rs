//! Who asks: what the audit log says of every act.

use std::net::IpAddr;

/// Someone or something that acts, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `token:NAME`, `oidc:SUBJECT`, `slack:U…`, `thing:NAME`, `system`.
    pub name: String,
    pub proof: Proof,
    pub origin: Origin,
    pub ip: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    ApiToken,
    /// A token of the identity provider.
    Oidc,
    /// A request signed by Slack.
    SlackUser,
    DeviceCertificate,
    EnrolmentCode,
    System,
    /// Whoever can run the program beside its database.
    Cli,
}

/// Through which door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Api,
    Slack,
    Device,
    System,
    Cli,
}

impl Actor {
    pub fn system() -> Self {
        Self::new("system", Proof::System, Origin::System)
    }

    pub fn cli() -> Self {
        Self::new("cli", Proof::Cli, Origin::Cli)
    }

    pub fn slack(user_id: &str) -> Self {
        Self::new(format!("slack:{user_id}"), Proof::SlackUser, Origin::Slack)
    }

    pub fn thing(name: &str, ip: Option<IpAddr>) -> Self {
        Self { ip, ..Self::new(format!("thing:{name}"), Proof::DeviceCertificate, Origin::Device) }
    }

    pub fn new(name: impl Into<String>, proof: Proof, origin: Origin) -> Self {
        Self { name: name.into(), proof, origin, ip: None }
    }
}

impl Proof {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiToken => "api_token",
            Self::Oidc => "oidc",
            Self::SlackUser => "slack_user",
            Self::DeviceCertificate => "device_certificate",
            Self::EnrolmentCode => "enrolment_code",
            Self::System => "system",
            Self::Cli => "cli",
        }
    }
}

impl Origin {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Slack => "slack",
            Self::Device => "device",
            Self::System => "system",
            Self::Cli => "cli",
        }
    }
}
