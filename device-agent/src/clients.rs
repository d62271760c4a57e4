//! The HTTP client towards the cloud: our CA, our certificate, our line, no way round.

use std::{num::NonZeroU64, time::Duration};

use rustls::ClientConfig;

/// So many uploads are on their way at once.
pub const IN_FLIGHT: usize = 8;

/// How long the far end may keep the box waiting.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub connect: Duration,
    /// What an upload may take: this much, and its size at the slowest line that is still a line.
    pub least_upload: Duration,
    pub slowest_bytes_per_second: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            least_upload: Duration::from_mins(1),
            slowest_bytes_per_second: 16 * 1024,
        }
    }
}

impl Patience {
    /// For uploads of which `at_once` share a line that is capped.
    #[must_use]
    pub fn under(self, cap: Option<NonZeroU64>, at_once: usize) -> Self {
        // Each may get less than its share for a while.
        let share = cap.map_or(u64::MAX, |cap| cap.get() / (2 * at_once as u64));
        Self { slowest_bytes_per_second: self.slowest_bytes_per_second.min(share), ..self }
    }

    pub fn for_upload(&self, size: u64) -> Duration {
        self.least_upload + Duration::from_secs(size / self.slowest_bytes_per_second.max(1))
    }
}

/// The client for every call, so that a login and the upload behind it share a connection. It has no
/// time-out for reading, which would run while a body is on its way and cut every slow upload short: each
/// call has a time-out of its own, an upload by its size.
///
/// `interface`: the only one that anything may leave by.
pub fn client(
    tls: &ClientConfig,
    patience: &Patience,
    interface: Option<&str>,
) -> reqwest::Result<reqwest::Client> {
    let builder = match interface {
        Some(name) => reqwest::Client::builder().interface(name),
        None => reqwest::Client::builder(),
    };
    builder
        .tls_backend_preconfigured(tls.clone())
        .connect_timeout(patience.connect)
        .pool_max_idle_per_host(IN_FLIGHT)
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
}
