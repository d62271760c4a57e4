//! `device-agent lan`: what somebody in front of the box sees of its LAN, and their way back.

use std::{io::Write, time::Duration};

use clap::Subcommand;
use device_agent::{
    agent,
    config::{Config, Home},
    lan::{
        history::Event,
        rescue,
        show::{self, Happened, Shown},
    },
    store,
};
use device_model::outcome::VerdictKind;
use serde_json::json;

#[derive(Subcommand)]
pub enum Ask {
    /// What runs, what is being tried, and how the last changes ended.
    Show {
        #[arg(long)]
        json: bool,
    },
    /// What became of each change, and what ran from then on; the newest first.
    History {
        #[arg(long)]
        json: bool,
    },
    /// Goes back to what ran before, on trial like any other change. It takes the place of a change that
    /// is being tried, needs no cloud, and is told to the cloud.
    Revert {
        /// The number of an event in the history: what ran from then on is to run again.
        #[arg(long)]
        to: Option<i64>,
        /// How long to wait for the outcome, in seconds.
        #[arg(long, default_value_t = 600)]
        wait: u64,
        #[arg(long)]
        json: bool,
    },
}

pub async fn execute(ask: Ask, var: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    let home = Home::read(&var)?;
    let mut out = std::io::stdout();
    match ask {
        Ask::Show { json } => {
            let shown = Shown::read(&store::open_to_read(&home.state_dir)?)?;
            let text = if json { serde_json::to_string_pretty(&shown)? + "\n" } else { shown.table() };
            Ok(write!(out, "{text}")?)
        }
        Ask::History { json } => {
            let happened = show::happened(&store::open_to_read(&home.state_dir)?)?;
            let text =
                if json { serde_json::to_string_pretty(&happened)? + "\n" } else { show::table(&happened) };
            Ok(write!(out, "{text}")?)
        }
        Ask::Revert { to, wait, json } => {
            let db = store::open_to_change(&home.state_dir)?;
            let target = rescue::target(&db, to)?;
            let change = rescue::ask(&db, &target)?;
            let wanted = describe(target);
            if !json {
                writeln!(out, "{change}: back to {wanted}")?;
            }
            let config = Config::read(&var);
            let alone = async |hold| agent::run_lan_alone(config?, hold).await;
            let patience = Duration::from_secs(wait);
            let verdict = rescue::verdict(&home.state_dir, &change, patience, alone).await?;
            if json {
                writeln!(out, "{}", serde_json::to_string_pretty(&json!(verdict))?)?;
            } else {
                writeln!(out, "{}", verdict.verdict.as_str())?;
            }
            let why = [verdict.code, verdict.detail].map(Option::unwrap_or_default).join(" ");
            anyhow::ensure!(verdict.verdict == VerdictKind::Applied, "it did not come to that: {why}");
            Ok(())
        }
    }
}

fn describe(target: Event) -> String {
    let happened = Happened::from(target);
    format!("{} (event {})", happened.settings.line(), happened.number)
}
