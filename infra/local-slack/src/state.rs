//! Everything the workspace remembers, behind one lock. In memory: a restart is a fresh workspace.

pub mod faults;
pub mod files;
pub mod people;
pub mod rooms;
pub mod sent;
pub mod tickets;
pub mod views;

use std::time::Duration;

use serde_json::Value;

use self::faults::Faults;
use self::files::Files;
use self::people::People;
use self::rooms::Rooms;
use self::sent::Sent;
use self::tickets::Tickets;
use self::views::Views;

#[derive(Debug)]
pub struct State {
    pub people: People,
    pub rooms: Rooms,
    pub views: Views,
    pub tickets: Tickets,
    pub files: Files,
    pub faults: Faults,
    pub sent: Sent,
    last_micros: u64,
}

impl State {
    pub fn new(now: Duration, app_name: &str, channel_name: &str) -> Self {
        Self {
            people: People::cast(app_name),
            rooms: Rooms::furnished(now, channel_name),
            views: Views::default(),
            tickets: Tickets::default(),
            files: Files::default(),
            faults: Faults::default(),
            sent: Sent::default(),
            last_micros: 0,
        }
    }

    /// A Slack timestamp: seconds with six digits behind the point, never twice the same, so that it
    /// also serves as the message's id.
    pub fn ts(&mut self, now: Duration) -> String {
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.last_micros = micros.max(self.last_micros + 1);
        format!("{}.{:06}", self.last_micros / 1_000_000, self.last_micros % 1_000_000)
    }
}

/// Why Slack refuses a call: the `error` and, for bad arguments, one message a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub error: String,
    pub messages: Vec<String>,
}

impl Refusal {
    pub fn new(error: &str) -> Self {
        Self { error: error.to_owned(), messages: Vec::new() }
    }

    pub fn with(error: &str, messages: Vec<String>) -> Self {
        Self { error: error.to_owned(), messages }
    }

    pub fn missing(argument: &str) -> Self {
        Self::with("invalid_arguments", vec![format!("[ERROR] missing required field: {argument}")])
    }
}

pub type Answer = Result<Value, Refusal>;

/// An id as Slack makes them: a letter for the kind, then ten of `[A-Z0-9]`.
pub fn fresh_id(kind: char) -> String {
    use rand::Rng;
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut rng = rand::rng();
    let tail: String = (0..10).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect();
    format!("{kind}{tail}")
}

/// Random hex, for secrets in addresses and for hashes.
pub fn fresh_hex(bytes: usize) -> String {
    use rand::RngCore;
    let mut raw = vec![0; bytes];
    rand::rng().fill_bytes(&mut raw);
    hex::encode(raw)
}
