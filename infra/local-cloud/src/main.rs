//! The `local-cloud` binary: starts the cloud, says when it is ready, ends on a signal.

use std::io::IsTerminal as _;

use clap::Parser as _;
use local_cloud::boot::LocalCloud;
use local_cloud::clock::Clock;
use local_cloud::config::Config;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    log();
    allow_many_connections();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        anyhow::bail!("a TLS provider was installed already");
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(config))
}

async fn run(config: Config) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut cloud = LocalCloud::start(&config, Clock::system()).await?;
    if let Some(file) = &config.ready_file {
        cloud.write_ready(file)?;
    }
    tracing::info!(
        endpoint = %cloud.endpoint, mqtt = %cloud.mqtt, credentials = %cloud.credentials, admin = %cloud.admin,
        "the local cloud is ready"
    );
    let failed = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        error = cloud.failed() => Some(error),
    };
    cloud.stop().await;
    failed.map_or(Ok(()), Err)
}

/// A connection is an open file, of which shells let a process have about a thousand unless it asks.
fn allow_many_connections() {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, files) {
        tracing::warn!(error = %error, "no more files can be opened than before");
    }
}

/// s3s tells every refusal as an error of its own; they are the clients', not ours.
const QUIET: &str = "info,s3s=off";

fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(QUIET));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().init();
    }
}
