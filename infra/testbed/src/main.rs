//! The testbed as a program: `up` for people, `postgres` for `cargo xtask test`, `chaos` for whoever doubts.

use std::{
    collections::BTreeMap, io::Read, num::NonZeroUsize, path::PathBuf, process::ExitCode, time::Duration,
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use sqlx::{Connection, PgConnection, migrate::Migrator};
use testbed::{
    Options,
    chaos::{self, Plan},
    lab,
    ports::Ports,
    postgres::{Durability, Postgres},
    up,
};
use tracing_subscriber::EnvFilter;

/// Longer than the box waits for an answer and than the API waits for a body.
const LONG_SILENCE: Duration = Duration::from_secs(70);

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
    /// Has everything fail in turn, again and again, and judges what became of it.
    Chaos {
        #[command(subcommand)]
        what: Chaos,
    },
    /// Pharmacies in network namespaces, with real `NetworkManager` and Samba.
    Lab {
        #[command(subcommand)]
        what: LabCommand,
    },
    /// A Postgres cluster for tests: tells its address, ends when standard input ends.
    Postgres {
        /// Applies the migrations of this folder.
        #[arg(long)]
        migrations: Option<PathBuf>,
        /// As durable as a real one, for benches.
        #[arg(long)]
        durable: bool,
    },
}

#[derive(Subcommand)]
enum Chaos {
    /// Prescriptions: none is lost, doubled or cut short.
    Capture {
        /// At least so many are saved.
        #[arg(long, default_value_t = 10_000)]
        files: usize,
        /// What decides about names, contents, the faults' order and length; any, unless given.
        #[arg(long)]
        seed: Option<u64>,
        /// In each of them every fault strikes once.
        #[arg(long, default_value = "5")]
        rounds: NonZeroUsize,
    },
    /// The pharmacy's side: no box is lost to a setting.
    Lan {
        /// So many changes, each with something that goes wrong.
        #[arg(long, default_value = "40")]
        cases: NonZeroUsize,
        /// What decides about changes, faults and moments; any, unless given.
        #[arg(long)]
        seed: Option<u64>,
        /// Only faults in whose names this stands, e.g. "power cut".
        #[arg(long, default_value = "")]
        only: String,
    },
}

#[derive(Subcommand)]
enum LabCommand {
    /// Starts one that stays until `cargo xtask lab down`.
    Up(LabUp),
    /// Starts one that stays until Ctrl-C.
    Run(LabUp),
    /// Ends what is left of those whose makers were killed.
    Sweep,
}

#[derive(clap::Args)]
struct LabUp {
    /// How many pharmacies, each with a box.
    #[arg(long, default_value_t = 1)]
    pharmacies: usize,
    /// Where the state lies; it survives a restart.
    #[arg(long, default_value = ".recehub-lab")]
    dir: PathBuf,
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
    // What Postgres tells whoever it leaves: that it crashes is asked for.
    let filter = EnvFilter::new("warn,sqlx::postgres::notice=off");
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    match Arguments::parse().command {
        Command::Up(arguments) if arguments.detach => {
            let words = std::env::args().skip(1).filter(|word| word != "--detach");
            up::detach(&arguments.dir, &words.collect::<Vec<_>>())
        }
        Command::Up(arguments) => {
            let options = Options {
                agents: !arguments.no_agents,
                ports: arguments.ports.into_iter().collect(),
                durability: Durability::Full,
                ..Options::of(&arguments.dir, arguments.boxes)
            };
            up::run(&options).await
        }
        Command::Chaos { what: Chaos::Capture { files, seed, rounds } } => {
            let seed = seed.unwrap_or_else(rand::random);
            println!("seed {seed}");
            let plan = Plan { seed, files, rounds, long_silence: Some(LONG_SILENCE) };
            let report = chaos::run(plan, |line| println!("{line}")).await?;
            println!("\n{report}");
            Ok(())
        }
        Command::Chaos { what: Chaos::Lan { cases, seed, only } } => {
            let seed = seed.unwrap_or_else(rand::random);
            println!("seed {seed}");
            let plan = chaos::lan::Plan { seed, cases, only };
            let report = chaos::lan::run(plan, |line| println!("{line}")).await?;
            println!("\n{report}");
            report.verdict()
        }
        Command::Lab { what } => lab(what).await,
        Command::Postgres { migrations, durable } => postgres(migrations, durable).await,
    }
}

async fn lab(what: LabCommand) -> Result<()> {
    let LabUp { pharmacies, dir } = match what {
        LabCommand::Up(arguments) => {
            let words = ["lab", "run", "--pharmacies", &arguments.pharmacies.to_string(), "--dir"];
            let dir = arguments.dir.display().to_string();
            let words: Vec<String> = words.into_iter().chain([dir.as_str()]).map(str::to_owned).collect();
            return up::detach(&arguments.dir, &words);
        }
        LabCommand::Run(arguments) => arguments,
        LabCommand::Sweep => {
            println!("processes of labs without an owner: {}", lab::owner::sweep()?);
            return Ok(());
        }
    };
    let options = Options { agents: false, ..Options::of(&dir, 0) };
    lab::stand::run(&options, pharmacies).await
}

async fn postgres(migrations: Option<PathBuf>, durable: bool) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("recehub-postgres-").tempdir()?;
    let port = Ports::open(folder.path(), BTreeMap::new())?.take("postgres")?;
    let logs = folder.path().join("log");
    let durability = if durable { Durability::Full } else { Durability::None };
    let postgres = Postgres::start(folder.path(), &logs, port, "test", durability).await?;
    let url = postgres.superuser_url("postgres");
    if let Some(folder) = migrations {
        let mut db = PgConnection::connect(&url).await?;
        Migrator::new(folder).await?.run(&mut db).await?;
    }
    println!("{url}");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    postgres.stop().await
}

fn parse_port(text: &str) -> Result<(String, u16), String> {
    let parts = text.split_once('=').and_then(|(name, port)| Some((name.to_owned(), port.parse().ok()?)));
    parts.ok_or_else(|| "expected NAME=PORT, e.g. fleet-api=8080".to_owned())
}
