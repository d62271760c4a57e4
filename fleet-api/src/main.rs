//! The command line: `serve`, and what is done beside the database.

use anyhow::Context;
use chrono::TimeDelta;
use clap::{Parser, Subcommand};
use device_model::thing_name::ThingName;
use fleet_api::{
    clock::{Clock, SystemClock},
    config::Config,
    fleet::{
        actor::Actor,
        tokens::{self, Scope},
    },
    telemetry,
};

#[derive(Parser)]
#[command(name = "fleet-api", about = "The control plane of Recehub", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API
    Serve,
    /// Bring the database up to this version
    Migrate,
    /// API tokens
    #[command(subcommand)]
    Token(Token),
    /// Boxes
    #[command(subcommand)]
    Device(Device),
}

#[derive(Subcommand)]
enum Token {
    /// Make a token and print it, this once
    Create {
        #[arg(long)]
        name: String,
        /// read, change or admin
        #[arg(long)]
        scope: String,
        #[arg(long, default_value_t = 365)]
        days: u16,
    },
}

#[derive(Subcommand)]
enum Device {
    /// Make a thing and print its one-time enrolment code
    Register {
        thing: ThingName,
        /// The code of the pharmacy where it stands
        #[arg(long)]
        pharmacy: Option<String>,
    },
}

fn main() -> anyhow::Result<()> {
    // Before anything makes a TLS configuration.
    let installed = rustls::crypto::ring::default_provider().install_default();
    installed.map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    telemetry::init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(Cli::parse()))
}

#[expect(clippy::print_stdout, reason = "what was asked for on the command line is answered there")]
async fn run(cli: Cli) -> anyhow::Result<()> {
    let var = |name: &str| std::env::var(name).ok();
    let database_url = || var("DATABASE_URL").context("DATABASE_URL is not set");
    match cli.command {
        Command::Serve => fleet_api::serve(Config::read(var)?).await,
        Command::Migrate => fleet_api::migrate(&database_url()?).await,
        Command::Token(Token::Create { name, scope, days }) => {
            let scope = Scope::parse(&scope).context("the scope must be read, change or admin")?;
            let db = fleet_api::database(&database_url()?)?;
            let (lifetime, now) = (TimeDelta::days(days.into()), SystemClock.now());
            println!("{}", tokens::create(&db, &name, scope, lifetime, &Actor::cli(), now).await?);
            Ok(())
        }
        Command::Device(Device::Register { thing, pharmacy }) => {
            let fleet = fleet_api::connect(&Config::read(var)?).await?;
            let made = fleet.register(&thing, pharmacy.as_deref(), &Actor::cli()).await?;
            println!("{}", made.enrolment_code);
            Ok(())
        }
    }
}
