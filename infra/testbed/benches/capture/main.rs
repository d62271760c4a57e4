//! What a prescription costs: the time from its save to its receipt, a burst of them, and what the
//! agent takes of the box. Beside it, from the same run and disk: two durable commits, rclone, s5cmd.

#![expect(clippy::cast_precision_loss, reason = "figures are for people")]

mod burst;
mod floor;
mod footprint;
mod paced;
mod receipts;
mod rivals;
mod samples;

use std::path::Path;

use anyhow::{Context, Result};
use testbed::Testbed;

use crate::rivals::Rival;

pub const BYTES: usize = 5 * 1024;

// One thread: the kernel ends our processes when the thread that started them is gone.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok()
        .context("a TLS provider is set already")?;
    let named: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let mut bed = Testbed::for_bench(2, Path::new(env!("CARGO_TARGET_TMPDIR"))).await?;
    let rivals = Rival::all(&bed)?;
    // The first box has an agent; the share of the second is for those who are compared with it.
    bed.boxes[0].start_agent()?;
    let mut report = Vec::new();
    if wanted("footprint") {
        report.push(footprint::measure(&bed).await?);
    }
    if wanted("paced") {
        report.push(paced::measure(&bed, &rivals).await?);
    }
    if wanted("burst") {
        report.push(burst::measure(&mut bed, &rivals).await?);
    }
    bed.ensure_alive()?;
    println!("\n{}", report.join("\n"));
    bed.stop().await
}

/// A file of [`BYTES`] that no other round has.
pub fn content(round: usize, number: usize) -> Vec<u8> {
    format!("{round},{number}\r\n").into_bytes().into_iter().cycle().take(BYTES).collect()
}
