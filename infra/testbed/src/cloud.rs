//! The local cloud and the local Slack, started with the real account's template.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    ports::Ports,
    process::{Process, Program},
    secrets::{Secrets, read_json},
    wait::until,
};

const CLOUD_READY: &str = "cloud.json";
const READY: Duration = Duration::from_secs(30);

/// What the local cloud tells once it is ready.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cloud {
    /// The one endpoint of iot, iotdata, sts and s3.
    pub endpoint: String,
    pub mqtt_host: String,
    pub mqtt_port: u16,
    pub credential_provider: String,
    pub ca_file: PathBuf,
    /// Where faults are asked for.
    pub admin: String,
    pub account_id: String,
    pub region: String,
    /// The template's outputs.
    pub outputs: BTreeMap<String, String>,
}

/// What the local Slack tells once it is ready.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slack {
    pub url: String,
    pub team_id: String,
    pub app_id: String,
    pub channel_id: String,
    pub users: BTreeMap<String, String>,
}

impl Cloud {
    /// `host:port`, as a box signs it.
    pub fn sts_host(&self) -> &str {
        self.endpoint.trim_start_matches("http://")
    }

    pub fn output(&self, name: &str) -> Result<&str> {
        self.outputs
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("the template has no output {name}"))
    }
}

pub fn cloud_program(
    folder: &Path,
    ports: &mut Ports,
    secrets: &Secrets,
    fleet_api: &str,
) -> Result<Program> {
    let template = source("infra/aws/recehub.yaml")?;
    let address = |port: u16| format!("127.0.0.1:{port}");
    Ok(Program::ours("local-cloud", "local-cloud")?
        .flag("--state", folder.join("cloud").display())
        .flag("--template", template.display())
        .flag("--listen", address(ports.take("aws")?))
        .flag("--mqtt-listen", address(ports.take("mqtt")?))
        .flag("--credentials-listen", address(ports.take("credentials")?))
        .flag("--admin-listen", address(ports.take("cloud-admin")?))
        // By the environment: a command line is readable by every user of the machine.
        .env(
            "LOCAL_CLOUD_PARAMETERS",
            format!("FleetApiUrl={fleet_api}\nEventsSecret={}", secrets.events_secret),
        )
        .env("LOCAL_CLOUD_ADMIN_KEYS", secrets.admin_key.as_pair())
        .env(
            "LOCAL_CLOUD_ROLE_KEYS",
            format!("ApiRole={}\nRestoreRole={}", secrets.api_key.as_pair(), secrets.restore_key.as_pair()),
        )
        .arg("--allow-http-destinations")
        .flag("--ready-file", folder.join(CLOUD_READY).display()))
}

pub async fn start_cloud(folder: &Path, program: &Program) -> Result<(Process, Cloud)> {
    let ready = fresh(folder, CLOUD_READY)?;
    let mut process = program.start(&folder.join("log"))?;
    let cloud = wait_ready(&mut process, &ready).await?;
    Ok((process, cloud))
}

pub async fn start_slack(
    folder: &Path,
    ports: &mut Ports,
    secrets: &Secrets,
    fleet_api: &str,
    app_token: Option<&str>,
) -> Result<(Process, Slack)> {
    let ready = fresh(folder, "slack.json")?;
    let manifest = source("slack-app/manifest.yaml")?;
    let mut program = Program::ours("local-slack", "local-slack")?
        .flag("--manifest", manifest.display())
        .flag("--listen", format!("127.0.0.1:{}", ports.take("slack")?))
        .flag("--app-url", fleet_api)
        .env("LOCAL_SLACK_SIGNING_SECRET", &secrets.slack_signing_secret)
        .env("LOCAL_SLACK_BOT_TOKEN", &secrets.slack_bot_token)
        .flag("--ready-file", ready.display());
    if let Some(token) = app_token {
        program = program.env("LOCAL_SLACK_APP_TOKEN", token);
    }
    let mut process = program.start(&folder.join("log"))?;
    let slack = wait_ready(&mut process, &ready).await?;
    Ok((process, slack))
}

/// A file of the source tree that the real account and the real workspace are set up with, too.
fn source(path: &str) -> Result<PathBuf> {
    // `cargo xtask` and cargo's tests work in the source tree; a copied binary still knows where it was built.
    let here = std::env::current_dir()?;
    let built = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found =
        here.ancestors().chain(built.ancestors()).map(|folder| folder.join(path)).find(|file| file.is_file());
    found.with_context(|| format!("{path} is missing: run this from the source tree"))
}

/// The ready file's path, with what an earlier run wrote there gone.
fn fresh(folder: &Path, name: &str) -> Result<PathBuf> {
    let file = folder.join(name);
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(file),
    }
}

async fn wait_ready<T: DeserializeOwned>(process: &mut Process, ready: &Path) -> Result<T> {
    let what = format!("{} is ready", process.name());
    until(&what, READY, || {
        let alive = process.ensure_alive();
        let answer = read_json(ready);
        async move {
            alive?;
            answer
        }
    })
    .await
}
