//! Who is connected. AWS tells by events that may be lost while we are down: so the fleet index, which
//! knows as well, is read at the start and every so often.

use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use device_model::thing_name::ThingName;
use serde::Deserialize;
use sqlx::{Acquire, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::{
    error::ApiError,
    fleet::{Fleet, actor::Actor, audit::Entry},
    lifecycle::ticks,
    store::{audit_entries, leadership, presence, takeovers},
};

/// What AWS says of a connection that ended because another client came with its name.
pub const DUPLICATE_CLIENTID: &str = "DUPLICATE_CLIENTID";
/// Two connections of one name that are thrown out within this threw each other out.
const SHORTLY: TimeDelta = TimeDelta::minutes(10);
/// Whoever goes on with it is told of once; again, if it begins anew after this.
const QUIET: TimeDelta = TimeDelta::hours(1);

/// A large fleet has hundreds of pages, and the account takes so many calls a second.
const BETWEEN_PAGES: Duration = Duration::from_millis(150);
/// AWS's clock may differ from ours; what lies further ahead is nonsense and would never be overtaken.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

/// What AWS says when a connection begins or ends.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleEvent {
    /// A box connects under its thing's name; no policy lets it use another.
    client_id: ThingName,
    event_type: EventType,
    session_identifier: String,
    version_number: i64,
    /// Milliseconds since 1970.
    timestamp: i64,
    disconnect_reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum EventType {
    Connected,
    Disconnected,
}

impl Fleet {
    /// Takes an event in, whenever and however often it comes.
    #[tracing::instrument(name = "fleet.connection", skip_all, fields(thing.name = %event.client_id))]
    pub async fn connection(&self, event: &LifecycleEvent) -> Result<(), ApiError> {
        let at = DateTime::from_timestamp_millis(event.timestamp);
        let Some(at) = at.filter(|&at| at <= self.clock().now() + AHEAD) else {
            return Err(ApiError::malformed("timestamp is none that an event can have"));
        };
        if event.session_identifier.len() > 128 || event.session_identifier.chars().any(char::is_control) {
            return Err(ApiError::malformed("sessionIdentifier is none"));
        }
        let reason = event.disconnect_reason.as_deref().filter(|reason| is_reason(reason));
        let taken = presence::Event {
            connected: event.event_type == EventType::Connected,
            version: event.version_number,
            session: event.session_identifier.clone(),
            at,
            reason: reason.map(str::to_owned),
        };
        let mut tx = self.db().begin().await?;
        let db = tx.acquire().await?;
        presence::take(db, &event.client_id, &taken).await?;
        // Whether or not the end is news: the newer connection is often told of first.
        if !taken.connected && reason == Some(DUPLICATE_CLIENTID) {
            self.thrown_out(db, &event.client_id, &taken).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// A box that lost its line throws its own old connection out; two boxes with one certificate throw each
    /// other out again and again.
    async fn thrown_out(
        &self,
        db: &mut PgConnection,
        thing: &ThingName,
        ended: &presence::Event,
    ) -> Result<(), ApiError> {
        if !takeovers::take(db, thing, &ended.session, ended.at, (SHORTLY, QUIET)).await? {
            return Ok(());
        }
        tracing::error!(
            thing.name = %thing,
            "{DUPLICATE_CLIENTID}: two clients throw each other out as `{thing}`: was its certificate copied?"
        );
        metrics::counter!("recehub_duplicate_clients_total").increment(1);
        let by = Actor::system();
        let mut entry = Entry::new(self.clock().now(), &by, "device.duplicate_client").of(thing);
        entry.reason = Some(DUPLICATE_CLIENTID);
        audit_entries::add(db, &entry).await?;
        Ok(())
    }
}

/// As AWS writes them.
fn is_reason(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// Reads the index at once and then every so often, on one replica.
pub async fn run(fleet: Fleet, every: Duration, stop: CancellationToken) -> anyhow::Result<()> {
    let mut timer = ticks(every);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = timer.tick() => {}
        }
        let healed = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            healed = heal(&fleet) => healed,
        };
        match healed {
            Ok(0) => {}
            Ok(many) => tracing::info!(things = many, "the fleet index knew better who is connected"),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "could not read the fleet index"),
        }
    }
}

/// One reading of the whole index; answers of how many boxes it knew better.
pub async fn heal(fleet: &Fleet) -> anyhow::Result<u64> {
    let mut tx = fleet.db().begin().await?;
    let db = tx.acquire().await?;
    if !leadership::lead(db, leadership::PRESENCE).await? {
        return Ok(0);
    }
    let (mut healed, mut after): (u64, Option<String>) = (0, None);
    loop {
        let page = fleet.parts.things.connectivity(after.as_deref()).await?;
        // Each page for itself: a later one that fails takes nothing back.
        healed += presence::heal(&mut *fleet.db().acquire().await?, &page.things).await?;
        after = page.next;
        if after.is_none() {
            tx.commit().await?;
            return Ok(healed);
        }
        tokio::time::sleep(BETWEEN_PAGES).await;
    }
}
