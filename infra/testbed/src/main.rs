//! The testbed as a program: `up` for people, `postgres` for `cargo xtask test`.

use std::{collections::BTreeMap, io::Read, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use testbed::{
    Options,
    ports::Ports,
    postgres::{Durability, Postgres},
    up,
};

#[derive(Parser)]
#[command(about = "All of Recehub on one machine")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts the whole system and ends it at Ctrl-C.
    Up(Up),
    /// A Postgres cluster for tests: tells its address, ends when standard input ends.
    Postgres,
}

#[derive(clap::Args)]
struct Up {
    /// How many boxes.
    #[arg(long, default_value_t = 3)]
    boxes: usize,
    /// Where the state lies; it survives a restart.
    #[arg(long, default_value = ".recehub")]
    dir: PathBuf,
    /// Enrols the boxes and opens their shares, but starts no agent.
    #[arg(long)]
    no_agents: bool,
    /// Returns once everything is ready; `cargo xtask down` ends it.
    #[arg(long)]
    detach: bool,
    /// A port of your choice, e.g. `--port fleet-api=8080`; others are free ones.
    #[arg(long = "port", value_name = "NAME=PORT", value_parser = parse_port)]
    ports: Vec<(String, u16)>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

// One thread: the kernel ends our processes when the thread that started them is gone.
#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok()
        .context("a TLS provider is set already")?;
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    match Arguments::parse().command {
        Command::Up(arguments) if arguments.detach => {
            let words = std::env::args().skip(1).filter(|word| word != "--detach");
            up::detach(&arguments.dir, &words.collect::<Vec<_>>())
        }
        Command::Up(arguments) => {
            let options = Options {
                folder: arguments.dir,
                boxes: arguments.boxes,
                agents: !arguments.no_agents,
                ports: arguments.ports.into_iter().collect(),
                durability: Durability::Full,
            };
            up::run(&options).await
        }
        Command::Postgres => postgres().await,
    }
}

async fn postgres() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("recehub-postgres-").tempdir()?;
    let port = Ports::open(folder.path(), BTreeMap::new())?.take("postgres")?;
    let logs = folder.path().join("log");
    let postgres = Postgres::start(folder.path(), &logs, port, "test", Durability::None).await?;
    println!("{}", postgres.superuser_url("postgres"));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    postgres.stop().await
}

fn parse_port(text: &str) -> Result<(String, u16), String> {
    let parts = text.split_once('=').and_then(|(name, port)| Some((name.to_owned(), port.parse().ok()?)));
    parts.ok_or_else(|| "expected NAME=PORT, e.g. fleet-api=8080".to_owned())
}
