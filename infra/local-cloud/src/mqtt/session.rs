//! One client's session: what waits for it, what it has not acknowledged, and which connection serves it now.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// Messages of `QoS` 1 under way to one client at a time.
const MAX_IN_FLIGHT: usize = 100;
/// Messages kept for a client that is offline, or slower than what comes for it.
const MAX_WAITING: usize = 10_000;

/// A message on its way to one client.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub topic: Arc<str>,
    pub payload: Bytes,
    pub qos: u8,
    pub retain: bool,
    pub dup: bool,
}

/// Why a connection ended, as lifecycle events tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    ClientInitiated,
    ClientError,
    ConnectionLost,
    DuplicateClientId,
    KeepAliveTimeout,
    AuthError,
    ServerInitiated,
    ApiInitiated,
}

impl EndReason {
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientInitiated => "CLIENT_INITIATED_DISCONNECT",
            Self::ClientError => "CLIENT_ERROR",
            Self::ConnectionLost => "CONNECTION_LOST",
            Self::DuplicateClientId => "DUPLICATE_CLIENTID",
            Self::KeepAliveTimeout => "MQTT_KEEP_ALIVE_TIMEOUT",
            Self::AuthError => "AUTH_ERROR",
            Self::ServerInitiated => "SERVER_INITIATED_DISCONNECT",
            Self::ApiInitiated => "API_INITIATED_DISCONNECT",
        }
    }
}

pub struct Session {
    pub client_id: Arc<str>,
    pub(super) inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub subscriptions: BTreeMap<String, u8>,
    pub waiting: VecDeque<Delivery>,
    pub in_flight: BTreeMap<u16, InFlight>,
    pub last_id: u16,
    pub online: Option<Online>,
    pub persistent: bool,
    /// When an offline session ends, in seconds since 1970.
    pub expires: Option<i64>,
}

/// A message that was sent and is not acknowledged.
pub(super) struct InFlight {
    delivery: Delivery,
    first_sent: Instant,
    last_sent: Instant,
}

/// The connection that serves a session.
pub(super) struct Online {
    pub number: u64,
    pub certificate: String,
    /// Something waits to be sent.
    pub wake: Arc<Notify>,
    pub end: oneshot::Sender<EndReason>,
}

impl Session {
    pub(super) fn new(client_id: Arc<str>, persistent: bool) -> Self {
        let inner = Inner {
            subscriptions: BTreeMap::new(),
            waiting: VecDeque::new(),
            in_flight: BTreeMap::new(),
            last_id: 0,
            online: None,
            persistent,
            expires: None,
        };
        Self { client_id, inner: Mutex::new(inner) }
    }

    /// The next message for connection `number`; one of `QoS` 1 has its packet id and is in flight from now on.
    pub fn next(&self, number: u64) -> Option<(u16, Delivery)> {
        let mut inner = self.inner.lock();
        if !inner.serves(number) {
            return None;
        }
        let needs_id = inner.waiting.front()?.qos > 0;
        if needs_id && inner.in_flight.len() >= MAX_IN_FLIGHT {
            return None;
        }
        let delivery = inner.waiting.pop_front()?;
        if !needs_id {
            return Some((0, delivery));
        }
        let id = inner.free_id();
        let now = Instant::now();
        inner.in_flight.insert(id, InFlight { delivery: delivery.clone(), first_sent: now, last_sent: now });
        Some((id, delivery))
    }

    /// The client has message `id`.
    pub fn acknowledge(&self, id: u16) {
        let mut inner = self.inner.lock();
        inner.in_flight.remove(&id);
        inner.wake();
    }

    /// Messages that were last sent longer than `patience` ago and are not acknowledged: they are to be sent again.
    /// What was first sent longer than `give_up` ago is dropped.
    pub fn overdue(&self, number: u64, patience: Duration, give_up: Duration) -> Vec<(u16, Delivery)> {
        let mut inner = self.inner.lock();
        if !inner.serves(number) {
            return Vec::new();
        }
        let now = Instant::now();
        inner.in_flight.retain(|_, it| now.duration_since(it.first_sent) < give_up);
        inner
            .in_flight
            .iter_mut()
            .filter(|(_, it)| now.duration_since(it.last_sent) >= patience)
            .map(|(id, it)| {
                it.last_sent = now;
                it.delivery.dup = true;
                (*id, it.delivery.clone())
            })
            .collect()
    }

    /// Whether it may have this subscription too, or has it and only changes it.
    pub fn has_room_for(&self, filter: &str, most: usize) -> bool {
        let inner = self.inner.lock();
        inner.subscriptions.len() < most || inner.subscriptions.contains_key(filter)
    }
}

impl Inner {
    pub fn serves(&self, number: u64) -> bool {
        self.online.as_ref().is_some_and(|online| online.number == number)
    }

    /// Tells the connection that there is something to send.
    pub fn wake(&self) {
        if let Some(online) = &self.online {
            online.wake.notify_one();
        }
    }

    /// Takes a message in, if it is one that this session keeps. Tells whether it must be written down.
    pub fn accept(&mut self, delivery: Delivery) -> bool {
        let offline = self.online.is_none();
        let passes_by = offline && (!self.persistent || delivery.qos == 0);
        if passes_by || self.waiting.len() >= MAX_WAITING {
            return false;
        }
        self.waiting.push_back(delivery);
        self.wake();
        offline
    }

    /// The connection is gone: what it did not get acknowledged waits again, first of all.
    pub fn put_back(&mut self) {
        let in_flight = std::mem::take(&mut self.in_flight);
        for (_, mut it) in in_flight.into_iter().rev() {
            it.delivery.dup = true;
            self.waiting.push_front(it.delivery);
        }
        self.waiting.retain(|delivery| delivery.qos > 0);
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.in_flight.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }
}
