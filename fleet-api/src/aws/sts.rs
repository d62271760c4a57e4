//! STS, asked with a request that a box signed and we rebuilt. We send no credentials of our own.

use std::time::Duration;

use async_trait::async_trait;
use device_model::login;
use http::{HeaderMap, HeaderName, HeaderValue};

const TIMEOUT: Duration = Duration::from_secs(3);
/// A real answer has less than 1 KB.
const MAX_ANSWER: usize = 16 * 1024;

#[derive(Debug, Clone)]
pub struct StsAnswer {
    pub status: u16,
    pub body: Vec<u8>,
}

#[async_trait]
pub trait Sts: Send + Sync + 'static {
    /// Sends the `GetCallerIdentity` whose headers were rebuilt; method, path and body are fixed.
    async fn get_caller_identity(&self, headers: &[(&'static str, String)]) -> anyhow::Result<StsAnswer>;
}

/// The one address that is ever asked.
pub struct StsEndpoint {
    http: reqwest::Client,
    url: url::Url,
}

impl StsEndpoint {
    pub fn new(url: &url::Url) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let mut url = url.clone();
        url.set_path(login::PATH);
        url.set_query(None);
        Ok(Self { http, url })
    }
}

#[async_trait]
impl Sts for StsEndpoint {
    #[tracing::instrument(name = "aws.sts.get_caller_identity", skip_all)]
    async fn get_caller_identity(&self, headers: &[(&'static str, String)]) -> anyhow::Result<StsAnswer> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        }
        let request = self.http.post(self.url.clone()).headers(map).body(login::BODY);
        let mut response = request.send().await?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER {
                anyhow::bail!("STS answered with more than {MAX_ANSWER} bytes");
            }
            body.extend_from_slice(&chunk);
        }
        Ok(StsAnswer { status, body })
    }
}
