//! Carries messages to those who subscribed, and keeps the sessions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::session::{Delivery, EndReason, Online, Session};
use super::tree::Tree;
use crate::state::retained::Retained;
use crate::state::{Store, StoreResult};

/// How long an offline client's session is kept: AWS's default.
const SESSION_SECONDS: i64 = 3600;

/// Clones share the sessions.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    connections: AtomicU64,
    /// Taken before any session's own lock.
    routes: Mutex<Routes>,
}

#[derive(Default)]
struct Routes {
    tree: Tree,
    sessions: HashMap<Arc<str>, Arc<Session>>,
    retained: BTreeMap<String, Retained>,
}

/// A connection's hold on its session.
pub struct Connected {
    pub session: Arc<Session>,
    /// Whether there was a session to go on with.
    pub present: bool,
    pub number: u64,
    /// Told when something waits to be sent.
    pub wake: Arc<Notify>,
    /// Told when the connection must end.
    pub ended: oneshot::Receiver<EndReason>,
}

impl Broker {
    /// Takes up the sessions and retained messages of the last run.
    pub fn open(store: Store) -> StoreResult<Self> {
        let mut routes = Routes::default();
        for stored in store.sessions()? {
            let session = Arc::new(Session::new(stored.client_id.as_str().into(), true));
            {
                let mut inner = session.inner.lock();
                inner.expires = stored.expires;
                inner.waiting = stored
                    .waiting
                    .into_iter()
                    .map(|(topic, payload)| Delivery {
                        topic: topic.into(),
                        payload,
                        qos: 1,
                        retain: false,
                        dup: false,
                    })
                    .collect();
                for (filter, qos) in &stored.subscriptions {
                    routes.tree.insert(filter, &session.client_id, *qos);
                }
                inner.subscriptions = stored.subscriptions;
            }
            routes.sessions.insert(Arc::clone(&session.client_id), session);
        }
        routes.retained = store.retained()?.into_iter().map(|it| (it.topic.clone(), it)).collect();
        let shared = Shared { store, connections: AtomicU64::new(1), routes: Mutex::new(routes) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// A client is there: it gets its session, and whoever had its client id before is told to go.
    pub fn connect(&self, client_id: &str, clean: bool, certificate: &str, now: i64) -> Connected {
        let number = self.shared.connections.fetch_add(1, Ordering::Relaxed);
        let (end, ended) = oneshot::channel();
        let wake = Arc::new(Notify::new());
        let online = Online { number, certificate: certificate.to_owned(), wake: Arc::clone(&wake), end };
        let mut routes = self.shared.routes.lock();
        let known = routes.sessions.get(client_id).cloned();
        if let Some(session) = known {
            let mut inner = session.inner.lock();
            if let Some(before) = inner.online.take() {
                let _ = before.end.send(EndReason::DuplicateClientId);
                inner.put_back();
            }
            let expired = inner.expires.is_some_and(|expires| expires <= now);
            if !clean && inner.persistent && !expired {
                inner.online = Some(online);
                inner.expires = None;
                self.remember(&session.client_id, &inner.subscriptions, None);
                drop(inner);
                return Connected { session, present: true, number, wake, ended };
            }
            routes.forget(&session.client_id, &inner.subscriptions);
            if inner.persistent {
                self.discard(&session.client_id);
            }
        }
        let session = Arc::new(Session::new(client_id.into(), !clean));
        session.inner.lock().online = Some(online);
        routes.sessions.insert(Arc::clone(&session.client_id), Arc::clone(&session));
        if !clean {
            self.remember(client_id, &BTreeMap::new(), None);
        }
        Connected { session, present: false, number, wake, ended }
    }

    /// The connection has ended. Answers false if another one had taken the session over already.
    pub fn disconnect(&self, session: &Arc<Session>, number: u64, now: i64) -> bool {
        let mut routes = self.shared.routes.lock();
        let mut inner = session.inner.lock();
        if !inner.serves(number) {
            return false;
        }
        inner.online = None;
        if inner.persistent {
            inner.put_back();
            inner.expires = Some(now + SESSION_SECONDS);
            self.remember(&session.client_id, &inner.subscriptions, inner.expires);
            let waiting: Vec<_> = inner.waiting.iter().map(|it| (&*it.topic, &*it.payload)).collect();
            warn_of(self.shared.store.set_queue(&session.client_id, &waiting));
        } else {
            routes.forget(&session.client_id, &inner.subscriptions);
        }
        true
    }

    /// Subscribes; what is retained follows as a message. As at AWS, a filter with a wildcard gets nothing retained.
    pub fn subscribe(&self, session: &Session, filter: &str, qos: u8) {
        let mut routes = self.shared.routes.lock();
        routes.tree.insert(filter, &session.client_id, qos);
        let mut inner = session.inner.lock();
        inner.subscriptions.insert(filter.to_owned(), qos);
        if inner.persistent {
            self.remember(&session.client_id, &inner.subscriptions, None);
        }
        if let Some(kept) = routes.retained.get(filter) {
            inner.accept(Delivery {
                topic: kept.topic.as_str().into(),
                payload: kept.payload.clone(),
                qos: kept.qos.min(qos),
                retain: true,
                dup: false,
            });
        }
    }

    pub fn unsubscribe(&self, session: &Session, filter: &str) {
        let mut routes = self.shared.routes.lock();
        routes.tree.remove(filter, &session.client_id);
        let mut inner = session.inner.lock();
        inner.subscriptions.remove(filter);
        if inner.persistent {
            self.remember(&session.client_id, &inner.subscriptions, None);
        }
    }

    /// Carries a message to every subscriber.
    pub fn publish(&self, topic: &str, payload: &Bytes, qos: u8, retained_at: Option<i64>) {
        let mut routes = self.shared.routes.lock();
        if let Some(modified) = retained_at {
            let it = Retained { topic: topic.to_owned(), payload: payload.clone(), qos, modified };
            warn_of(self.shared.store.retain(&it));
            if payload.is_empty() {
                routes.retained.remove(topic);
            } else {
                routes.retained.insert(topic.to_owned(), it);
            }
        }
        let subscribers = routes.tree.subscribers(topic);
        if subscribers.is_empty() {
            return;
        }
        let shared_topic: Arc<str> = topic.into();
        for (client, granted) in subscribers {
            let Some(session) = routes.sessions.get(&client) else { continue };
            let delivery = Delivery {
                topic: Arc::clone(&shared_topic),
                payload: payload.clone(),
                qos: qos.min(granted),
                retain: false,
                dup: false,
            };
            if session.inner.lock().accept(delivery) {
                warn_of(self.shared.store.queue_message(&client, topic, payload));
            }
        }
    }

    /// Ends every connection made with this certificate.
    pub fn disconnect_certificate(&self, certificate: &str) {
        self.end_where(|_, online| online.certificate == certificate, EndReason::AuthError);
    }

    /// Ends the connection of one client, as `DeleteConnection` does; answers whether there was one.
    pub fn disconnect_client(&self, client_id: &str) -> bool {
        self.end_client(client_id, EndReason::ApiInitiated)
    }

    /// Ends the connection of one client for a reason; answers whether there was one.
    pub fn end_client(&self, client_id: &str, reason: EndReason) -> bool {
        self.end_where(|client, _| client == client_id, reason) > 0
    }

    /// Ends every connection.
    pub fn disconnect_everyone(&self) {
        self.end_where(|_, _| true, EndReason::ServerInitiated);
    }

    /// How many clients are connected now.
    pub fn connected(&self) -> usize {
        let routes = self.shared.routes.lock();
        routes.sessions.values().filter(|session| session.inner.lock().online.is_some()).count()
    }

    pub fn retained(&self, topic: &str) -> Option<Retained> {
        self.shared.routes.lock().retained.get(topic).cloned()
    }

    pub fn all_retained(&self) -> Vec<Retained> {
        self.shared.routes.lock().retained.values().cloned().collect()
    }

    fn end_where(&self, which: impl Fn(&str, &Online) -> bool, reason: EndReason) -> usize {
        let routes = self.shared.routes.lock();
        let mut ended = 0;
        for session in routes.sessions.values() {
            let mut inner = session.inner.lock();
            if inner.online.as_ref().is_some_and(|online| which(&session.client_id, online)) {
                // The connection finds itself unserved and takes no more messages; it still tells of its end.
                if let Some(online) = inner.online.as_mut() {
                    let (unused, _) = oneshot::channel();
                    let end = std::mem::replace(&mut online.end, unused);
                    let _ = end.send(reason);
                    ended += 1;
                }
            }
        }
        ended
    }

    fn remember(&self, client_id: &str, subscriptions: &BTreeMap<String, u8>, expires: Option<i64>) {
        warn_of(self.shared.store.put_session(client_id, subscriptions, expires));
    }

    fn discard(&self, client_id: &str) {
        warn_of(self.shared.store.delete_session(client_id));
    }
}

impl Routes {
    fn forget(&mut self, client_id: &str, subscriptions: &BTreeMap<String, u8>) {
        for filter in subscriptions.keys() {
            self.tree.remove(filter, client_id);
        }
        self.sessions.remove(client_id);
    }
}

fn warn_of(written: StoreResult<()>) {
    if let Err(error) = written {
        tracing::error!(error = %error, "a session could not be written down");
    }
}
