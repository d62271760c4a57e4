//! How a certificate ends: through us, and then AWS is told until it has taken it; or in AWS itself,
//! where one replica looks every minute.

use std::time::Duration;

use device_model::thing_name::ThingName;
use serde_json::json;
use sqlx::Acquire;
use tokio_util::sync::CancellationToken;

use crate::{
    error::ApiError,
    fleet::{Fleet, actor::Actor, audit::Entry},
    lifecycle::ticks,
    store::{audit_entries, certificates, leadership, sessions, things},
};

/// How many revocations one pass takes.
const AT_ONCE: i64 = 50;

impl Fleet {
    /// Ends every certificate of the thing: here at once, on every replica, and then in AWS. Answers
    /// the ids; asked again, it tells AWS again. What AWS does not take now it is told later.
    #[tracing::instrument(name = "fleet.revoke", skip_all, fields(thing.name = %thing))]
    pub async fn revoke(
        &self,
        thing: &ThingName,
        by: &Actor,
        reason: Option<&str>,
    ) -> Result<Vec<String>, ApiError> {
        let now = self.clock().now();
        let mut tx = self.db().begin().await?;
        let db = tx.acquire().await?;
        if !things::lock(db, thing).await? {
            return Err(ApiError::UnknownThing(thing.clone()));
        }
        for id in certificates::revoke_all(db, thing, now).await? {
            let ended = sessions::end_of(db, &id, now).await?;
            let mut entry = Entry::new(now, by, "device.revoked").of(thing);
            entry.after = Some(json!({"certificateId": id, "sessionsEnded": ended}));
            entry.reason = reason;
            audit_entries::add(db, &entry).await?;
        }
        let revoked = certificates::revoked_of(db, thing).await?;
        tx.commit().await?;
        let mut failed = None;
        for id in &revoked {
            // One that fails must not keep the others good.
            if let Err(error) = self.tell_aws(id).await {
                failed = Some(error);
            }
        }
        match failed {
            None => Ok(revoked),
            Some(error) => Err(ApiError::unavailable("AWS IoT Core", error)),
        }
    }

    async fn tell_aws(&self, certificate_id: &str) -> anyhow::Result<()> {
        self.parts.things.revoke(certificate_id).await?;
        let mut db = self.db().acquire().await?;
        certificates::told(&mut db, certificate_id, self.clock().now()).await?;
        Ok(())
    }
}

/// Tells AWS what it does not know yet, and looks what was switched off there.
pub async fn run(
    fleet: Fleet,
    tell_every: Duration,
    sweep_every: Duration,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (mut tell, mut look) = (ticks(tell_every), ticks(sweep_every));
    let telling = async {
        loop {
            tell.tick().await;
            if let Err(error) = tell_pass(&fleet).await {
                tracing::warn!(error = format!("{error:#}"), "could not look for revocations to tell");
            }
        }
    };
    let sweeping = async {
        loop {
            look.tick().await;
            if let Err(error) = sweep(&fleet).await {
                tracing::warn!(error = format!("{error:#}"), "could not look which certificates are off");
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        () = telling => Ok(()),
        () = sweeping => Ok(()),
    }
}

/// Tells AWS of revocations that it did not take yet; answers how many it took.
pub async fn tell_pass(fleet: &Fleet) -> anyhow::Result<usize> {
    let mut db = fleet.db().acquire().await?;
    let untold = certificates::take_untold(&mut db, fleet.clock().now(), AT_ONCE).await?;
    drop(db);
    let mut told = 0;
    for id in untold {
        match fleet.tell_aws(&id).await {
            Ok(()) => told += 1,
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "AWS did not take a revocation: told again later"
                );
            }
        }
    }
    Ok(told)
}

/// Ends the sessions of certificates that were switched off in AWS; answers how many certificates
/// that were. Their next login is asked for live, so one that is switched on again is good again.
pub async fn sweep(fleet: &Fleet) -> anyhow::Result<usize> {
    let mut tx = fleet.db().begin().await?;
    let db = tx.acquire().await?;
    if !leadership::lead(db, leadership::CERTIFICATE_SWEEP).await? {
        return Ok(0);
    }
    let off = fleet.parts.things.switched_off().await?;
    let now = fleet.clock().now();
    let doubted = certificates::doubt(db, &off).await?;
    for certificate in &doubted {
        let ended = sessions::end_of(db, &certificate.certificate_id, now).await?;
        let (by, thing) = (Actor::system(), certificate.thing.parse()?);
        let mut entry = Entry::new(now, &by, "device.switched_off_in_aws").of(&thing);
        entry.after = Some(json!({"certificateId": certificate.certificate_id, "sessionsEnded": ended}));
        audit_entries::add(db, &entry).await?;
        tracing::warn!(thing.name = %thing, "the certificate of `{thing}` was switched off in AWS");
    }
    tx.commit().await?;
    Ok(doubted.len())
}
