//! What the fleet API does on this machine: the device list of a large fleet, wishes taken, and uploads
//! beside a plain PUT into the same S3. The clients run on the same machine and take their share of it.

#![expect(clippy::cast_precision_loss, reason = "figures are for people")]

mod clients;
mod fleet;
mod uploads;

use std::{path::Path, time::Instant};

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::json;
use testbed::{Testbed, crowd};

use crate::clients::{CLIENTS, measured};

/// Boxes in the fleet.
const BOXES: usize = 10_000;
/// Uploads that come together, and their size.
const MANY: usize = 64;
const LARGE: usize = 50_000_000;
/// As many as a page has, unless it is asked for more.
const PAGE: usize = 50;

// One thread: the kernel ends our processes when the thread that started them is gone.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok()
        .context("a TLS provider is set already")?;
    let only: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |part: &str| only.is_empty() || only.iter().any(|word| word == part);
    let mut bed = Testbed::for_bench(1, Path::new(env!("CARGO_TARGET_TMPDIR"))).await?;
    fleet::fill(&bed.superuser_url(), BOXES).await?;
    println!("\n{BOXES} boxes, {CLIENTS} clients");
    if wanted("list") {
        let figures = measured(async |client, turn| {
            let page = format!("/v1/devices?cursor={}", fleet::cursor((turn + client) * PAGE % BOXES));
            bed.api.request(Method::GET, &page).send().await?.error_for_status()?.bytes().await?;
            Ok(())
        });
        println!("device list, page by page: {} (goal: 3000/s, p99 50 ms)", figures.await?);
    }
    if wanted("lan") {
        let figures = measured(async |client, turn| {
            let thing = fleet::thing((turn * CLIENTS + client) % BOXES);
            let address = format!("192.168.{}.{}/24", 10 + client, 2 + turn % 250);
            let wish =
                json!({"lan": {"mode": "static", "address": address}, "reason": "bench", "supersede": true});
            let put = bed.api.request(Method::PUT, &format!("/v1/devices/{thing}/lan")).json(&wish);
            put.send().await?.error_for_status()?.bytes().await?;
            Ok(())
        });
        println!("PUT lan, accepted: {} (goal: 300/s)", figures.await?);
    }
    if wanted("uploads") || wanted("memory") {
        fleet::sessions(&bed.superuser_url(), MANY.max(CLIENTS)).await?;
    }
    if wanted("uploads") {
        uploads::compare(&bed).await?;
    }
    if wanted("memory") {
        memory(&mut bed).await?;
    }
    bed.stop().await
}

/// What the API holds while a whole crowd sends it large files.
async fn memory(bed: &mut Testbed) -> Result<()> {
    let api = bed.processes().into_iter().find(|(name, _)| name == "fleet-api");
    let (_, api) = api.context("the fleet API does not run")?;
    let (before, _) = crowd::memory(api)?;
    let begun = Instant::now();
    let who = |number| (fleet::thing(number), format!("bench-session-{number}"));
    crowd::upload(bed, MANY, LARGE, who).await?;
    let (after, most) = crowd::memory(api)?;
    let [before, most, after] = [before, most, after].map(|bytes| bytes as f64 / 1e6);
    println!(
        "{MANY} uploads of 50 MB at once, in {:.0} s with hashing them: {before:.0} MB before, {most:.0} MB at most, \
         {after:.0} MB after (goal: flat)",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}
