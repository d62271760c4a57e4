//! Puts the agent together from its configuration and runs it.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    api_session::{ApiSession, signature::Audience},
    capture::{Capture, MOST_WAITING, poll::Poll, retention::Retention, spool::Spool, watch::Watch},
    clients::{IN_FLIGHT, Patience, client},
    clock::Clock,
    config::{Config, share::SourceKind},
    credentials::CredentialSource,
    health::Health,
    identity::Identity,
    lan::{applier::Parts, desire::Reader, journal::Journal, pause::Waits, rescue::Hold, service::LanSide},
    lifecycle, newest,
    shadow::{ShadowSync, mqtt::Endpoint, round_trip},
    share::setup,
    space::Space,
    status::StatusSource,
    store::Store,
    timekeeper,
    upload::{Uploader, throttle::Throttle},
};

/// Of more than these the newest count: a report tells how it is, a wish what is wanted, now.
const MOST_REPORTS: usize = 16;
const MOST_WISHES: usize = 16;

/// Runs the box's agent until it is told to end. It needs its folders and its identity, not the cloud.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let clock = Clock::system();
    let share = &config.share;
    std::fs::read_dir(&share.dir)
        .with_context(|| format!("the share {} cannot be read", share.dir.display()))?;
    let store = Store::open(&config.home.state_dir)?;
    timekeeper::recall(&clock, &store).await;
    let identity = Arc::new(Identity::load(&config.home, &config.ca_file, &clock)?);
    let keys = config.spool_key.load_or_make()?;
    let spool = Spool::open(store.clone(), &config.home.state_dir, keys, config.spool_quota_bytes)
        .await
        .with_context(|| format!("the state directory {} is of no use", config.home.state_dir.display()))?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();

    tasks.spawn(timekeeper::keep(Arc::clone(&clock), store.clone(), stop.clone()));
    let health = Health::new(Arc::clone(&clock));
    Health::set(&health.store_replaced, store.was_replaced());
    let (watched, over) = (store.clone(), stop.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = over.cancelled() => Ok(()),
            () = watched.broken() => Err(anyhow!("the database is corrupt; the next start begins a fresh one")),
        }
    });
    let space = Arc::new(Space::of(config.home.state_dir.clone(), config.free_floor_bytes));
    let scope = Arc::new(share.scope.clone());
    let retention = share.retention.map(|keep| Retention { keep });
    let capture = Capture {
        share: share.dir.clone(),
        spool: spool.clone(),
        clock: Arc::clone(&clock),
        space: Arc::clone(&space),
        scope: Arc::clone(&scope),
        health: Arc::clone(&health),
        retention,
        rescan_every: share.rescan_every,
        most_waiting: MOST_WAITING,
    };
    match share.source {
        SourceKind::Watch => {
            tasks.spawn(capture.run(Watch::new(share.dir.clone(), scope)?, stop.clone()));
        }
        SourceKind::Poll { every, settle } => {
            tasks.spawn(capture.run(Poll::new(share.dir.clone(), scope, every, settle), stop.clone()));
        }
    }
    tasks.spawn(uploader(&config, &identity, &clock, &spool, &health)?.run(stop.clone()));

    let (reports, reported) = newest::queue(MOST_REPORTS);
    let (desired, wanted) = newest::queue(MOST_WISHES);
    let host = setup::host(&config, &identity).await?;
    let reported = setup::watch(host.as_ref(), reported, &store, &clock, &health, &stop, &mut tasks);
    let (round_trip, round_trips) = round_trip::channel();
    let lan = LanSide {
        host,
        parts: lan_parts(&config, &identity, &clock, store, reports, &health),
        wanted,
        hold: None,
        stop: stop.clone(),
    };
    tasks.spawn(lan.run_on(&config, round_trip)?);

    let shadow = ShadowSync {
        endpoint: Endpoint {
            host: config.mqtt_host.clone(),
            port: config.mqtt_port,
            thing: config.home.thing.clone(),
            tls: Arc::clone(&identity.tls),
            interface: config.wan_interface.clone(),
        },
        clock: Arc::clone(&clock),
        status: StatusSource::new(spool, clock, identity, space, Arc::clone(&health)),
        reports: reported,
        desired,
        round_trips,
        health,
    };
    tasks.spawn(shadow.run(stop.clone()));
    tracing::info!(thing.name = %config.home.thing, "the agent runs");
    lifecycle::run_to_end(tasks, stop).await
}

/// Holds the LAN while no agent does: whoever stands in front of the box is served, the cloud waits.
pub async fn run_lan_alone(config: Config, hold: Hold) -> anyhow::Result<()> {
    let clock = Clock::system();
    let store = Store::open(&config.home.state_dir)?;
    timekeeper::recall(&clock, &store).await;
    let identity = Identity::load(&config.home, &config.ca_file, &clock)?;
    let health = Health::new(Arc::clone(&clock));
    // The agent's next start reports.
    let (reports, _unheard) = newest::queue(1);
    let (_cloud, wanted) = newest::queue(1);
    let lan = LanSide {
        host: setup::host(&config, &identity).await?,
        parts: lan_parts(&config, &identity, &clock, store, reports, &health),
        wanted,
        hold: Some(hold),
        stop: CancellationToken::new(),
    };
    // Nobody answers for the cloud.
    let (round_trip, _) = round_trip::channel();
    lan.run_on(&config, round_trip)?.await
}

fn lan_parts(
    config: &Config,
    identity: &Identity,
    clock: &Arc<Clock>,
    store: Store,
    reports: newest::Sender<Value>,
    health: &Arc<Health>,
) -> Parts {
    let reader = Reader {
        thing: config.home.thing.clone(),
        sealing: identity.sealing.clone(),
        reserved: config.reserved.clone(),
    };
    Parts {
        journal: Journal(store),
        clock: Arc::clone(clock),
        reader,
        reports,
        health: Arc::clone(health),
        waits: Waits::with(config.lan_pauses),
    }
}

fn uploader(
    config: &Config,
    identity: &Identity,
    clock: &Arc<Clock>,
    spool: &Spool,
    health: &Arc<Health>,
) -> anyhow::Result<Uploader> {
    let thing = &config.home.thing;
    let cap = config.upload_bytes_per_second;
    let patience = Patience::default().under(cap, IN_FLIGHT);
    let http = client(&identity.tls, &patience, config.wan_interface.as_deref())?;
    let credentials =
        CredentialSource::new(http.clone(), &config.credentials_url, &config.role_alias, thing.clone())?;
    let audience = Audience {
        sts_host: config.sts_host.clone(),
        region: config.sts_region.clone(),
        server_id: config.server_id.clone(),
    };
    let session = ApiSession::new(
        http.clone(),
        config.fleet_api.clone(),
        thing.clone(),
        audience,
        Arc::clone(clock),
        spool.clone(),
        credentials,
    );
    Ok(Uploader {
        http,
        patience,
        throttle: cap.map(Throttle::new),
        fleet_api: config.fleet_api.clone(),
        thing: thing.clone(),
        session: Arc::new(session),
        spool: spool.clone(),
        clock: Arc::clone(clock),
        health: Arc::clone(health),
    })
}
