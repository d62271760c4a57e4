//! What the fleet API does on this machine: the device list of a large fleet, wishes taken, and uploads
//! beside a plain PUT into the same S3. The clients run on the same machine and take their share of it.

#![expect(clippy::cast_precision_loss, reason = "figures are for people")]

mod clients;
mod fleet;
mod uploads;

use std::path::Path;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::json;
use testbed::Testbed;

use crate::clients::{CLIENTS, measured};

/// Boxes in the fleet.
const BOXES: usize = 10_000;
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
    let bed = Testbed::for_bench(1, Path::new(env!("CARGO_TARGET_TMPDIR"))).await?;
    fleet::fill(&bed.database_url(), BOXES).await?;
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
    if wanted("uploads") {
        uploads::compare(&bed).await?;
    }
    bed.stop().await
}
