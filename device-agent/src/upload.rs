//! Sends what the spool holds and drops an entry only against a receipt that agrees with it in every
//! field. Oldest first; one place is always the newest's, which a backlog of days must not hold up.

mod pace;
pub mod throttle;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use chrono::SecondsFormat;
use device_model::{
    thing_name::ThingName,
    upload::{
        CLOCK_HEADER, DIGEST_HEADER, OBSERVED_AT_HEADER, PATH_HEADER, Receipt, SEQUENCE_HEADER, UploadId,
    },
};
use futures::{Stream, StreamExt, stream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    api_session::ApiSession,
    capture::{
        complete::Body,
        sealed::{BrokenSeal, SealedFile},
        spool::{BodyError, Entry, Spool, aside::Aside},
    },
    clients::{IN_FLIGHT, Patience},
    clock::Clock,
    failure::Failure,
    health::Health,
    store::StoreError,
    upload::{
        pace::{Lane, Pace, Unsettled},
        throttle::Throttle,
    },
};

/// After 403 nothing but a person helps; the box asks now and then whether one has.
const REFUSED_WAIT: Duration = Duration::from_mins(10);
/// Someone else may put an entry back: `device-agent retry`.
const LOOK_EVERY: Duration = Duration::from_mins(1);

pub struct Uploader {
    pub http: reqwest::Client,
    pub patience: Patience,
    /// What all uploads together may send.
    pub throttle: Option<Throttle>,
    pub fleet_api: Url,
    pub thing: ThingName,
    pub session: Arc<ApiSession>,
    pub spool: Spool,
    pub clock: Arc<Clock>,
    pub health: Arc<Health>,
}

enum Outcome {
    Received(Receipt),
    Failed(Failure),
    /// The login raised the count, so the entry has another number now and is found under that.
    Renumbered,
    /// The entry itself cannot be read any more.
    Torn(String),
    Store(StoreError),
}

impl Uploader {
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let this = Arc::new(self);
        let mut pace = Pace::new();
        let mut tasks = JoinSet::new();
        loop {
            let next = this.fill(&mut pace, &mut tasks).await?;
            tokio::select! {
                () = stop.cancelled() => return this.settle(&mut pace).await,
                () = this.spool.wait_for_more() => {}
                () = sleep(LOOK_EVERY) => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
                Some(ended) = tasks.join_next() => {
                    let mut all = Some(ended);
                    while let Some(ended) = all {
                        let (entry, outcome) = ended?;
                        this.conclude(&mut pace, &entry, outcome).await?;
                        all = tasks.try_join_next();
                    }
                }
            }
        }
    }

    /// Starts what may be sent now. Answers when to look again, if anything waits for its time.
    async fn fill(
        self: &Arc<Self>,
        pace: &mut Pace,
        tasks: &mut JoinSet<(Entry, Outcome)>,
    ) -> anyhow::Result<Option<Instant>> {
        let now = Instant::now();
        if pace.unsettled.due.is_some_and(|due| due <= now) {
            self.settle(pace).await?;
        }
        if let Some(until) = pace.paused_until {
            if now < until {
                return Ok(earliest(Some(until), pace.unsettled.due));
            }
            pace.paused_until = None;
        }
        let mut next = pace.unsettled.due;
        let waiting = match self.candidates(pace).await {
            Ok(waiting) => waiting,
            Err(error) => {
                pace.wait_for_store(error)?;
                return Ok(pace.paused_until);
            }
        };
        for (lane, entry) in waiting {
            if !pace.has_room(lane) || pace.is_sent(entry.sequence) {
                continue;
            }
            match pace.deferred.get(&entry.sequence) {
                Some((until, _)) if now < *until => next = earliest(next, Some(*until)),
                _ => {
                    pace.begins(lane, entry.sequence);
                    let this = Arc::clone(self);
                    tasks.spawn(async move {
                        let outcome = this.send(&entry).await;
                        (entry, outcome)
                    });
                }
            }
        }
        Ok(next)
    }

    /// What may be sent next: for each lane enough, though some are on their way or have to wait.
    async fn candidates(&self, pace: &Pace) -> Result<Vec<(Lane, Entry)>, StoreError> {
        let passed_over = pace.in_flight.len() + pace.unsettled.receipts.len() + pace.deferred.len();
        let room = |lane, places| if pace.has_room(lane) { passed_over + places } else { 0 };
        let (newest, oldest) = tokio::try_join!(
            self.spool.newest(room(Lane::Newest, 1)),
            self.spool.waiting(room(Lane::Oldest, IN_FLIGHT)),
        )?;
        let newest = newest.into_iter().map(|entry| (Lane::Newest, entry));
        Ok(newest.chain(oldest.into_iter().map(|entry| (Lane::Oldest, entry))).collect())
    }

    async fn conclude(&self, pace: &mut Pace, entry: &Entry, outcome: Outcome) -> anyhow::Result<()> {
        pace.ended(entry.sequence);
        match &outcome {
            Outcome::Received(_) => {
                Health::set(&self.health.refused, false);
                self.health.line_is(true);
            }
            Outcome::Failed(Failure::Forbidden) => {
                Health::set(&self.health.refused, true);
                self.health.line_is(true);
            }
            Outcome::Failed(Failure::Line(_)) => self.health.line_is(false),
            _ => {}
        }
        let failure = match outcome {
            Outcome::Received(receipt) => {
                pace.succeeded(entry.sequence);
                tracing::info!(
                    upload.id = %receipt.upload_id,
                    size_bytes = entry.size,
                    sequence = entry.sequence,
                    "the cloud has it"
                );
                pace.unsettled.add(entry.sequence, receipt);
                return Ok(());
            }
            Outcome::Renumbered => return Ok(()),
            Outcome::Store(error) => return pace.wait_for_store(error),
            Outcome::Torn(reason) => return self.set_aside(pace, entry, Aside::Torn, reason).await,
            Outcome::Failed(failure) => failure,
        };
        let wait = match &failure {
            Failure::Unfit(_) => {
                return self.set_aside(pace, entry, Aside::Refused, failure.to_string()).await;
            }
            Failure::Forbidden => REFUSED_WAIT,
            Failure::Busy { retry_after, .. } => {
                // Not before it is asked for; and a cloud that goes on asking is come back to less often.
                retry_after.unwrap_or_default() + pace.wait()
            }
            Failure::Unauthorized | Failure::Line(_) => pace.wait(),
            Failure::Unusable(_) | Failure::Local(_) => pace.step_back(entry.sequence),
        };
        pace.pause(wait);
        pace.tell(&failure);
        Ok(())
    }

    /// Drops what was received from the spool. If the power goes before that, it is sent once more and
    /// has the same receipt.
    async fn settle(&self, pace: &mut Pace) -> anyhow::Result<()> {
        match self.spool.settle(pace.unsettled.receipts.clone().into_iter().collect()).await {
            Ok(()) => {
                pace.unsettled = Unsettled::default();
                Ok(())
            }
            Err(error) => {
                pace.wait_for_store(error)?;
                pace.unsettled.due = pace.paused_until;
                Ok(())
            }
        }
    }

    async fn set_aside(
        &self,
        pace: &mut Pace,
        entry: &Entry,
        why: Aside,
        reason: String,
    ) -> anyhow::Result<()> {
        pace.deferred.remove(&entry.sequence);
        tracing::error!(
            sequence = entry.sequence,
            size_bytes = entry.size,
            error = reason,
            "set an entry aside that cannot be sent as it is"
        );
        match self.spool.quarantine(entry.sequence, why, reason).await {
            Ok(()) => Ok(()),
            Err(error) => {
                pace.defer(entry.sequence);
                pace.wait_for_store(error)
            }
        }
    }

    async fn send(&self, entry: &Entry) -> Outcome {
        let mut tried_anew = false;
        loop {
            let token = match self.session.token().await {
                Ok(token) => token,
                Err(failure) => return Outcome::Failed(failure),
            };
            match self.put(entry, &token).await {
                Outcome::Failed(Failure::Unauthorized) => {
                    self.session.refused(&token).await;
                    if tried_anew {
                        return Outcome::Failed(Failure::Unauthorized);
                    }
                    tried_anew = true;
                }
                outcome => return outcome,
            }
        }
    }

    async fn put(&self, entry: &Entry, token: &str) -> Outcome {
        let torn = Arc::new(AtomicBool::new(false));
        let body = match self.spool.body(entry.sequence).await {
            Ok(Some(Body::Inline(content))) => self.slowed(content),
            Ok(Some(Body::File(copy))) => match open_copy(&copy).await {
                Ok(file) => self.slowed_stream(copy.stream(file, Arc::clone(&torn))),
                Err(outcome) => return outcome,
            },
            Ok(None) => return Outcome::Renumbered,
            Err(BodyError::Torn(seal)) => return Outcome::Torn(seal.to_string()),
            Err(BodyError::Store(error)) => return Outcome::Store(error),
        };
        let id = UploadId::of(&self.thing, &entry.path, entry.hash);
        let url = match self.fleet_api.join(&format!("/v1/uploads/{id}")) {
            Ok(url) => url,
            Err(error) => return Outcome::Failed(Failure::Unusable(error.to_string())),
        };
        // Only now: the login has told the time to a box that did not know it.
        let (observed_at, clock) = self.clock.place(&entry.observed);
        let call = self
            .http
            .put(url)
            .bearer_auth(token)
            .timeout(self.patience.for_upload(entry.size))
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, entry.size)
            .header(DIGEST_HEADER, entry.hash.to_digest_header())
            .header(PATH_HEADER, URL_SAFE_NO_PAD.encode(&entry.path))
            .header(OBSERVED_AT_HEADER, observed_at.to_rfc3339_opts(SecondsFormat::Micros, true))
            .header(CLOCK_HEADER, clock.as_str())
            .header(SEQUENCE_HEADER, entry.sequence)
            .body(body);
        match receipt(call).await {
            Ok(receipt) => match disagreement(&receipt, &self.thing, id, entry) {
                None => Outcome::Received(receipt),
                Some(field) => {
                    Outcome::Failed(Failure::Unusable(format!("the receipt's {field} is not the entry's")))
                }
            },
            // The body broke off because of it, whatever that looked like from outside.
            Err(_) if torn.load(Ordering::Relaxed) => Outcome::Torn(BrokenSeal.to_string()),
            Err(failure) => Outcome::Failed(failure),
        }
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// A body, held back if there is a cap.
impl Uploader {
    fn slowed(&self, content: Vec<u8>) -> reqwest::Body {
        match self.throttle {
            None => content.into(),
            Some(_) => self.slowed_stream(stream::iter([Ok(content)])),
        }
    }

    fn slowed_stream(
        &self,
        content: impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static,
    ) -> reqwest::Body {
        let content = content.map(|chunk| chunk.map(Bytes::from));
        match self.throttle.clone() {
            None => reqwest::Body::wrap_stream(content),
            Some(throttle) => reqwest::Body::wrap_stream(throttle.slowed(content)),
        }
    }
}

/// A copy that is gone or has another size is torn. Whatever else is wrong with it may pass.
async fn open_copy(copy: &SealedFile) -> Result<tokio::fs::File, Outcome> {
    let file = match tokio::fs::File::open(&copy.path).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Outcome::Torn("its copy is gone".to_owned()));
        }
        Err(error) => return Err(unreadable(&error)),
    };
    match file.metadata().await {
        Ok(metadata) if metadata.len() == copy.sealed_len() => Ok(file),
        Ok(_) => Err(Outcome::Torn("its copy has another size".to_owned())),
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &io::Error) -> Outcome {
    Outcome::Failed(Failure::Local(format!("a copy cannot be read: {}", error.kind())))
}

async fn receipt(call: reqwest::RequestBuilder) -> Result<Receipt, Failure> {
    Ok(Failure::unless_ok(call.send().await?)?.json().await?)
}

/// The first field of the receipt that is not as it must be.
fn disagreement(receipt: &Receipt, thing: &ThingName, id: UploadId, entry: &Entry) -> Option<&'static str> {
    let fields = [
        ("uploadId", receipt.upload_id == id),
        ("thing", receipt.thing == *thing),
        ("sha256", receipt.sha256 == entry.hash),
        ("size", receipt.size == entry.size),
        ("versionId", !receipt.version_id.is_empty()),
    ];
    fields.iter().find(|(_, agrees)| !agrees).map(|(field, _)| *field)
}
