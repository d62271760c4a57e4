//! Slack on a bad day, on request: calls answered with 429, 503, an error of one's choice, or late.

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Debug, Default)]
pub struct Faults {
    standing: Vec<Fault>,
}

/// One arranged failure of the Web API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// A method, `chat.*`, or `*`.
    #[serde(default = "every_method")]
    pub method: String,
    pub kind: FaultKind,
    /// How many calls it hits; for ever when absent.
    #[serde(default)]
    pub times: Option<u32>,
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
    pub fn add(&mut self, fault: Fault) {
        self.standing.push(fault);
    }

    pub fn clear(&mut self) {
        self.standing.clear();
    }

    pub fn standing(&self) -> &[Fault] {
        &self.standing
    }

    /// The fault that hits this call, counted down.
    pub fn strike(&mut self, method: &str) -> Option<Fault> {
        let at = self.standing.iter().position(|fault| fault.hits(method))?;
        let fault = self.standing[at].clone();
        if let Some(left) = &mut self.standing[at].times {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.standing.remove(at);
            }
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_its_methods_as_often_as_it_was_asked_to() {
        let mut faults = Faults::default();
        let fault =
            serde_json::json!({"method": "chat.*", "kind": "rateLimited", "times": 2, "retryAfter": 7});
        faults.add(serde_json::from_value(fault).unwrap());

        assert!(faults.strike("views.open").is_none());
        assert_eq!(faults.strike("chat.update").unwrap().retry_after, Some(7));
        assert!(faults.strike("chat.postMessage").is_some());
        assert!(faults.strike("chat.postMessage").is_none());
    }
}
