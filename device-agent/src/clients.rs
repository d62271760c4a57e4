//! The HTTP clients towards the cloud: our CA, our certificate, no way round.

use std::time::Duration;

use rustls::ClientConfig;

/// How long the far end may keep the box waiting.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub connect: Duration,
    /// An answer that trickles in more slowly than this is a dead line.
    pub answer: Duration,
    /// What an upload may take: this much, and its size at the slowest line that is still a line.
    pub least_upload: Duration,
    pub slowest_bytes_per_second: u64,
}

/// One client for each kind of call.
#[derive(Clone)]
pub struct Clients {
    /// For what is small: the credentials, the login.
    pub calls: reqwest::Client,
    /// For uploads. It has no time-out for reading, which would run while the body is on its way
    /// and cut every slow upload short: each call has a time-out of its own, by its size.
    pub uploads: reqwest::Client,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            least_upload: Duration::from_mins(1),
            slowest_bytes_per_second: 16 * 1024,
        }
    }
}

impl Patience {
    pub fn for_upload(&self, size: u64) -> Duration {
        self.least_upload + Duration::from_secs(size / self.slowest_bytes_per_second.max(1))
    }
}

impl Clients {
    pub fn new(tls: &ClientConfig, patience: &Patience) -> reqwest::Result<Self> {
        let builder = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .connect_timeout(patience.connect)
                .pool_max_idle_per_host(4)
                .tcp_nodelay(true)
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
        };
        Ok(Self { calls: builder().read_timeout(patience.answer).build()?, uploads: builder().build()? })
    }
}
