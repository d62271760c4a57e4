//! How long to wait before the next try: full jitter, so that ten thousand boxes that lost the same
//! line do not come back in the same second.

use std::time::Duration;

use rand::Rng;

/// Counts failures in a row and draws the wait after each.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, failures: 0 }
    }

    /// Anything between nothing and the present ceiling, which doubles with each failure.
    pub fn next_wait(&mut self) -> Duration {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(rand::rng().random_range(0.0..=1.0))
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The most that the next wait may be.
    pub fn ceiling(&self) -> Duration {
        let doubled = 2u32.saturating_pow(self.failures.min(16));
        self.first.saturating_mul(doubled).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_its_limit_and_falls_back_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
        let ceilings: Vec<_> = (0..5)
            .map(|_| {
                let ceiling = backoff.ceiling();
                assert!(backoff.next_wait() <= ceiling);
                ceiling.as_secs()
            })
            .collect();

        assert_eq!(ceilings, [1, 2, 4, 8, 10]);
        backoff.reset();
        assert_eq!(backoff.ceiling(), Duration::from_secs(1));
    }
}
