//! The box's session at the fleet API: nonce, signed login, bearer token. Opened when there is
//! something to send, renewed ahead of its end or when it is refused, one renewal at a time.

pub mod signature;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use device_model::{
    login::{LoginAnswer, NonceAnswer, NonceRequest},
    thing_name::ThingName,
};
use tokio::sync::Mutex;
use url::Url;

use crate::{
    api_session::signature::{Audience, sign_in},
    capture::spool::Spool,
    clock::Clock,
    credentials::CredentialSource,
    failure::Failure,
};

const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// A session this close to its end is renewed.
const AHEAD: Duration = Duration::from_mins(1);

pub struct ApiSession {
    http: reqwest::Client,
    fleet_api: Url,
    thing: ThingName,
    audience: Audience,
    clock: Arc<Clock>,
    spool: Spool,
    state: Mutex<State>,
}

struct State {
    credentials: CredentialSource,
    session: Option<Session>,
}

#[derive(Clone)]
struct Session {
    token: String,
    /// By the monotonic clock: the box's time of day may jump.
    renew_at: Instant,
}

impl ApiSession {
    pub fn new(
        http: reqwest::Client,
        fleet_api: Url,
        thing: ThingName,
        audience: Audience,
        clock: Arc<Clock>,
        spool: Spool,
        credentials: CredentialSource,
    ) -> Self {
        Self {
            http,
            fleet_api,
            thing,
            audience,
            clock,
            spool,
            state: Mutex::new(State { credentials, session: None }),
        }
    }

    /// A token that holds. Who comes while another logs in waits and gets the same one.
    pub async fn token(&self) -> Result<String, Failure> {
        let mut state = self.state.lock().await;
        if let Some(session) = &state.session
            && Instant::now() < session.renew_at
        {
            return Ok(session.token.clone());
        }
        let session = match self.log_in(&mut state.credentials).await {
            Ok(session) => session,
            // What is unfit here is the login; it must not be taken for the file that waits for it.
            Err(Failure::Unfit(status)) => return Err(Failure::Unusable(format!("login: {status}"))),
            Err(failure) => return Err(failure),
        };
        let token = session.token.clone();
        state.session = Some(session);
        Ok(token)
    }

    /// Ends the session that this token belongs to: the API refused it. A newer one stays.
    pub async fn refused(&self, token: &str) {
        let mut state = self.state.lock().await;
        if state.session.as_ref().is_some_and(|session| session.token == token) {
            state.session = None;
        }
    }

    async fn log_in(&self, credentials: &mut CredentialSource) -> Result<Session, Failure> {
        // The nonce comes first: its answer tells the cloud's time, by which all else is judged.
        let nonce: NonceAnswer =
            self.post("/v1/device/nonce", &NonceRequest { thing: self.thing.clone() }).await?;
        self.clock.learn(nonce.now);
        let held = credentials.get(&self.clock).await?;
        let now = self.clock.now();
        let request = sign_in(&self.audience, &self.thing, &nonce.nonce, &held, now)
            .map_err(|error| Failure::Unusable(format!("the login cannot be signed: {error}")))?;
        let answer: LoginAnswer = match self.post("/v1/device/login", &request).await {
            Err(failure @ (Failure::Unauthorized | Failure::Forbidden | Failure::Unfit(_))) => {
                credentials.forget();
                return Err(failure);
            }
            other => other?,
        };
        self.spool
            .raise_sequence(answer.sequence_floor)
            .await
            .map_err(|error| Failure::Unusable(format!("the store failed: {error}")))?;
        let life = (answer.expires_at - self.clock.now()).to_std().unwrap_or_default();
        tracing::info!(thing.name = %self.thing, "logged in at the fleet API");
        Ok(Session {
            token: answer.token,
            renew_at: Instant::now() + life.saturating_sub(AHEAD.min(life / 4)),
        })
    }

    async fn post<A, T>(&self, path: &str, body: &A) -> Result<T, Failure>
    where
        A: serde::Serialize,
        T: serde::de::DeserializeOwned,
    {
        let url = self.fleet_api.join(path).map_err(|error| Failure::Unusable(error.to_string()))?;
        let call = self.http.post(url).json(body).timeout(CALL_TIMEOUT);
        Ok(Failure::unless_ok(call.send().await?)?.json().await?)
    }
}
