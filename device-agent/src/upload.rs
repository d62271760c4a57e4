//! Sends what the spool holds, oldest first, and drops an entry only against a receipt that agrees
//! with it in every field.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::SecondsFormat;
use device_model::{
    thing_name::ThingName,
    upload::{DIGEST_HEADER, OBSERVED_AT_HEADER, PATH_HEADER, Receipt, SEQUENCE_HEADER, UploadId},
};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::{io::ReaderStream, sync::CancellationToken};
use url::Url;

use crate::{
    api_session::ApiSession,
    backoff::Backoff,
    capture::{
        complete::Body,
        spool::{Entry, Spool},
    },
    clients::Patience,
    failure::Failure,
    store::StoreError,
};

const IN_FLIGHT: usize = 4;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(2);
/// After 403 nothing but a person helps; the box asks now and then whether one has.
const REFUSED_WAIT: Duration = Duration::from_mins(10);

pub struct Uploader {
    /// Without a time-out for reading: see [`crate::clients::Clients::uploads`].
    pub http: reqwest::Client,
    pub patience: Patience,
    pub fleet_api: Url,
    pub thing: ThingName,
    pub session: Arc<ApiSession>,
    pub spool: Spool,
}

/// Who is being sent, who must wait, and until when all must.
struct Pace {
    in_flight: HashSet<u64>,
    deferred: HashMap<u64, (Instant, Backoff)>,
    paused_until: Option<Instant>,
    backoff: Backoff,
    /// A refusal is told once, not at each try.
    told: bool,
}

enum Outcome {
    Settled(Receipt),
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
                () = stop.cancelled() => return Ok(()),
                () = this.spool.wait_for_more() => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
                Some(ended) = tasks.join_next() => {
                    let (entry, outcome) = ended?;
                    this.conclude(&mut pace, &entry, outcome).await?;
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
        if let Some(until) = pace.paused_until {
            if now < until {
                return Ok(Some(until));
            }
            pace.paused_until = None;
        }
        let free = IN_FLIGHT.saturating_sub(pace.in_flight.len());
        if free == 0 {
            return Ok(None);
        }
        let mut next: Option<Instant> = None;
        let limit = free + pace.in_flight.len() + pace.deferred.len();
        let mut free = free;
        for entry in self.spool.waiting(limit).await? {
            if free == 0 || pace.in_flight.contains(&entry.sequence) {
                continue;
            }
            match pace.deferred.get(&entry.sequence) {
                Some((until, _)) if now < *until => {
                    next = Some(next.map_or(*until, |next| next.min(*until)));
                }
                _ => {
                    free -= 1;
                    pace.in_flight.insert(entry.sequence);
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

    async fn conclude(&self, pace: &mut Pace, entry: &Entry, outcome: Outcome) -> anyhow::Result<()> {
        pace.in_flight.remove(&entry.sequence);
        let failure = match outcome {
            Outcome::Settled(receipt) => {
                pace.succeeded(entry.sequence);
                tracing::info!(
                    upload.id = %receipt.upload_id,
                    size_bytes = entry.size,
                    sequence = entry.sequence,
                    "the cloud has it"
                );
                return Ok(self.spool.settle(entry.sequence, receipt).await?);
            }
            Outcome::Renumbered => return Ok(()),
            Outcome::Store(error) => return Err(error.into()),
            Outcome::Torn(reason) => return self.set_aside(pace, entry, reason).await,
            Outcome::Failed(failure) => failure,
        };
        let wait = match &failure {
            Failure::Unfit(_) => return self.set_aside(pace, entry, failure.to_string()).await,
            Failure::Forbidden => REFUSED_WAIT,
            Failure::Busy { retry_after, .. } => {
                let jitter = pace.backoff.next_wait();
                retry_after.map_or(jitter, |asked| asked + jitter.min(asked))
            }
            Failure::Unauthorized | Failure::Line(_) => pace.backoff.next_wait(),
            // Maybe only this one: it steps back, so that it cannot hold the others up.
            Failure::Unusable(_) => {
                pace.defer(entry.sequence);
                pace.backoff.next_wait().min(FIRST_WAIT * 5)
            }
        };
        pace.pause(wait);
        pace.tell(&failure);
        Ok(())
    }

    async fn set_aside(&self, pace: &mut Pace, entry: &Entry, reason: String) -> anyhow::Result<()> {
        pace.deferred.remove(&entry.sequence);
        tracing::error!(
            sequence = entry.sequence,
            size_bytes = entry.size,
            error = reason,
            "set an entry aside that will never be taken as it is"
        );
        Ok(self.spool.quarantine(entry.sequence, reason).await?)
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
        let body = match self.spool.body(entry.sequence).await {
            Ok(Some(Body::Inline(content))) => reqwest::Body::from(content),
            Ok(Some(Body::File(path))) => match tokio::fs::File::open(path).await {
                Ok(file) => reqwest::Body::wrap_stream(ReaderStream::new(file)),
                Err(error) => return Outcome::Torn(format!("its content cannot be read: {}", error.kind())),
            },
            Ok(None) => return Outcome::Renumbered,
            Err(error) => return Outcome::Store(error),
        };
        let id = UploadId::of(&self.thing, &entry.path, entry.hash);
        let url = match self.fleet_api.join(&format!("/v1/uploads/{id}")) {
            Ok(url) => url,
            Err(error) => return Outcome::Failed(Failure::Unusable(error.to_string())),
        };
        let observed_at = entry.observed_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let call = self
            .http
            .put(url)
            .bearer_auth(token)
            .timeout(self.patience.for_upload(entry.size))
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, entry.size)
            .header(DIGEST_HEADER, entry.hash.to_digest_header())
            .header(PATH_HEADER, URL_SAFE_NO_PAD.encode(&entry.path))
            .header(OBSERVED_AT_HEADER, observed_at)
            .header(SEQUENCE_HEADER, entry.sequence)
            .body(body);
        match receipt(call).await {
            Ok(receipt) => match disagreement(&receipt, &self.thing, id, entry) {
                None => Outcome::Settled(receipt),
                Some(field) => {
                    Outcome::Failed(Failure::Unusable(format!("the receipt's {field} is not the entry's")))
                }
            },
            Err(failure) => Outcome::Failed(failure),
        }
    }
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

impl Pace {
    fn new() -> Self {
        Self {
            in_flight: HashSet::new(),
            deferred: HashMap::new(),
            paused_until: None,
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
            told: false,
        }
    }

    fn succeeded(&mut self, sequence: u64) {
        self.deferred.remove(&sequence);
        self.backoff.reset();
        self.paused_until = None;
        self.told = false;
    }

    fn defer(&mut self, sequence: u64) {
        let fresh = || (Instant::now(), Backoff::new(FIRST_WAIT * 5, LONGEST_WAIT * 5));
        let (until, backoff) = self.deferred.entry(sequence).or_insert_with(fresh);
        *until = Instant::now() + backoff.next_wait();
    }

    fn pause(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        self.paused_until = Some(self.paused_until.map_or(until, |earlier| earlier.max(until)));
    }

    fn tell(&mut self, failure: &Failure) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        match failure {
            Failure::Forbidden => tracing::error!("the fleet API refuses this box; its uploads wait"),
            other => tracing::warn!(error = %other, "uploads wait; they are tried again"),
        }
    }
}
