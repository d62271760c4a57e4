//! The command line: `serve`, and what is done beside the database. One file a subcommand.

mod device;
mod token;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use fleet_api::{config::Config, settings::Settings};

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
    /// Bring the database up to this version
    Migrate,
    /// Print the document of the HTTP API, as OpenAPI 3.1
    Openapi,
    /// API tokens
    #[command(subcommand)]
    Token(token::Command),
    /// Boxes
    #[command(subcommand)]
    Device(device::Command),
}

pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let settings = Settings::load(cli.config.as_deref())?;
    match cli.command {
        Command::Serve => fleet_api::serve(Config::load(&settings)?).await,
        Command::Migrate => fleet_api::migrate(&settings.want("DATABASE_URL")?).await,
        Command::Openapi => print_document(),
        Command::Token(command) => token::run(command, &settings).await,
        Command::Device(command) => device::run(command, &settings).await,
    }
}

#[expect(clippy::print_stdout, reason = "what was asked for on the command line is answered there")]
fn print_document() -> anyhow::Result<()> {
    print!("{}", fleet_api::openapi::text()?);
    Ok(())
}
