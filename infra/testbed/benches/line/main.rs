//! What a box costs on its metered line: an idle day, a file, a change, a morning, and what it has AWS
//! do. The agent's clock runs fast here, so that minutes hold hours: see [`FASTER`].

#![expect(clippy::cast_precision_loss, reason = "figures are for people")]

mod day;
mod door;
mod sample;
mod wire;

use std::{fs, io::Write, net::Ipv4Addr, path::Path};

use anyhow::{Context, Result};
use testbed::{Testbed, line::Line, process::Program};
use url::Url;

use crate::{day::Day, door::Door, wire::Wire};

/// The agent's time goes by so much faster, waits included, by libfaketime. The cloud's does not.
pub const FASTER: u32 = 30;

// One thread: the kernel ends our processes when the thread that started them is gone.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok()
        .context("a TLS provider is set already")?;
    let mut bed = Testbed::for_bench(1, Path::new(env!("CARGO_TARGET_TMPDIR"))).await?;
    let api = Url::parse(&bed.fleet_api)?.port().context("an API without a port")?;
    let door = Door::before((Ipv4Addr::LOCALHOST, api).into()).await?;
    let wire = Wire::lay(&bed.folder.join("log")).await?;
    let fleet_api = format!("https://localhost:{}", door.port);
    let line = Line::from(&bed.cloud, &fleet_api, || wire.listen()).await?;
    let program = agent(&bed, &line, &wire, &door)?;
    let report = Day { bed: &mut bed, line: &line, wire: &wire, program }.whole().await?;
    println!("\n{}", report.told(wire.unit())?);
    bed.stop().await
}

/// The box's agent at its end of the line, in a hurry, trusting both authorities.
fn agent(bed: &Testbed, line: &Line, wire: &Wire, door: &Door) -> Result<Program> {
    let ca_file = bed.folder.join("line-ca.pem");
    let mut both = fs::read(&bed.cloud.ca_file)?;
    both.extend(door.ca.as_bytes());
    fs::File::create(&ca_file)?.write_all(&both)?;
    let program = line
        .reached_by(bed.boxes[0].agent_program())
        .env("RECEHUB_FLEET_API", format!("https://localhost:{}", line.api.port))
        .env("RECEHUB_CA_FILE", ca_file.display())
        .in_time(&format!("+0 x{FASTER}"))?;
    wire.inside(&program)
}
