//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// AWS on a laptop: IoT Core, STS and S3, booted from a CloudFormation template.
#[derive(Debug, Clone, Parser)]
#[command(name = "local-cloud", version)]
pub struct Config {
    /// Where the certificate authority, the registry, shadows and objects are kept.
    #[arg(long)]
    pub state: PathBuf,
    /// The CloudFormation template that policies, roles, aliases, rules and buckets come from.
    #[arg(long)]
    pub template: PathBuf,
    /// A parameter of the template, as KEY=VALUE.
    #[arg(long = "parameter", value_parser = pair, env = "LOCAL_CLOUD_PARAMETERS", hide_env_values = true, value_delimiter = '\n')]
    pub parameters: Vec<(String, String)>,
    /// iot, iotdata, sts and s3 over plain HTTP.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// MQTT over TLS with client certificates.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub mqtt_listen: SocketAddr,
    /// The credentials provider over TLS with client certificates.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub credentials_listen: SocketAddr,
    /// Faults on request, on the loopback interface.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub admin_listen: SocketAddr,
    /// Long-lived keys that may do everything, as ID:SECRET.
    #[arg(long = "admin-key", value_parser = key, env = "LOCAL_CLOUD_ADMIN_KEYS", hide_env_values = true, value_delimiter = '\n')]
    pub admin_keys: Vec<AccessKey>,
    /// Long-lived keys with the permissions of a role of the template, as LOGICALID=ID:SECRET.
    #[arg(long = "role-key", value_parser = role_key, env = "LOCAL_CLOUD_ROLE_KEYS", hide_env_values = true, value_delimiter = '\n')]
    pub role_keys: Vec<(String, AccessKey)>,
    /// Let rules post to http:// URLs, which AWS does not.
    #[arg(long)]
    pub allow_http_destinations: bool,
    /// Enforce AWS's documented rate limits.
    #[arg(long)]
    pub rate_limits: bool,
    #[arg(long, default_value = "123456789012")]
    pub account: String,
    #[arg(long, default_value = "ap-northeast-1")]
    pub region: String,
    /// Written when everything listens.
    #[arg(long)]
    pub ready_file: Option<PathBuf>,
}

#[derive(Clone)]
pub struct AccessKey {
    pub id: String,
    pub secret: String,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is wanted")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn key(text: &str) -> Result<AccessKey, String> {
    let (id, secret) = text.split_once(':').ok_or("ID:SECRET is wanted")?;
    Ok(AccessKey { id: id.to_owned(), secret: secret.to_owned() })
}

fn role_key(text: &str) -> Result<(String, AccessKey), String> {
    let (role, rest) = text.split_once('=').ok_or("LOGICALID=ID:SECRET is wanted")?;
    Ok((role.to_owned(), key(rest)?))
}
