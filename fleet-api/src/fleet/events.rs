//! What AWS IoT's rules post to us: hints where to look, and the confirmation that we may be posted to.

use std::time::Duration;

use device_model::{
    shadow::{LAN_SHADOW, STATUS_SHADOW},
    thing_name::ThingName,
};
use sqlx::Acquire;
use tokio_util::sync::CancellationToken;

use crate::{
    error::ApiError,
    fleet::{Fleet, collect, status},
    lifecycle::ticks,
    store::{feed, leadership, nonces, sessions},
};

impl Fleet {
    /// True if the secret is the one that our rules send.
    pub fn knows_events_secret(&self, given: &str) -> bool {
        super::secret::same(given, &self.parts.rules.events.secret)
    }

    /// Something may have changed in this thing's shadow.
    pub async fn hint(&self, thing: &ThingName, shadow: &str) -> Result<(), ApiError> {
        match shadow {
            LAN_SHADOW => collect::collect(self, thing).await,
            STATUS_SHADOW => status::collect(self, thing).await,
            _ => Ok(()),
        }
    }

    /// Confirms our own destination, by its token. The URL that comes along is never fetched:
    /// whoever wrote it may be anybody.
    pub async fn confirm_destination(&self, arn: &str, token: &str) -> Result<(), ApiError> {
        if arn != self.parts.rules.events.destination_arn {
            return Err(ApiError::Forbidden);
        }
        let things = &self.parts.things;
        let unavailable = |error| ApiError::unavailable("AWS IoT Core", error);
        things.confirm_destination(token).await.map_err(unavailable)?;
        things.enable_destination(arn).await.map_err(unavailable)?;
        tracing::info!("the rules' destination is confirmed");
        Ok(())
    }
}

/// Housekeeping that one replica does: sees to the rules' destination, and forgets what has expired.
pub async fn run(fleet: Fleet, every: Duration, stop: CancellationToken) -> anyhow::Result<()> {
    let mut timer = ticks(every);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = timer.tick() => {}
        }
        if let Err(error) = pass(&fleet).await {
            tracing::warn!(error = format!("{error:#}"), "could not keep house");
        }
    }
}

async fn pass(fleet: &Fleet) -> anyhow::Result<()> {
    // Each replica has its own.
    fleet.paces.forget();
    let mut tx = fleet.db().begin().await?;
    let db = tx.acquire().await?;
    if !leadership::lead(db, leadership::HOUSEKEEPING).await? {
        return Ok(());
    }
    let expired = fleet.clock().now() - chrono::TimeDelta::days(1);
    nonces::sweep(db, expired).await?;
    sessions::sweep(db, expired).await?;
    feed::sweep(db, super::feed::forgotten_before(fleet.clock().now())).await?;
    let arn = &fleet.parts.rules.events.destination_arn;
    let enabled = fleet.parts.things.enable_destination(arn).await;
    tx.commit().await?;
    if !enabled? {
        tracing::info!("asked for a new confirmation of the rules' destination");
    }
    Ok(())
}
