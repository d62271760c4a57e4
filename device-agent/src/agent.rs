//! Puts the agent together from its configuration and runs it.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use device_model::lan::ReservedRanges;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    api_session::{ApiSession, signature::Audience},
    capture::{Capture, spool::Spool},
    clock::Clock,
    config::{Config, LanBackend},
    credentials::CredentialSource,
    identity::Identity,
    lan::{Applier, desire::Reader, fake::FakeLan, journal::Journal},
    lifecycle,
    shadow::{ShadowSync, mqtt::Endpoint},
    status::StatusSource,
    store::Store,
    upload::Uploader,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// An answer that trickles in more slowly than this is a dead line.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const RESCAN_EVERY: Duration = Duration::from_mins(1);

/// Runs the box's agent until it is told to end. It needs its folders and its identity, not the cloud.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let clock = Clock::system();
    std::fs::read_dir(&config.share_dir)
        .with_context(|| format!("the share {} cannot be read", config.share_dir.display()))?;
    let store = Store::open(&config.home.state_dir)?;
    let identity = Arc::new(Identity::load(&config.home, &config.ca_file)?);
    let spool = Spool::open(store.clone(), &config.home.state_dir)
        .await
        .with_context(|| format!("the state directory {} is of no use", config.home.state_dir.display()))?;
    let http = http_client(&identity)?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();

    let capture = Capture {
        share: config.share_dir.clone(),
        spool: spool.clone(),
        clock: Arc::clone(&clock),
        rescan_every: RESCAN_EVERY,
    };
    tasks.spawn(capture.run(stop.clone()));
    tasks.spawn(uploader(&config, &http, &clock, &spool)?.run(stop.clone()));

    let (reports, reported) = mpsc::unbounded_channel();
    let (desired, wanted) = mpsc::unbounded_channel();
    let LanBackend::Fake { folder } = &config.lan;
    let interface = FakeLan::open(folder)
        .with_context(|| format!("the fake LAN in {} is of no use", folder.display()))?;
    let reader = Reader {
        thing: config.home.thing.clone(),
        sealing: identity.sealing.clone(),
        reserved: ReservedRanges::default(),
    };
    let applier = Applier::resume(interface, Journal(store), Arc::clone(&clock), reader, reports).await?;
    tasks.spawn(applier.run(wanted, stop.clone()));

    let shadow = ShadowSync {
        endpoint: Endpoint {
            host: config.mqtt_host.clone(),
            port: config.mqtt_port,
            thing: config.home.thing.clone(),
            tls: Arc::clone(&identity.tls),
        },
        clock: Arc::clone(&clock),
        status: StatusSource { spool, clock, identity, state_dir: config.home.state_dir.clone(), sent: None },
        reports: reported,
        desired,
    };
    tasks.spawn(shadow.run(stop.clone()));
    tracing::info!(thing.name = %config.home.thing, "the agent runs");
    lifecycle::run_to_end(tasks, stop).await
}

fn uploader(
    config: &Config,
    http: &reqwest::Client,
    clock: &Arc<Clock>,
    spool: &Spool,
) -> anyhow::Result<Uploader> {
    let thing = &config.home.thing;
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
        http: http.clone(),
        fleet_api: config.fleet_api.clone(),
        thing: thing.clone(),
        session: Arc::new(session),
        spool: spool.clone(),
    })
}

/// One client for the credentials provider and the API: our CA, our certificate, no way round.
fn http_client(identity: &Identity) -> anyhow::Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured((*identity.tls).clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .pool_max_idle_per_host(4)
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?;
    Ok(client)
}
