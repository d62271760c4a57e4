//! What the app sent, as it came: for a test that looks for what must not reach Slack, or for when it did.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

/// Old calls make room for new ones.
const MOST_CALLS: usize = 10_000;
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// A call of the app's. `response_url`, `upload` and `answer`, what it said to a request of
/// Slack's, are methods too.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    pub method: String,
    /// Since 1970.
    pub at_ms: u64,
    pub status: u16,
    /// Slack's word for why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long after what the user did, for what serves to answer it: a trigger, a response address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    /// Query and body, or the bytes of a file as far as they are text.
    pub body: String,
}

#[derive(Debug, Default)]
pub struct Sent {
    calls: VecDeque<Call>,
    bytes: usize,
}

impl Sent {
    pub fn add(&mut self, call: Call) {
        self.bytes += call.body.len();
        self.calls.push_back(call);
        while self.calls.len() > MOST_CALLS || self.bytes > MOST_BYTES {
            let Some(oldest) = self.calls.pop_front() else { return };
            self.bytes -= oldest.body.len();
        }
    }

    /// Oldest first.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter()
    }
}

/// Milliseconds, for people and tests.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(at_ms: u64, bytes: usize) -> Call {
        let body = "x".repeat(bytes);
        Call { method: "m".to_owned(), at_ms, status: 200, error: None, after_ms: None, body }
    }

    #[test]
    fn old_calls_make_room_for_new_ones() {
        let mut sent = Sent::default();
        sent.add(call(1, MOST_BYTES));
        sent.add(call(2, 1));
        assert_eq!(sent.calls().map(|call| call.at_ms).collect::<Vec<_>>(), [2]);

        for at_ms in 3..=MOST_CALLS as u64 + 2 {
            sent.add(call(at_ms, 0));
        }
        assert_eq!(sent.calls().count(), MOST_CALLS);
        assert_eq!(sent.calls().next().unwrap().at_ms, 3);
    }
}
