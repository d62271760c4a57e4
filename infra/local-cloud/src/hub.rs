//! Where a message meets all that it may concern: subscribers, the shadow service, the rules.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::authority::Account;
use crate::calls::Calls;
use crate::clock::Clock;
use crate::faults::Faults;
use crate::limits::Limits;
use crate::mqtt::broker::Broker;
use crate::mqtt::session::EndReason;
use crate::rules::{Message, Rules};
use crate::shadow::Shadows;
use crate::shadow::request::{self, ShadowError};
use crate::shadow::topics::{self, Operation, ShadowTopic};
use crate::state::Store;
use crate::state::presence::Presence;

/// The cloud's inside. Clones share it.
#[derive(Clone)]
pub struct Hub {
    pub store: Store,
    pub account: Account,
    pub clock: Clock,
    pub broker: Broker,
    pub shadows: Shadows,
    pub rules: Rules,
    pub faults: Faults,
    pub limits: Limits,
    pub calls: Calls,
}

/// Who publishes.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    pub client_id: Option<&'a str>,
    /// A certificate id, or an access key id.
    pub principal: &'a str,
}

/// The service itself, when it answers or tells of something.
const SERVICE: Origin<'static> = Origin { client_id: None, principal: "" };

/// A connection as its lifecycle events tell of it.
pub struct Connection {
    client_id: String,
    certificate: String,
    /// The thing that has the certificate to itself.
    thing: Option<String>,
    session: String,
    version: i64,
}

/// After this long offline a client's version numbers start again at 0.
const VERSIONS_KEPT_MS: i64 = 3600 * 1000;

impl Hub {
    /// Carries a message, and does what it asks for. Whether `origin` may publish it was checked before.
    pub fn publish(&self, origin: &Origin<'_>, topic: &str, payload: &Bytes, qos: u8, retain: bool) {
        self.carry(origin, topic, payload, qos, retain);
        if let Some(request) = ShadowTopic::parse(topic) {
            self.answer(&request, payload);
        }
    }

    /// Carries a request to the shadow service, which refuses it unread: its connection waits for too many answers.
    pub fn refuse(&self, origin: &Origin<'_>, topic: &str, payload: &Bytes, qos: u8) {
        self.carry(origin, topic, payload, qos, false);
        if let Some(request) = ShadowTopic::parse(topic) {
            self.reject(&request, payload, &ShadowError::too_many());
        }
    }

    fn carry(&self, origin: &Origin<'_>, topic: &str, payload: &Bytes, qos: u8, retain: bool) {
        let now = self.clock.now();
        let message = Message {
            topic: topic.into(),
            payload: payload.clone(),
            client_id: origin.client_id.map(Arc::from),
            principal: origin.principal.into(),
            at: now,
        };
        if let Some(rest) = topic.strip_prefix("$aws/rules/") {
            return self.rules.ingest(rest, message);
        }
        self.broker.publish(topic, payload, qos, retain.then(|| now.timestamp()));
        self.rules.offer(&message);
    }

    /// An update, from either door; what it changed is told on the shadow's topics.
    pub fn update_shadow(&self, thing: &str, name: &str, payload: &[u8]) -> Result<Value, ShadowError> {
        let update = request::parse_update(payload)?;
        let updated = self.shadows.update(thing, name, &update, self.clock.now().timestamp())?;
        self.tell(thing, name, "update/accepted", &updated.accepted);
        if let Some(delta) = &updated.delta {
            self.tell(thing, name, "update/delta", delta);
        }
        self.tell(thing, name, "update/documents", &updated.documents);
        Ok(updated.accepted)
    }

    pub fn delete_shadow(&self, thing: &str, name: &str, payload: &[u8]) -> Result<Value, ShadowError> {
        let mut gone = self.shadows.delete(thing, name, self.clock.now().timestamp())?;
        // Of a delete's payload AWS reads nothing else.
        echo_token(&mut gone, request::client_token(payload));
        self.tell(thing, name, "delete/accepted", &gone);
        Ok(gone)
    }

    /// A client has connected.
    pub fn connected(&self, client_id: &str, certificate: &str, ip: &str) -> Connection {
        let now = self.clock.now().timestamp_millis();
        let before = self.store.presence(client_id).ok().flatten();
        let version = match before {
            Some(before) if before.connected || now - before.at < VERSIONS_KEPT_MS => before.version + 1,
            _ => 0,
        };
        let connection = Connection {
            client_id: client_id.to_owned(),
            certificate: certificate.to_owned(),
            thing: self.exclusive_thing(certificate),
            session: uuid(),
            version,
        };
        self.note(&connection, true, now, "");
        let mut event = connection.event("connected", now);
        event["ipAddress"] = json!(ip);
        self.tell_presence(&connection, "connected", &event);
        connection
    }

    pub fn disconnected(&self, connection: &Connection, reason: EndReason) {
        let now = self.clock.now().timestamp_millis();
        let current = self.store.presence(&connection.client_id).ok().flatten();
        // A later connection of the same client is there already: it stays connected.
        if current.is_none_or(|current| current.session == connection.session) {
            self.note(connection, false, now, reason.name());
        }
        let mut event = connection.event("disconnected", now);
        event["clientInitiatedDisconnect"] = json!(reason == EndReason::ClientInitiated);
        event["disconnectReason"] = json!(reason.name());
        self.tell_presence(connection, "disconnected", &event);
    }

    fn answer(&self, request: &ShadowTopic<'_>, payload: &[u8]) {
        let (thing, name) = (request.thing, request.name);
        let done = match request.operation {
            Operation::Update => self.update_shadow(thing, name, payload).map(drop),
            Operation::Delete => self.delete_shadow(thing, name, payload).map(drop),
            Operation::Get => self.answer_get(thing, name, payload),
        };
        if let Err(error) = done {
            self.reject(request, payload, &error);
        }
    }

    fn reject(&self, request: &ShadowTopic<'_>, payload: &[u8], error: &ShadowError) {
        let token = request::client_token(payload);
        let body = error.rejection(token.as_deref(), self.clock.now().timestamp());
        let suffix = format!("{}/rejected", request.operation.verb());
        self.tell(request.thing, request.name, &suffix, &body);
    }

    fn answer_get(&self, thing: &str, name: &str, payload: &[u8]) -> Result<(), ShadowError> {
        let token = request::parse_get(payload)?;
        let mut document = self.shadows.get(thing, name, self.clock.now().timestamp())?;
        echo_token(&mut document, token);
        self.tell(thing, name, "get/accepted", &document);
        Ok(())
    }

    fn tell(&self, thing: &str, name: &str, suffix: &str, body: &Value) {
        self.publish(&SERVICE, &topics::answer(thing, name, suffix), &body.to_string().into(), 1, false);
    }

    fn tell_presence(&self, connection: &Connection, what: &str, event: &Value) {
        // As at AWS: a client id that would be a wildcard has no events.
        if connection.client_id.contains(['+', '#']) {
            return;
        }
        let topic = format!("$aws/events/presence/{what}/{}", connection.client_id);
        for event in self.faults.presence(&topic, event.to_string()) {
            self.publish(&SERVICE, &event.0, &event.1.into(), 1, false);
        }
    }

    fn exclusive_thing(&self, certificate: &str) -> Option<String> {
        let arn = self.account.certificate_arn(certificate);
        let attachments = self.store.attachments_of_principal(&arn).ok()?;
        attachments.into_iter().find(|it| it.exclusive).map(|it| it.thing)
    }

    fn note(&self, connection: &Connection, connected: bool, at: i64, reason: &str) {
        let presence = Presence {
            connected,
            version: connection.version,
            at,
            session: connection.session.clone(),
            reason: reason.to_owned(),
        };
        if let Err(error) = self.store.put_presence(&connection.client_id, &presence) {
            tracing::error!(error = %error, "presence could not be written down");
        }
    }
}

impl Connection {
    fn event(&self, kind: &str, now: i64) -> Value {
        let mut event = json!({
            "clientId": self.client_id,
            "timestamp": now,
            "eventType": kind,
            "sessionIdentifier": self.session,
            "principalIdentifier": self.certificate,
            "versionNumber": self.version,
        });
        if let Some(thing) = &self.thing {
            event["thingName"] = json!(thing);
        }
        event
    }
}

fn echo_token(body: &mut Value, token: Option<String>) {
    if let Some(token) = token {
        body["clientToken"] = json!(token);
    }
}

/// A random UUID of version 4.
pub fn uuid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
