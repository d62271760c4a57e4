//! `fleet-api device …`: boxes, where no HTTP can be had yet.

use clap::Subcommand;
use device_model::thing_name::ThingName;
use fleet_api::{config::Config, fleet::actor::Actor, settings::Settings};

#[derive(Subcommand)]
pub enum Command {
    /// Make a thing and print its one-time enrolment code
    Register {
        thing: ThingName,
        /// The code of the pharmacy where it stands
        #[arg(long)]
        pharmacy: Option<String>,
    },
    /// End the thing's certificates and sessions
    Revoke {
        thing: ThingName,
        #[arg(long)]
        reason: Option<String>,
    },
}

#[expect(clippy::print_stdout, reason = "what was asked for on the command line is answered there")]
pub async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    let fleet = fleet_api::connect(&Config::load(settings)?, 0).await?;
    match command {
        Command::Register { thing, pharmacy } => {
            let made = fleet.register(&thing, pharmacy.as_deref(), &Actor::cli()).await?;
            println!("{}", made.enrolment_code);
        }
        Command::Revoke { thing, reason } => {
            let revoked = fleet.revoke(&thing, &Actor::cli(), reason.as_deref()).await?;
            println!("{} certificate(s) of `{thing}` are revoked", revoked.len());
        }
    }
    Ok(())
}
