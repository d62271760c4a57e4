//! AWS's documented rate limits, which can be switched on.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

/// Clones share the counts.
#[derive(Clone, Default)]
pub struct Limits {
    on: bool,
    buckets: Arc<Mutex<HashMap<String, Bucket>>>,
}

struct Bucket {
    tokens: f64,
    at: DateTime<Utc>,
}

/// An account's CONNECTs a second, and a client id's.
const CONNECTS: f64 = 500.0;
const CONNECTS_OF_A_CLIENT: f64 = 1.0;
/// `DescribeCertificate`, `ListPrincipalThings` and their like.
const CONTROL_CALLS: f64 = 10.0;
/// From so many counts on, those that no longer matter are forgotten.
const MANY: usize = 1_000;

impl Limits {
    pub fn new(on: bool) -> Self {
        Self { on, buckets: Arc::default() }
    }

    pub fn may_connect(&self, client_id: &str, now: DateTime<Utc>) -> bool {
        self.take("connect", CONNECTS, now)
            && self.take(&format!("connect/{client_id}"), CONNECTS_OF_A_CLIENT, now)
    }

    /// Whether the control plane takes another call of this operation now.
    pub fn may_call(&self, operation: &str, now: DateTime<Utc>) -> bool {
        self.take(operation, CONTROL_CALLS, now)
    }

    fn take(&self, name: &str, a_second: f64, now: DateTime<Utc>) -> bool {
        if !self.on {
            return true;
        }
        let mut buckets = self.buckets.lock();
        // A bucket that had a second's rest is full again, as one that was never asked.
        if buckets.len() >= MANY {
            buckets.retain(|_, bucket| now - bucket.at < TimeDelta::seconds(1));
        }
        let bucket = buckets.entry(name.to_owned()).or_insert(Bucket { tokens: a_second, at: now });
        #[expect(clippy::cast_precision_loss, reason = "milliseconds between two calls are few")]
        let passed = (now - bucket.at).num_milliseconds().max(0) as f64 / 1000.0;
        bucket.tokens = (bucket.tokens + passed * a_second).min(a_second);
        bucket.at = now;
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_connects_once_a_second_when_limits_are_on() {
        let now = DateTime::UNIX_EPOCH;
        let limits = Limits::new(true);
        assert!(limits.may_connect("c", now));
        assert!(!limits.may_connect("c", now + TimeDelta::milliseconds(500)));
        assert!(limits.may_connect("d", now + TimeDelta::milliseconds(500)));
        assert!(limits.may_connect("c", now + TimeDelta::milliseconds(1100)));
        assert!((0..100).all(|_| Limits::new(false).may_connect("c", now)));
    }

    #[test]
    fn an_account_connects_five_hundred_times_a_second_whoever_connects() {
        let limits = Limits::new(true);
        let let_in = |from: i64| {
            let at = DateTime::UNIX_EPOCH + TimeDelta::seconds(from);
            (0..600).filter(|client| limits.may_connect(&format!("{from}-{client}"), at)).count()
        };
        assert_eq!([let_in(0), let_in(1), let_in(2), let_in(60)], [500; 4]);
        assert!(limits.buckets.lock().len() <= MANY + 500, "who came long ago is forgotten");
    }
}
