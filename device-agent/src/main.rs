//! The agent's command line: `run`, `enroll`, `check-config`, `status`, `lan`, `retry`, `spool-key`.

#[path = "main/lan.rs"]
mod lan;

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use device_agent::{
    agent,
    capture::spool,
    check,
    config::{self, Config, Enrolment, Home},
    identity::enrolment::{self, Outcome},
    status::LocalStatus,
    store,
};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The agent of a rece-hub. It is configured by environment variables that begin with `RECEHUB_`.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Captures and sends prescriptions and keeps the LAN settings, until told to end.
    Run,
    /// Trades a one-time code for this box's certificate.
    Enroll {
        #[arg(long)]
        code: String,
    },
    /// Tells everything that is wrong with how the box is set up; the cloud is not asked.
    CheckConfig,
    /// Says how the box is, whether the agent runs or not.
    Status {
        #[arg(long)]
        json: bool,
    },
    /// Shows the LAN's settings and what became of them, and goes back to earlier ones; whether the agent
    /// runs or not, and whether the cloud is there or not.
    Lan {
        #[command(subcommand)]
        ask: lan::Ask,
    },
    /// Lets what was set aside be tried again, whether the agent runs or not.
    Retry,
    /// Changes the keys that the spool is sealed under.
    SpoolKey {
        #[command(subcommand)]
        change: KeyChange,
    },
}

#[derive(Subcommand)]
enum KeyChange {
    /// Adds a new key; from the agent's next start on everything is sealed under it.
    Rotate,
    /// Removes the keys that nothing is sealed under any more.
    Prune,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Names and contents of prescriptions are nobody else's business on this box either.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    start_logging();
    // There is one provider in this build; a second call could only repeat it.
    drop(rustls::crypto::ring::default_provider().install_default());
    // One thread for everything that waits, a few for what blocks: the box is small.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(6)
        .thread_stack_size(512 * 1024)
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(execute(arguments.command));
            // A thread may still be reading a big file; nothing is lost if it never ends.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "device-agent: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: Command) -> anyhow::Result<()> {
    let var = |name: &str| std::env::var(name).ok();
    match command {
        Command::Run => agent::run(Config::read(var)?).await,
        Command::Enroll { code } => {
            let config = Enrolment::read(var)?;
            let thing = &config.home.thing;
            let said = match enrolment::enroll(&config, &code).await? {
                Outcome::Enrolled { certificate_id } => {
                    format!("{thing} is enrolled; certificate {certificate_id}")
                }
                Outcome::AlreadyEnrolled => {
                    format!(
                        "{thing} is enrolled already and its certificate fits its key; the code was not used"
                    )
                }
            };
            Ok(writeln!(std::io::stdout(), "{said}")?)
        }
        Command::CheckConfig => {
            let faults = check::faults(var).await;
            for fault in &faults {
                writeln!(std::io::stderr(), "{fault}")?;
            }
            anyhow::ensure!(faults.is_empty(), "faults in the configuration: {}", faults.len());
            Ok(writeln!(std::io::stdout(), "the configuration is good")?)
        }
        Command::Lan { ask } => lan::execute(ask, var).await,
        Command::Retry => {
            let home = Home::read(var)?;
            let retried = spool::aside::retry(&store::open_to_change(&home.state_dir)?)?;
            Ok(writeln!(std::io::stdout(), "to be tried again: {retried}")?)
        }
        Command::SpoolKey { change } => {
            let home = Home::read(var)?;
            let keys = config::spool_key(var, &home);
            let said = match change {
                KeyChange::Rotate => {
                    keys.rotate()?;
                    "a new key is in front; restart the agent, then prune".to_owned()
                }
                KeyChange::Prune => {
                    let needed = spool::keys_needed(&store::open_to_read(&home.state_dir)?)?;
                    format!("keys removed: {}", keys.retain(&needed)?)
                }
            };
            Ok(writeln!(std::io::stdout(), "{said}")?)
        }
        Command::Status { json } => {
            let status = LocalStatus::read(&Home::read(var)?)?;
            let text = if json { serde_json::to_string_pretty(&status)? + "\n" } else { status.table() };
            Ok(write!(std::io::stdout(), "{text}")?)
        }
    }
}

fn start_logging() {
    let asked = std::env::var("RUST_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let filter = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs = tracing_subscriber::registry().with(filter);
    if std::io::stderr().is_terminal() {
        logs.with(lines).init();
    } else {
        logs.with(lines.json().flatten_event(true)).init();
    }
}
