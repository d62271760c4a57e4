//! Slack on a bad day, on request: calls answered with 429, 503, an error of one's choice, or late.

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Debug, Default)]
pub struct Faults {
    standing: Vec<Standing>,
}

#[derive(Debug)]
struct Standing {
    fault: Fault,
    until: Option<Duration>,
}

/// One arranged failure of the Web API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// A method, `chat.*`, or `*`. Answers by `response_url` and bytes for `upload` count as methods.
    #[serde(default = "every_method")]
    pub method: String,
    pub kind: FaultKind,
    /// How many calls it hits; for ever when absent.
    #[serde(default)]
    pub times: Option<u32>,
    /// How long it stands, in milliseconds of Slack's clock; for ever when absent.
    #[serde(default)]
    pub for_ms: Option<u64>,
    /// Seconds, for `rateLimited`.
    #[serde(default)]
    pub retry_after: Option<u64>,
    /// For `error`: what Slack says.
    #[serde(default)]
    pub error: Option<String>,
    /// For `slow`: milliseconds.
    #[serde(default)]
    pub ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    /// HTTP 429 with Retry-After
    RateLimited,
    /// HTTP 503 with a page, as a broken front end sends it
    Down,
    /// HTTP 200, `ok: false` with `error`
    Error,
    /// answered, only late
    Slow,
}

fn every_method() -> String {
    "*".to_owned()
}

impl Fault {
    fn hits(&self, method: &str) -> bool {
        match self.method.strip_suffix('*') {
            Some(prefix) => method.starts_with(prefix),
            None => self.method == method,
        }
    }

    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.ms.unwrap_or(1000))
    }
}

impl Faults {
    pub fn add(&mut self, now: Duration, fault: Fault) {
        let until = fault.for_ms.map(|ms| now + Duration::from_millis(ms));
        self.standing.push(Standing { fault, until });
    }

    pub fn clear(&mut self) {
        self.standing.clear();
    }

    pub fn standing(&mut self, now: Duration) -> Vec<&Fault> {
        self.let_go(now);
        self.standing.iter().map(|standing| &standing.fault).collect()
    }

    /// The fault that hits this call, counted down.
    pub fn strike(&mut self, now: Duration, method: &str) -> Option<Fault> {
        self.let_go(now);
        let at = self.standing.iter().position(|standing| standing.fault.hits(method))?;
        let fault = self.standing[at].fault.clone();
        if let Some(left) = &mut self.standing[at].fault.times {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.standing.remove(at);
            }
        }
        Some(fault)
    }

    /// What has had its time is over.
    fn let_go(&mut self, now: Duration) {
        self.standing.retain(|standing| standing.until.is_none_or(|until| now < until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Duration = Duration::from_secs(1_700_000_000);

    fn fault(told: serde_json::Value) -> Fault {
        serde_json::from_value(told).unwrap()
    }

    #[test]
    fn a_fault_hits_its_methods_as_often_as_it_was_asked_to() {
        let mut faults = Faults::default();
        let told =
            serde_json::json!({"method": "chat.*", "kind": "rateLimited", "times": 2, "retryAfter": 7});
        faults.add(NOON, fault(told));

        assert!(faults.strike(NOON, "views.open").is_none());
        assert_eq!(faults.strike(NOON, "chat.update").unwrap().retry_after, Some(7));
        assert!(faults.strike(NOON, "chat.postMessage").is_some());
        assert!(faults.strike(NOON, "chat.postMessage").is_none());
    }

    #[test]
    fn an_outage_is_over_after_its_time() {
        let mut faults = Faults::default();
        faults.add(NOON, fault(serde_json::json!({"kind": "down", "forMs": 60_000})));

        assert!(faults.strike(NOON + Duration::from_millis(59_999), "chat.update").is_some());
        assert_eq!(faults.standing(NOON).len(), 1);
        assert!(faults.strike(NOON + Duration::from_mins(1), "chat.update").is_none());
        assert!(faults.standing(NOON + Duration::from_mins(1)).is_empty());
    }
}
