//! `fleet-api ledger …`: what is done to the ledger by hand.

use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use fleet_api::{
    aws::{archive::S3Archive, clients},
    clock::{Clock, SystemClock},
    config,
    fleet::{ledger, sealing::PathKeys},
    settings::Settings,
};

#[derive(Subcommand)]
pub enum Command {
    /// Write rows anew that a restore lost, from what lies in the bucket; with the restore role's credentials
    Rebuild {
        /// Only what was stored since then, as in 2026-11-26T00:00:00Z: a little before the backup
        #[arg(long)]
        since: DateTime<Utc>,
    },
}

#[expect(clippy::print_stdout, reason = "what was asked for on the command line is answered there")]
pub async fn run(command: Command, settings: &Settings) -> anyhow::Result<ExitCode> {
    let Command::Rebuild { since } = command;
    let (url, bucket) = (settings.want("DATABASE_URL")?, settings.want("PRESCRIPTION_BUCKET")?);
    let key = config::key(&settings.want("RECEHUB_PATH_KEY")?);
    let key = key.context("RECEHUB_PATH_KEY is not 32 bytes in base64")?;
    let archive = S3Archive { client: clients::s3_brisk(&clients::load().await), bucket };
    let (db, keys) = (fleet_api::database(&url, 0)?, PathKeys::derive(&key));
    let rebuilt = ledger::rebuild(&db, &archive, &keys, since, SystemClock.now()).await?;
    println!("{} rows restored, {} were there", rebuilt.restored, rebuilt.present);
    for key in &rebuilt.unusable {
        println!("cannot be used: {key}");
    }
    Ok(if rebuilt.unusable.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
