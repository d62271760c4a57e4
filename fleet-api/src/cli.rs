//! The command line: `serve`, and what is done beside the database. One file a subcommand.

mod audit;
mod device;
mod ledger;
mod token;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use fleet_api::{
    config::Config,
    settings::Settings,
    telemetry::{self, traces::Traces},
};
use tokio::runtime::Handle;

#[derive(Parser)]
#[command(name = "fleet-api", about = "The control plane of Recehub", version)]
pub struct Cli {
    /// A file of NAME=value lines, for what the environment does not say
    #[arg(long, global = true, env = "FLEET_API_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API
    Serve,
    /// Bring the database up to this version, as its owner
    Migrate {
        /// The role that serves, which is given its rights
        #[arg(long, env = "RECEHUB_APPLICATION_ROLE")]
        application_role: Option<String>,
    },
    /// Print the document of the HTTP API, as OpenAPI 3.1
    Openapi,
    /// API tokens
    #[command(subcommand)]
    Token(token::Command),
    /// Boxes
    #[command(subcommand)]
    Device(device::Command),
    /// The ledger of prescriptions
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// The audit log
    #[command(subcommand)]
    Audit(audit::Command),
}

/// Runs it; the exit code says what came of it.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(cli.config.as_deref())?;
    if !matches!(cli.command, Command::Serve) {
        telemetry::init(None);
    }
    match cli.command {
        Command::Serve => return serve(&settings).await,
        Command::Migrate { application_role } => {
            fleet_api::migrate(&settings.want("DATABASE_URL")?, application_role.as_deref()).await?;
        }
        Command::Openapi => print_document()?,
        Command::Token(command) => token::run(command, &settings).await?,
        Command::Device(command) => device::run(command, &settings).await?,
        Command::Ledger(command) => return ledger::run(command, &settings).await,
        Command::Audit(command) => return audit::run(command, &settings).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(settings: &Settings) -> anyhow::Result<ExitCode> {
    let config = Config::load(settings)?;
    let traces = config.traces.as_ref().map(|traces| Traces::new(traces, Handle::current())).transpose()?;
    telemetry::init(traces.as_ref());
    let served = fleet_api::serve(config).await;
    if let Some(traces) = traces {
        tokio::task::spawn_blocking(move || traces.finish()).await?;
    }
    served.map(|()| ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "what was asked for on the command line is answered there")]
fn print_document() -> anyhow::Result<()> {
    print!("{}", fleet_api::openapi::text()?);
    Ok(())
}
