//! One MQTT connection: its CONNECT, then packets both ways until a reason to end.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, LastWill, Packet, PubAck, Publish, SubAck, Subscribe,
    SubscribeReasonCode, UnsubAck, Unsubscribe,
};
use rumqttc::mqttbytes::{Protocol, QoS};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::broker::Connected;
use super::session::{Delivery, EndReason, Session};
use super::topic;
use super::wire::{MAX_PAYLOAD, Wire};
use crate::authority::Permissions;
use crate::calls::Call;
use crate::hub::{Hub, Origin};
use crate::shadow::topics::ShadowTopic;

const MAX_FILTERS: usize = 8;
const MAX_SUBSCRIPTIONS: usize = 50;
const FIRST_PACKET: Duration = Duration::from_secs(10);
/// Requests to the shadow service that one connection may have unanswered.
const MAX_UNANSWERED: usize = 10;

/// How long a connection waits for what.
#[derive(Debug, Clone)]
pub struct Patience {
    /// How often unacknowledged messages are looked for, and how old one must be to be sent again.
    pub redeliver: Duration,
    /// After this long one that is not acknowledged is dropped.
    pub give_up: Duration,
    /// The keep-alives a client may choose from, in seconds.
    pub keep_alive: RangeInclusive<u16>,
}

/// As long as AWS waits.
pub const PATIENCE: Patience =
    Patience { redeliver: Duration::from_secs(20), give_up: Duration::from_hours(1), keep_alive: 30..=1200 };

impl Patience {
    /// For how long a client may be silent: AWS takes one and a half times its keep-alive; 0 means the longest.
    fn silence(&self, keep_alive: u16) -> Duration {
        let (shortest, longest) = (*self.keep_alive.start(), *self.keep_alive.end());
        let seconds = if keep_alive == 0 { longest } else { keep_alive.clamp(shortest, longest) };
        Duration::from_millis(u64::from(seconds) * 1500)
    }
}

pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    certificate: String,
    hub: Hub,
    patience: Patience,
    stop: CancellationToken,
) {
    let mut wire = Wire::new(stream);
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
            wire.close().await;
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
    let mut connection = Connection {
        wire,
        hub: hub.clone(),
        permissions,
        session: Arc::clone(&session),
        number,
        wake,
        certificate: certificate.clone(),
        silence: patience.silence(connect.keep_alive),
        patience,
        unanswered: 0,
    };
    let reason = tokio::select! {
        reason = connection.run() => reason,
        reason = &mut ended => reason.unwrap_or(EndReason::ServerInitiated),
        () = stop.cancelled() => EndReason::ServerInitiated,
    };
    connection.wire.close().await;
    hub.broker.disconnect(&session, number, hub.clock.now().timestamp());
    hub.disconnected(&presence, reason);
    if let Some(will) = connect.last_will.filter(|_| reason != EndReason::ClientInitiated) {
        let origin = Origin { client_id: Some(&connect.client_id), principal: &certificate };
        hub.publish(&origin, &will.topic, &will.message, qos_number(will.qos), will.retain);
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
    will.qos != QoS::ExactlyOnce
        && topic::valid_topic(&will.topic)
        && !will.topic.starts_with('$')
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
    patience: Patience,
    /// Requests to the shadow service whose answers have not been written to the client yet.
    unanswered: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn run(&mut self) -> EndReason {
        let mut heard = Instant::now();
        let Patience { redeliver: period, give_up, .. } = self.patience;
        let mut redeliver = tokio::time::interval_at(Instant::now() + period, period);
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
                    for (id, delivery) in self.session.overdue(self.number, period, give_up) {
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
            // A second CONNECT, or what only servers send.
            _ => Err(EndReason::ClientError),
        }
    }

    fn publish(&mut self, publish: &Publish) -> Result<(), EndReason> {
        // AWS does not know QoS 2: it does nothing, and answers nothing.
        if publish.qos == QoS::ExactlyOnce {
            return Ok(());
        }
        self.hub.calls.note(Call::MqttIn);
        let qos = qos_number(publish.qos);
        let reserved = publish.topic.starts_with('$');
        let sound = topic::valid_topic(&publish.topic) && publish.payload.len() <= MAX_PAYLOAD;
        if !sound || (reserved && publish.retain) {
            return Err(EndReason::ClientError);
        }
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
            self.hub.publish(&origin, &publish.topic, &publish.payload, qos, publish.retain);
        }
        if qos == 1 {
            self.wire.put(&Packet::PubAck(PubAck::new(publish.pkid)));
        }
        Ok(())
    }

    fn subscribe(&mut self, subscribe: &Subscribe) {
        if subscribe.filters.iter().any(|filter| filter.qos == QoS::ExactlyOnce) {
            return;
        }
        let too_many = subscribe.filters.len() > MAX_FILTERS;
        let mut codes = Vec::new();
        for filter in &subscribe.filters {
            let room = self.session.has_room_for(&filter.path, MAX_SUBSCRIPTIONS);
            let allowed = !too_many
                && room
                && topic::valid_filter(&filter.path)
                && self.permissions.allow("iot:Subscribe", &format!("topicfilter/{}", filter.path));
            codes.push(if allowed {
                self.hub.broker.subscribe(&self.session, &filter.path, qos_number(filter.qos));
                SubscribeReasonCode::Success(filter.qos)
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
            if self.wire.is_full() {
                // The rest follows once this is written.
                self.wake.notify_one();
                break;
            }
        }
    }

    fn send(&mut self, id: u16, delivery: &Delivery) {
        self.hub.calls.note(Call::MqttOut);
        let qos = if delivery.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let mut publish = Publish::from_bytes(&*delivery.topic, qos, Bytes::clone(&delivery.payload));
        publish.pkid = id;
        publish.dup = delivery.dup && id != 0;
        publish.retain = delivery.retain;
        self.wire.put(&Packet::Publish(publish));
    }
}

fn qos_number(qos: QoS) -> u8 {
    match qos {
        QoS::AtMostOnce => 0,
        QoS::AtLeastOnce => 1,
        QoS::ExactlyOnce => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keep_alive_is_taken_between_aws_s_bounds_and_half_as_much_again_is_silence() {
        for (asked, seconds) in [(0, 1800), (1, 45), (30, 45), (60, 90), (1200, 1800), (u16::MAX, 1800)] {
            assert_eq!(PATIENCE.silence(asked), Duration::from_secs(seconds), "{asked}");
        }
    }
}
