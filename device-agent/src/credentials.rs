//! Short-lived AWS credentials for the box's certificate, from IoT Core's credentials provider.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use device_model::thing_name::ThingName;
use serde::Deserialize;
use url::Url;

use crate::{clock::Clock, failure::Failure};

const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Credentials this close to their end are fetched anew.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    pub expiration: DateTime<Utc>,
}

/// Fetches credentials when they are needed. Its owner holds it behind one lock, so there is one
/// renewal at a time.
pub struct CredentialSource {
    http: reqwest::Client,
    url: Url,
    thing: ThingName,
    held: Option<Credentials>,
}

#[derive(Deserialize)]
struct Answer {
    credentials: Credentials,
}

impl CredentialSource {
    pub fn new(
        http: reqwest::Client,
        provider: &Url,
        role_alias: &str,
        thing: ThingName,
    ) -> anyhow::Result<Self> {
        let mut url = provider.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("the credentials URL cannot carry a path"))?
            .pop_if_empty()
            .extend(["role-aliases", role_alias, "credentials"]);
        Ok(Self { http, url, thing, held: None })
    }

    /// Credentials that hold for some minutes yet.
    pub async fn get(&mut self, clock: &Clock) -> Result<Credentials, Failure> {
        if let Some(held) = &self.held
            && held.expiration - clock.now() > AHEAD
        {
            return Ok(held.clone());
        }
        let call = self.http.get(self.url.clone()).header("x-amzn-iot-thingname", self.thing.as_str());
        let answer = Failure::unless_ok(call.timeout(CALL_TIMEOUT).send().await?)?;
        let fresh = answer.json::<Answer>().await?.credentials;
        tracing::debug!(expires_at = %fresh.expiration, "credentials fetched");
        self.held = Some(fresh.clone());
        Ok(fresh)
    }

    /// Forgets what is held: it was refused.
    pub fn forget(&mut self) {
        self.held = None;
    }
}
