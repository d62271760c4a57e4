//! `fleet-api token …`: API tokens. A token is shown once, when it is made; the database keeps its hash.

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::Subcommand;
use fleet_api::{
    clock::{Clock, SystemClock},
    fleet::{
        actor::Actor,
        tokens::{self, Scopes},
    },
    settings::Settings,
};

#[derive(Subcommand)]
pub enum Command {
    /// Make a token and print it, this once
    Create {
        #[arg(long)]
        name: String,
        /// read, change or admin; `,paths` beside it lets in to the original paths of prescriptions
        #[arg(long)]
        scope: String,
        #[arg(long, default_value_t = 365)]
        days: u16,
    },
    /// List all tokens, those that are no good any more included
    List,
    /// Make a token worthless, from its next request on
    Revoke {
        #[arg(long)]
        name: String,
    },
}

#[expect(clippy::print_stdout, reason = "what was asked for on the command line is answered there")]
pub async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    let db = fleet_api::database(&settings.want("DATABASE_URL")?, 0)?;
    let (by, now) = (Actor::cli(), SystemClock.now());
    match command {
        Command::Create { name, scope, days } => {
            let scopes = Scopes::parse(&scope);
            let scopes =
                scopes.context("the scope must be read, change or admin, with `,paths` or without")?;
            println!("{}", tokens::create(&db, &name, scopes, TimeDelta::days(days.into()), &by, now).await?);
        }
        Command::List => {
            println!("NAME\tSCOPE\tCREATED\tEXPIRES\tLAST USED\tSTATE");
            for token in tokens::list(&db).await? {
                let state = match token.revoked_at {
                    Some(_) => "revoked",
                    None if token.expires_at <= now => "expired",
                    None => "good",
                };
                let used = token.last_used_at.map_or_else(|| "never".to_owned(), shown);
                println!(
                    "{}\t{}\t{}\t{}\t{used}\t{state}",
                    token.name,
                    Scopes::of(&token.scope, token.paths)
                        .map(|scopes| scopes.to_string())
                        .unwrap_or_default(),
                    shown(token.created_at),
                    shown(token.expires_at),
                );
            }
        }
        Command::Revoke { name } => {
            tokens::revoke(&db, &name, &by, now).await?;
            println!("`{name}` is revoked");
        }
    }
    Ok(())
}

fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
