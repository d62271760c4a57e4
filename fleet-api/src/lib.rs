//! The fleet API: the control plane that engineers query, Slack acts through and boxes send to.
//!
//! A wish for other LAN settings comes in by HTTP ([`routes`]) or from Slack. Both go through
//! the same door, the verbs of [`fleet`], which judge it and write it down: a change, its first step
//! and an audit entry in one transaction ([`store`] has all the SQL). Then the answer is given. The
//! dispatcher carries the change into the box's shadow, the collector reads back what the box says,
//! and the box's verdict closes the change. Prescriptions flow through into S3 and are written into
//! the ledger; a box proves who it is by its certificate, which AWS vouches for. AWS stands behind
//! the small traits of [`aws`].
//!
//! Replicas share nothing but Postgres and AWS: any of them may be killed at any time.

pub mod auth;
pub mod aws;
pub mod clock;
pub mod config;
pub mod error;
pub mod fleet;
pub mod lifecycle;
pub mod limits;
pub mod metrics;
pub mod openapi;
pub mod request_id;
pub mod router;
pub mod routes;
pub mod server;
pub mod settings;
pub mod slack;
pub mod store;
pub mod telemetry;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use sqlx::{
    Connection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    aws::{bucket::S3Bucket, checkpoints::S3Checkpoints, clients, sts::StsEndpoint},
    clock::SystemClock,
    config::{Config, audit::AuditConfig},
    fleet::{
        Fleet, Parts, Rules,
        audit::{Audit, keeping, keys::Keys},
        collect, dispatch, events,
        oidc::Oidc,
        presence, revocation,
        sealing::PathKeys,
    },
    lifecycle::Tasks,
};

/// All migrations, compiled in.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// To the database, from one replica.
const CONNECTIONS: u32 = 16;
/// A connection that was used this shortly ago is taken to stand still.
const RESTED: Duration = Duration::from_secs(1);
/// How often the dispatcher and the housekeeping look without being nudged.
const EVERY_MINUTE: Duration = Duration::from_mins(1);
/// How often the fleet index is read for what no event came for.
const EVERY_TEN_MINUTES: Duration = Duration::from_mins(10);
/// How often it is looked for revocations that AWS was not told of.
const EVERY_TEN_SECONDS: Duration = Duration::from_secs(10);

/// Serves until a signal comes.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let fleet = connect(&config, CONNECTIONS).await?;
    // First of all: AWS confirms the rules' destination by a call to us, and what comes early can wait here.
    let listener = bind(config.listen).await?;
    let stop = CancellationToken::new();
    let mut tasks = Tasks::new();
    tasks.spawn(dispatch::run(fleet.clone(), EVERY_MINUTE, stop.clone()));
    tasks.spawn(collect::run(fleet.clone(), config.reconcile, config.reconcile_all, stop.clone()));
    tasks.spawn(presence::run(fleet.clone(), EVERY_TEN_MINUTES, stop.clone()));
    tasks.spawn(events::run(fleet.clone(), EVERY_MINUTE, stop.clone()));
    tasks.spawn(revocation::run(fleet.clone(), EVERY_TEN_SECONDS, EVERY_MINUTE, stop.clone()));
    tasks.spawn(keeping::run(fleet.clone(), stop.clone()));
    tasks.spawn({
        let (fleet, stop) = (fleet.clone(), stop.clone());
        async move {
            stop.cancelled().await;
            fleet.finish().await;
            Ok(())
        }
    });
    // What stands below /slack; its loops join the tasks.
    let slack = match &config.slack {
        Some(slack) => slack::start(slack, fleet.clone(), &mut tasks, &stop)?,
        None => Router::new(),
    };
    if let Some(address) = config.metrics_listen {
        tasks.spawn(metrics::serve(bind(address).await?, metrics::install()?, fleet.clone(), stop.clone()));
    }
    let app = router::router(fleet, slack);
    tracing::info!(address = %listener.local_addr()?, "the fleet API listens");
    let stopped = stop.clone();
    tasks.spawn(async move {
        server::serve(listener, app, server::HEADER_TIME, stopped).await;
        Ok(())
    });
    lifecycle::run_until(lifecycle::stop_signal(), tasks, stop).await
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// The fleet on its real foundations; `ready` as for [`database`].
pub async fn connect(config: &Config, ready: u32) -> anyhow::Result<Fleet> {
    let aws = clients::load().await;
    let parts = Parts {
        db: database(&config.database_url, ready)?,
        clock: Arc::new(SystemClock),
        shadows: Arc::new(clients::shadows(&aws)),
        things: Arc::new(clients::things(&aws)),
        sts: Arc::new(StsEndpoint::new(&config.login.sts_url)?),
        bucket: Arc::new(S3Bucket { client: clients::s3(&aws), name: config.bucket.clone() }),
        oidc: config.oidc.clone().map(Oidc::new).transpose()?,
        rules: Rules {
            login: config.login.clone(),
            box_policy: config.box_policy.clone(),
            events: config.events.clone(),
            reserved: config.reserved.clone(),
            change_lifetime: config.change_lifetime,
            path_keys: PathKeys::derive(&config.path_key),
            pace: config.pace,
        },
        audit: audit(&config.audit, &config.bucket, &aws)?,
        nudge: tokio::sync::Notify::new(),
    };
    Ok(Fleet::new(parts))
}

/// What the audit log stands on beside the database.
pub fn audit(config: &AuditConfig, bucket: &str, aws: &aws_config::SdkConfig) -> anyhow::Result<Audit> {
    Ok(Audit {
        keys: Keys::new(&config.key, &config.former)?,
        checkpoints: Arc::new(S3Checkpoints { client: clients::s3_brisk(aws), bucket: bucket.to_owned() }),
        checkpoint_every: config.checkpoint_every,
        retention: config.retention,
    })
}

/// Opens so many connections soon, and more when they are needed: an API whose database is away says so at
/// /readyz. Slack gives up after three seconds, so nobody waits longer for a lock.
pub fn database(url: &str, ready: u32) -> anyhow::Result<PgPool> {
    let options: PgConnectOptions = url.parse().context("DATABASE_URL cannot be used")?;
    let options = options.options([("lock_timeout", "2s"), ("statement_timeout", "10s")]);
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        // Whoever serves has all of them ready, and they are kept: a login gives way after every few rounds of its
        // hash, and takes seconds once there is work to do, for which whoever needs the connection would wait.
        .min_connections(ready)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(5))
        // Whether a connection still stands is asked of those that rested: for the others it is one more
        // way to the database and back.
        .test_before_acquire(false)
        .before_acquire(|connection, of| {
            Box::pin(async move {
                if of.idle_for > RESTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        });
    Ok(pool.connect_lazy_with(options))
}

/// Brings the database up to this version of the program, as its owner, and gives the role that serves what it
/// needs. None: the owner serves, which only a test should do.
pub async fn migrate(url: &str, application_role: Option<&str>) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new().max_connections(1).connect(url).await;
    let pool = pool.context("cannot connect to the database")?;
    MIGRATOR.run(&pool).await.context("the migrations failed")?;
    if let Some(role) = application_role {
        store::grants::give(&pool, role).await.context("the application's role was not given its rights")?;
    }
    Ok(())
}
