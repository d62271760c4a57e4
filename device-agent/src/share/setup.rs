//! Sets the share up when the agent starts: what hosts it, and who looks whether it is found.

use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::Config,
    health::Health,
    identity::Identity,
    newest,
    share::{
        ShareHost,
        receipt_computer::{LOOKS, ReceiptWatch},
    },
    store::Store,
};

/// How many reports may wait between the LAN's side and the shadow.
const MOST_REPORTS: usize = 16;

/// The share as it was last kept; none if it stands on another machine.
pub async fn host(config: &Config, identity: &Identity) -> anyhow::Result<Option<ShareHost>> {
    let Some(hosting) = config.share.hosting.clone() else {
        return Ok(None);
    };
    let host = ShareHost::open(
        hosting,
        config.share.dir.clone(),
        &config.home.state_dir,
        config.home.thing.clone(),
        identity.sealing.clone(),
        config.reserved.clone(),
    );
    let host = host.context("the folder of the share's settings is of no use")?;
    // What is on the share already is captured all the same.
    if let Err(fault) = host.start().await {
        tracing::error!(error = %fault, "the share cannot be set up; the next start or change tries again");
    }
    Ok(Some(host))
}

/// Hands reports on to the shadow, with what is known of the receipt computer if the share is the box's.
pub fn watch(
    host: Option<&ShareHost>,
    reports: newest::Receiver<Value>,
    store: &Store,
    clock: &Arc<Clock>,
    health: &Arc<Health>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> newest::Receiver<Value> {
    let Some(host) = host else {
        return reports;
    };
    let (told, reported) = newest::queue(MOST_REPORTS);
    let watch = ReceiptWatch {
        sessions: host.sessions(),
        store: store.clone(),
        clock: Arc::clone(clock),
        health: Arc::clone(health),
        reports,
        told,
        looks: LOOKS,
    };
    tasks.spawn(watch.run(stop.clone()));
    reported
}
