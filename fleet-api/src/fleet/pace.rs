//! How fast one caller may ask: a bucket for each, on each replica. A client that runs wild is told to
//! wait before it takes the others' time.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};

use crate::{config::PaceConfig, error::ApiError};

/// Callers are known by then, so there are only so many.
pub struct Paces {
    tokens: DefaultKeyedRateLimiter<String>,
    boxes: DefaultKeyedRateLimiter<String>,
    clock: DefaultClock,
}

impl Paces {
    pub fn new(config: PaceConfig) -> Self {
        let quota = |a_second: NonZeroU32| {
            Quota::per_second(a_second)
                .allow_burst(a_second.saturating_mul(NonZeroU32::MIN.saturating_add(1)))
        };
        Self {
            tokens: DefaultKeyedRateLimiter::keyed(quota(config.per_token)),
            boxes: DefaultKeyedRateLimiter::keyed(quota(config.per_box)),
            clock: DefaultClock::default(),
        }
    }

    /// Takes one from a token's bucket, or from that of whoever the token speaks for.
    pub fn token(&self, name: &str) -> Result<(), ApiError> {
        self.take(&self.tokens, name)
    }

    pub fn thing(&self, name: &str) -> Result<(), ApiError> {
        self.take(&self.boxes, name)
    }

    /// Forgets buckets that are full again.
    pub fn forget(&self) {
        self.tokens.retain_recent();
        self.boxes.retain_recent();
    }

    fn take(&self, from: &DefaultKeyedRateLimiter<String>, name: &str) -> Result<(), ApiError> {
        from.check_key(&name.to_owned()).map_err(|early| {
            let wait = early.wait_time_from(self.clock.now());
            ApiError::TooFast(wait.max(Duration::from_secs(1)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_asks_too_fast_is_told_to_wait_and_no_other_is() {
        let one = NonZeroU32::MIN;
        let paces = Paces::new(PaceConfig { per_token: one, per_box: one });

        assert!(paces.token("a").is_ok() && paces.token("a").is_ok());
        // A machine that stands still for a second gives one more.
        let early = (0..20).find_map(|_| paces.token("a").err());
        assert!(matches!(early, Some(ApiError::TooFast(wait)) if wait >= Duration::from_secs(1)));
        assert!(paces.token("b").is_ok());
        assert!(paces.thing("a").is_ok(), "a box may be called like a token");
    }
}
