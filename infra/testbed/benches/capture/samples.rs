//! Times that were taken, and their order.

use std::time::Duration;

#[derive(Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    pub fn add(&mut self, more: impl IntoIterator<Item = Duration>) {
        self.0.extend(more);
        self.0.sort_unstable();
    }

    pub fn percentile(&self, percent: usize) -> Duration {
        let at = self.0.len().saturating_sub(1) * percent / 100;
        self.0.get(at).copied().unwrap_or_default()
    }

    /// A line of a table: name, p50, p99, and how the p50 stands to another one.
    pub fn row(&self, name: &str, floor: &Self) -> String {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1000.0;
        let times = self.percentile(50).as_secs_f64() / floor.percentile(50).as_secs_f64();
        format!("  {name:<46} {:>8.1} ms {:>8.1} ms {times:>8.2} {:>6}\n", ms(50), ms(99), self.0.len())
    }
}
