//! Faults on request: a service refuses, delays or fails until told otherwise, so that its users can be tested.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    Iot,
    IotData,
    Sts,
    S3,
    Mqtt,
    Credentials,
}

/// What happens instead of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed without an answer, and nothing is done.
    Refuse,
    /// What was asked for is done, and the connection is closed in the middle of the answer.
    Cut,
    /// The answer comes later.
    Delay(Duration),
    /// An HTTP error of this status.
    Status(u16),
}

/// The faults that stand now. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    standing: Arc<Mutex<HashMap<Service, Standing>>>,
    hits: Arc<Mutex<BTreeMap<Service, u64>>>,
    presence: Arc<Mutex<PresenceFaults>>,
}

#[derive(Debug)]
struct Standing {
    fault: Fault,
    until: Option<Instant>,
    /// How many more requests it hits.
    left: Option<u32>,
}

#[derive(Debug, Default)]
struct PresenceFaults {
    duplicate: bool,
    disorder: bool,
    held: VecDeque<(String, String)>,
}

impl Faults {
    pub fn set(&self, service: Service, fault: Fault, lasts: Option<Duration>, times: Option<u32>) {
        let until = lasts.map(|lasts| Instant::now() + lasts);
        self.standing.lock().insert(service, Standing { fault, until, left: times });
    }

    pub fn clear(&self) {
        self.standing.lock().clear();
        let mut presence = self.presence.lock();
        presence.duplicate = false;
        presence.disorder = false;
    }

    /// The fault that hits the next request of `service`, if one does.
    pub fn next(&self, service: Service) -> Option<Fault> {
        let mut standing = self.standing.lock();
        let it = standing.get_mut(&service)?;
        let over = it.until.is_some_and(|until| until <= Instant::now()) || it.left == Some(0);
        if over {
            standing.remove(&service);
            return None;
        }
        if let Some(left) = &mut it.left {
            *left -= 1;
        }
        *self.hits.lock().entry(service).or_default() += 1;
        Some(it.fault)
    }

    /// How many requests faults have hit since the start.
    pub fn hits(&self) -> BTreeMap<Service, u64> {
        self.hits.lock().clone()
    }

    /// Lifecycle events twice, and (or) each after the one that follows it.
    pub fn set_presence(&self, duplicate: bool, disorder: bool) {
        let mut presence = self.presence.lock();
        presence.duplicate = duplicate;
        presence.disorder = disorder;
    }

    /// What is published for a lifecycle event (topic and payload), and in which order.
    pub fn presence(&self, topic: &str, payload: String) -> Vec<(String, String)> {
        let mut presence = self.presence.lock();
        let mut events = vec![(topic.to_owned(), payload)];
        if presence.duplicate {
            events.push(events[0].clone());
        }
        if presence.disorder && presence.held.is_empty() {
            presence.held.extend(events);
            return Vec::new();
        }
        events.extend(presence.held.drain(..));
        events
    }
}
