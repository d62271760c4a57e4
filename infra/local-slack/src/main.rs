//! Starts the local Slack, writes the ready file once it listens, ends on SIGTERM or SIGINT.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use local_slack::manifest::Manifest;
use local_slack::state::people::{
    ADMIN, APP_ID, APPROVER, ENGLISH, GUEST, OPERATOR, STRANGER, TEAM_ID, VIEWER,
};
use local_slack::state::rooms::CHANNEL_ID;
use local_slack::{Settings, Workspace};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

/// Slack on a laptop: Web API, signed requests, and a page to work it.
#[derive(Parser)]
struct Flags {
    #[arg(long)]
    listen: SocketAddr,
    /// Where the app listens; requests go to its /slack/commands, /slack/interactions, /slack/events.
    #[arg(long)]
    app_url: String,
    /// Better given by the environment: a command line is readable by every user of the machine.
    #[arg(long, env = "LOCAL_SLACK_SIGNING_SECRET", hide_env_values = true)]
    signing_secret: String,
    #[arg(long, env = "LOCAL_SLACK_BOT_TOKEN", hide_env_values = true)]
    bot_token: String,
    /// Turns Socket Mode on: the app opens lines with this token, and is sent nothing over HTTP any more.
    #[arg(long, env = "LOCAL_SLACK_APP_TOKEN", hide_env_values = true)]
    app_token: Option<String>,
    /// Written once the server answers.
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// A Slack app manifest (YAML): its name, and the commands and shortcuts the page hints.
    #[arg(long)]
    manifest: Option<PathBuf>,
    #[arg(long, default_value = "運用")]
    channel_name: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    log_to_stderr();
    let flags = Flags::parse();
    let manifest = match &flags.manifest {
        Some(path) => {
            let yaml =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Manifest::parse(&yaml).with_context(|| format!("{} is not an app manifest", path.display()))?
        }
        None => Manifest::default(),
    };
    let slack = Workspace::new(Settings {
        app_url: flags.app_url,
        signing_secret: flags.signing_secret,
        bot_token: flags.bot_token,
        channel_name: flags.channel_name,
        manifest,
    })?;
    if let Some(token) = flags.app_token {
        slack.turn_socket_mode_on(token);
    }
    let listener = tokio::net::TcpListener::bind(flags.listen)
        .await
        .with_context(|| format!("cannot listen on {}", flags.listen))?;
    let url = format!("http://{}", listener.local_addr()?);
    slack.reachable_at(&url);
    if let Some(path) = &flags.ready_file {
        write_whole(path, &introduction(&url))?;
    }
    tracing::info!("local Slack at {url}");
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // The page's event streams never end by themselves, so nothing waits for open connections.
    tokio::select! {
        served = axum::serve(listener, local_slack::router(slack)) => served.context("the server ended"),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

fn introduction(url: &str) -> Value {
    json!({
        "url": url, "teamId": TEAM_ID, "appId": APP_ID, "channelId": CHANNEL_ID,
        "users": {"operator": OPERATOR, "approver": APPROVER, "viewer": VIEWER, "admin": ADMIN, "english": ENGLISH},
        "outsiders": {"guest": GUEST, "stranger": STRANGER},
    })
}

/// Whoever waits for the file finds it whole or not at all.
fn write_whole(path: &Path, content: &Value) -> anyhow::Result<()> {
    use std::io::Write;
    let draft = path.with_extension("draft");
    let mut file =
        std::fs::File::create(&draft).with_context(|| format!("cannot write {}", draft.display()))?;
    file.write_all(content.to_string().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().init();
    }
}
