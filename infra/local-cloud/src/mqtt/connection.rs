//! One MQTT connection: its CONNECT, then packets both ways until a reason to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, LastWill, Packet, PubAck, Publish, SubAck, Subscribe,
    SubscribeReasonCode, UnsubAck, Unsubscribe,
};
use rumqttc::mqttbytes::{Error as CodecError, Protocol, QoS};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::broker::Connected;
use super::session::{Delivery, EndReason, Session};
use super::topic;
use crate::authority::Permissions;
use crate::hub::{Hub, Origin};
use crate::shadow::topics::ShadowTopic;

const MAX_PAYLOAD: usize = 128 * 1024;
/// A PUBLISH of the largest payload, its topic included.
const MAX_PACKET: usize = MAX_PAYLOAD + 1024;
const MAX_FILTERS: usize = 8;
const MAX_SUBSCRIPTIONS: usize = 50;
const FIRST_PACKET: Duration = Duration::from_secs(10);
/// For a client that does not read what it is sent.
const STALLED: Duration = Duration::from_secs(30);
/// Requests to the shadow service that one connection may have unanswered.
const MAX_UNANSWERED: usize = 10;
/// How often unacknowledged messages are looked for, and how old one must be to be sent again.
pub const REDELIVER: Duration = Duration::from_secs(20);
/// Keep-alive 0 means AWS's longest.
const DEFAULT_KEEP_ALIVE: u16 = 1200;

pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    certificate: String,
    hub: Hub,
    redeliver: Duration,
    stop: CancellationToken,
) {
    let mut wire = Wire { stream, inbox: BytesMut::new(), outbox: BytesMut::new() };
    let first = tokio::select! {
        () = stop.cancelled() => return,
        first = tokio::time::timeout(FIRST_PACKET, wire.read()) => first,
    };
    let Ok(Ok(Packet::Connect(connect))) = first else {
        return tracing::debug!(peer = %peer, "the first packet was no CONNECT");
    };
    let ip = peer.ip().to_string();
    let permissions = match admit(&connect, &certificate, &ip, &hub) {
        Ok(permissions) => permissions,
        Err(code) => {
            tracing::debug!(mqtt.client_id = connect.client_id, code = ?code, "CONNECT refused");
            wire.put(&Packet::ConnAck(ConnAck::new(code, false)));
            let _ = wire.flush().await;
            let _ = wire.stream.shutdown().await;
            return;
        }
    };
    let connected = hub.broker.connect(
        &connect.client_id,
        connect.clean_session,
        &certificate,
        hub.clock.now().timestamp(),
    );
    wire.put(&Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, connected.present)));
    let presence = hub.connected(&connect.client_id, &certificate, &ip);
    let Connected { session, number, wake, mut ended, .. } = connected;
    let keep_alive = if connect.keep_alive == 0 { DEFAULT_KEEP_ALIVE } else { connect.keep_alive };
    let mut connection = Connection {
        wire,
        hub: hub.clone(),
        permissions,
        session: Arc::clone(&session),
        number,
        wake,
        certificate: certificate.clone(),
        silence: Duration::from_millis(u64::from(keep_alive) * 1500),
        redeliver,
        unanswered: 0,
    };
    let reason = tokio::select! {
        reason = connection.run() => reason,
        reason = &mut ended => reason.unwrap_or(EndReason::ServerInitiated),
        () = stop.cancelled() => EndReason::ServerInitiated,
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), connection.wire.stream.shutdown()).await;
    hub.broker.disconnect(&session, number, hub.clock.now().timestamp());
    hub.disconnected(&presence, reason);
    if let Some(will) = connect.last_will.filter(|_| reason != EndReason::ClientInitiated) {
        let origin = Origin { client_id: Some(&connect.client_id), principal: &certificate };
        hub.publish(&origin, &will.topic, &will.message, qos_number(will.qos).min(1), will.retain);
    }
}

/// Whether the client may connect as it wants to.
fn admit(
    connect: &Connect,
    certificate: &str,
    ip: &str,
    hub: &Hub,
) -> Result<Permissions, ConnectReturnCode> {
    if connect.protocol != Protocol::V4 {
        return Err(ConnectReturnCode::RefusedProtocolVersion);
    }
    let id = connect.client_id.as_str();
    if id.is_empty() || id.len() > 128 {
        return Err(ConnectReturnCode::BadClientId);
    }
    if !hub.limits.may_connect(id, hub.clock.now()) {
        return Err(ConnectReturnCode::ServiceUnavailable);
    }
    let mut permissions = Permissions::of(hub.store.clone(), hub.account.clone(), certificate, Some(id), ip)
        .map_err(|_| ConnectReturnCode::ServiceUnavailable)?;
    let will_is_fine = connect.last_will.as_ref().is_none_or(|will| may_leave(will, &mut permissions));
    if !permissions.allow("iot:Connect", &format!("client/{id}")) || !will_is_fine {
        return Err(ConnectReturnCode::NotAuthorized);
    }
    Ok(permissions)
}

fn may_leave(will: &LastWill, permissions: &mut Permissions) -> bool {
    topic::valid_topic(&will.topic)
        && !will.topic.starts_with('$')
        && will.message.len() <= MAX_PAYLOAD
        && may_publish(permissions, &will.topic, will.retain)
}

fn may_publish(permissions: &mut Permissions, topic: &str, retain: bool) -> bool {
    let resource = format!("topic/{topic}");
    permissions.allow("iot:Publish", &resource)
        && (!retain || permissions.allow("iot:RetainPublish", &resource))
}

struct Connection<S> {
    wire: Wire<S>,
    hub: Hub,
    permissions: Permissions,
    session: Arc<Session>,
    number: u64,
    wake: Arc<Notify>,
    certificate: String,
    /// A client that is silent for longer is gone.
    silence: Duration,
    redeliver: Duration,
    /// Requests to the shadow service whose answers have not been written to the client yet.
    unanswered: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn run(&mut self) -> EndReason {
        let mut heard = Instant::now();
        let mut redeliver = tokio::time::interval_at(Instant::now() + self.redeliver, self.redeliver);
        loop {
            self.take_waiting();
            if self.wire.flush().await.is_err() {
                return EndReason::ConnectionLost;
            }
            self.unanswered = 0;
            tokio::select! {
                read = self.wire.read() => {
                    heard = Instant::now();
                    let mut packet = match read {
                        Ok(packet) => Some(packet),
                        Err(reason) => return reason,
                    };
                    // What came in one piece is answered in one piece.
                    while let Some(next) = packet {
                        if let Err(reason) = self.handle(next) {
                            let _ = self.wire.flush().await;
                            return reason;
                        }
                        packet = match self.wire.buffered() {
                            Ok(packet) => packet,
                            Err(reason) => return reason,
                        };
                    }
                }
                () = self.wake.notified() => {}
                _ = redeliver.tick() => {
                    for (id, delivery) in self.session.overdue(self.number, self.redeliver) {
                        self.send(id, &delivery);
                    }
                }
                () = tokio::time::sleep_until(heard + self.silence) => return EndReason::KeepAliveTimeout,
            }
        }
    }

    fn handle(&mut self, packet: Packet) -> Result<(), EndReason> {
        match packet {
            Packet::Publish(publish) => self.publish(&publish),
            Packet::PubAck(ack) => {
                self.session.acknowledge(ack.pkid);
                Ok(())
            }
            Packet::Subscribe(subscribe) => {
                self.subscribe(&subscribe);
                Ok(())
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.unsubscribe(&unsubscribe);
                Ok(())
            }
            Packet::PingReq => {
                self.wire.put(&Packet::PingResp);
                Ok(())
            }
            Packet::Disconnect => Err(EndReason::ClientInitiated),
            // A second CONNECT, QoS 2, or what only servers send.
            _ => Err(EndReason::ClientError),
        }
    }

    fn publish(&mut self, publish: &Publish) -> Result<(), EndReason> {
        let qos = qos_number(publish.qos);
        if qos > 1 || !topic::valid_topic(&publish.topic) || publish.payload.len() > MAX_PAYLOAD {
            return Err(EndReason::ClientError);
        }
        let reserved = publish.topic.starts_with('$');
        let asks_shadow = ShadowTopic::parse(&publish.topic).is_some();
        let may_be_asked = asks_shadow || publish.topic.starts_with("$aws/rules/");
        if (reserved && !may_be_asked) || !may_publish(&mut self.permissions, &publish.topic, publish.retain)
        {
            tracing::debug!(mqtt.client_id = %self.session.client_id, "PUBLISH denied");
            return Err(EndReason::AuthError);
        }
        let origin = Origin { client_id: Some(&self.session.client_id), principal: &self.certificate };
        self.unanswered += usize::from(asks_shadow);
        if asks_shadow && self.unanswered > MAX_UNANSWERED {
            self.hub.refuse(&origin, &publish.topic, &publish.payload, qos);
        } else {
            self.hub.publish(&origin, &publish.topic, &publish.payload, qos, publish.retain && !reserved);
        }
        if qos == 1 {
            self.wire.put(&Packet::PubAck(PubAck::new(publish.pkid)));
        }
        Ok(())
    }

    fn subscribe(&mut self, subscribe: &Subscribe) {
        let too_many = subscribe.filters.len() > MAX_FILTERS;
        let mut codes = Vec::new();
        for filter in &subscribe.filters {
            let room = self.session.subscriptions() < MAX_SUBSCRIPTIONS;
            let allowed = !too_many
                && room
                && topic::valid_filter(&filter.path)
                && self.permissions.allow("iot:Subscribe", &format!("topicfilter/{}", filter.path));
            codes.push(if allowed {
                let qos = qos_number(filter.qos).min(1);
                self.hub.broker.subscribe(&self.session, &filter.path, qos);
                SubscribeReasonCode::Success(if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce })
            } else {
                SubscribeReasonCode::Failure
            });
        }
        self.wire.put(&Packet::SubAck(SubAck::new(subscribe.pkid, codes)));
    }

    fn unsubscribe(&mut self, unsubscribe: &Unsubscribe) {
        for filter in &unsubscribe.topics {
            self.hub.broker.unsubscribe(&self.session, filter);
        }
        self.wire.put(&Packet::UnsubAck(UnsubAck::new(unsubscribe.pkid)));
    }

    fn take_waiting(&mut self) {
        while let Some((id, delivery)) = self.session.next(self.number) {
            if self.permissions.allow("iot:Receive", &format!("topic/{}", delivery.topic)) {
                self.send(id, &delivery);
            } else if id != 0 {
                self.session.acknowledge(id);
            }
            if self.wire.outbox.len() > MAX_PACKET {
                // The rest follows once this is written.
                self.wake.notify_one();
                break;
            }
        }
    }

    fn send(&mut self, id: u16, delivery: &Delivery) {
        let qos = if delivery.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let mut publish = Publish::from_bytes(&*delivery.topic, qos, Bytes::clone(&delivery.payload));
        publish.pkid = id;
        publish.dup = delivery.dup && id != 0;
        publish.retain = delivery.retain;
        self.wire.put(&Packet::Publish(publish));
    }
}

/// The stream, cut into packets.
struct Wire<S> {
    stream: S,
    inbox: BytesMut,
    outbox: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// The next packet. May be cancelled: what was read stays in the inbox.
    async fn read(&mut self) -> Result<Packet, EndReason> {
        loop {
            if let Some(packet) = self.buffered()? {
                return Ok(packet);
            }
            if self.inbox.capacity() - self.inbox.len() < 256 {
                let more = if self.inbox.is_empty() { 1024 } else { 8 * 1024 };
                self.inbox.reserve(more);
            }
            match self.stream.read_buf(&mut self.inbox).await {
                Ok(0) | Err(_) => return Err(EndReason::ConnectionLost),
                Ok(_) => {}
            }
        }
    }

    /// A packet that is there whole.
    fn buffered(&mut self) -> Result<Option<Packet>, EndReason> {
        match Packet::read(&mut self.inbox, MAX_PACKET) {
            Ok(packet) => Ok(Some(packet)),
            Err(CodecError::InsufficientBytes(_)) => Ok(None),
            Err(_) => Err(EndReason::ClientError),
        }
    }

    fn put(&mut self, packet: &Packet) {
        if let Err(error) = packet.write(&mut self.outbox, usize::MAX) {
            tracing::error!(error = %error, "a packet could not be written");
        }
    }

    async fn flush(&mut self) -> Result<(), std::io::Error> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let written = async {
            self.stream.write_all(&self.outbox).await?;
            self.stream.flush().await
        };
        tokio::time::timeout(STALLED, written).await.map_err(|_| std::io::ErrorKind::TimedOut)??;
        self.outbox.clear();
        Ok(())
    }
}

fn qos_number(qos: QoS) -> u8 {
    match qos {
        QoS::AtMostOnce => 0,
        QoS::AtLeastOnce => 1,
        QoS::ExactlyOnce => 2,
    }
}
