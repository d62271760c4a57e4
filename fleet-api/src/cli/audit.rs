//! `fleet-api audit …`: whether the log is what was written, and the log as a file.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Subcommand;
use fleet_api::{
    aws::clients,
    clock::{Clock, SystemClock},
    config::{Config, audit::Aside},
    fleet::{
        actor::Actor,
        audit::{
            Audit,
            export::{self, Filter, Format},
            seal, verify,
        },
    },
    settings::Settings,
};
use futures::TryStreamExt;
use sqlx::PgPool;

#[derive(Subcommand)]
pub enum Command {
    /// Compute every row anew and compare with the signed checkpoints; ends with 1 if anything is wrong
    Verify {
        /// Print the whole report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the log
    Export(Export),
    /// Prove that an upload stands in the ledger as it was sealed; ends with 1 if it is not proved
    VerifyUpload { upload_id: String },
    /// After a restore of the database: write down which rows were lost, so that the log goes on
    Restored {
        /// Which backup, and why
        #[arg(long)]
        reason: String,
    },
    /// Print the public half of the key that signs: what `RECEHUB_AUDIT_FORMER_KEYS` takes once there is another
    PublicKey,
}

#[derive(clap::Args)]
pub struct Export {
    /// csv or jsonl
    #[arg(long, default_value = "jsonl")]
    format: String,
    #[arg(long)]
    thing: Option<String>,
    #[arg(long)]
    change: Option<String>,
    /// Only rows after this one
    #[arg(long, default_value_t = 0)]
    after: i64,
}

#[expect(clippy::print_stdout, reason = "what was asked for on the command line is answered there")]
pub async fn run(command: Command, settings: &Settings) -> anyhow::Result<ExitCode> {
    match command {
        Command::Verify { json } => {
            let (db, audit) = aside(settings).await?;
            let report = verify::verify(&audit, &mut *db.acquire().await?).await?;
            if json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else {
                println!("{report}");
            }
            return Ok(if report.intact { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Export(what) => print_log(what, settings).await?,
        Command::VerifyUpload { upload_id } => {
            let (db, audit) = aside(settings).await?;
            match seal::prove(&audit, &mut *db.acquire().await?, &upload_id).await? {
                Ok(proof) => println!("{}", serde_json::to_string_pretty(&proof)?),
                Err(unproved) => {
                    println!("not proved: {unproved}");
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
        Command::PublicKey => println!("{}", STANDARD.encode(aside(settings).await?.1.keys.public())),
        Command::Restored { reason } => {
            let fleet = fleet_api::connect(&Config::load(settings)?, 0).await?;
            match fleet.restored(&Actor::cli(), &reason).await? {
                Some(lost) => {
                    println!("rows {} to {} were lost; the log goes on", lost.lost_from, lost.lost_to);
                }
                None => println!("nothing was lost: the log has every row that a checkpoint knows"),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn print_log(what: Export, settings: &Settings) -> anyhow::Result<()> {
    let format = Format::parse(&what.format).context("the format must be csv or jsonl")?;
    let db = fleet_api::database(&settings.want("DATABASE_URL")?, 0)?;
    let filter = Filter { thing: what.thing, change_id: what.change, after: what.after };
    let (by, now) = (Actor::cli(), SystemClock.now());
    let pieces = export::take(&db, &by, now, format, filter).await?;
    let mut pieces = std::pin::pin!(pieces);
    let mut out = std::io::stdout().lock();
    while let Some(piece) = pieces.try_next().await? {
        out.write_all(&piece)?;
    }
    Ok(out.flush()?)
}

/// What these need of the configuration, which is less than the API does.
async fn aside(settings: &Settings) -> anyhow::Result<(PgPool, Audit)> {
    let config = Aside::read(|name| settings.get(name))?;
    let aws = clients::load().await;
    Ok((
        fleet_api::database(&config.database_url, 0)?,
        fleet_api::audit(&config.audit, &config.bucket, &aws)?,
    ))
}
