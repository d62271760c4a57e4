//! The verbs: the one door for HTTP and for Slack. Each judges, then writes down what is to be and
//! who asked for it in one transaction; what must reach a box is carried afterwards.
//!
//! A wish becomes a row ([`changes`]), [`dispatch`] carries it into the box's shadow, [`collect`]
//! reads back what the box says, and its verdict closes the row. [`enrolment`], [`login`] and
//! [`revocation`] say who a box is; [`uploads`] takes its prescriptions into the bucket and the ledger.

pub mod actor;
mod again;
pub mod approval;
pub mod audit;
pub mod change;
pub mod changes;
pub mod collect;
pub mod device;
pub mod devices;
pub mod dispatch;
mod drift;
pub mod enrolment;
pub mod events;
pub mod feed;
mod foreign;
mod judgement;
pub mod ledger;
pub mod login;
pub mod oidc;
pub mod pace;
pub mod pages;
pub mod pharmacies;
pub mod places;
pub mod presence;
mod recovered;
pub mod revocation;
pub mod sealing;
pub mod secret;
pub mod stats;
pub mod status;
pub mod tokens;
pub mod uploads;
mod withdrawal;

use std::sync::Arc;

use device_model::lan::ReservedRanges;
use sqlx::PgPool;
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::{
    aws::{bucket::Bucket, shadows::Shadows, sts::Sts, things::Things},
    clock::Clock,
    config::{EventsConfig, LoginConfig, PaceConfig},
    error::ApiError,
};

/// The fleet. Cheap to clone; replicas share nothing but Postgres and AWS.
#[derive(Clone)]
pub struct Fleet {
    parts: Arc<Parts>,
    under_way: TaskTracker,
    /// A seat for each follower of the feed.
    followers: Arc<Semaphore>,
    pub(crate) paces: Arc<pace::Paces>,
    pub(crate) pages: Arc<pages::Pages>,
}

/// What the verbs stand on.
pub struct Parts {
    pub db: PgPool,
    pub clock: Arc<dyn Clock>,
    pub shadows: Arc<dyn Shadows>,
    pub things: Arc<dyn Things>,
    pub sts: Arc<dyn Sts>,
    pub bucket: Arc<dyn Bucket>,
    /// None: no identity provider is connected.
    pub oidc: Option<oidc::Oidc>,
    pub rules: Rules,
    pub audit: audit::Audit,
    /// Wakes the dispatcher.
    pub nudge: Notify,
}

/// What configuration decides.
#[derive(Clone)]
pub struct Rules {
    pub login: LoginConfig,
    pub box_policy: String,
    pub events: EventsConfig,
    pub reserved: ReservedRanges,
    /// How long a change waits to be taken up.
    pub change_lifetime: std::time::Duration,
    pub path_keys: sealing::PathKeys,
    pub pace: PaceConfig,
}

impl Fleet {
    pub fn new(parts: Parts) -> Self {
        let followers = Arc::new(Semaphore::new(feed::FOLLOWERS));
        let paces = Arc::new(pace::Paces::new(parts.rules.pace));
        Self {
            parts: Arc::new(parts),
            under_way: TaskTracker::new(),
            followers,
            paces,
            pages: Arc::default(),
        }
    }

    pub fn db(&self) -> &PgPool {
        &self.parts.db
    }

    pub fn clock(&self) -> &dyn Clock {
        &*self.parts.clock
    }

    /// Networks that no box may have on its pharmacy's side.
    pub fn reserved(&self) -> &ReservedRanges {
        &self.parts.rules.reserved
    }

    /// Does to its end what must not stop half-way, though whoever asked hangs up.
    async fn see_through<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        let work = self.under_way.spawn(work.in_current_span());
        work.await.map_err(|error| ApiError::Internal(error.into())).flatten()
    }

    /// Waits for what outlived its request.
    pub async fn finish(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    /// True once the process ends: nothing that can be taken up again later goes on.
    fn is_finishing(&self) -> bool {
        self.under_way.is_closed()
    }

    /// How many follow the feed.
    pub fn followers_now(&self) -> usize {
        feed::FOLLOWERS - self.followers.available_permits()
    }

    /// Resolves when a change may be waiting to be carried.
    pub async fn nudged(&self) {
        self.parts.nudge.notified().await;
    }
}

/// Whether what the verbs lean on answers.
impl Fleet {
    pub async fn postgres_ready(&self) -> anyhow::Result<()> {
        sqlx::Connection::ping(&mut *self.db().acquire().await?).await?;
        Ok(())
    }

    pub async fn bucket_ready(&self) -> anyhow::Result<()> {
        self.parts.bucket.ready().await
    }

    pub async fn shadows_ready(&self) -> anyhow::Result<()> {
        // No box is called so; that there is no such shadow is an answer.
        self.parts.shadows.read(&"readyz".parse()?).await.map(drop)
    }
}
