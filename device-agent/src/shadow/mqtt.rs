//! One MQTT connection over mutual TLS: it comes up subscribed, or it goes down saying why. There is
//! no second life: each connection starts anew, for the shadow is asked anew each time.

use std::{sync::Arc, time::Duration};

use device_model::thing_name::ThingName;
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, QoS, SubscribeFilter,
    SubscribeReasonCode, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use tokio::{sync::mpsc, task::JoinSet};

const CONNECT_TIMEOUT_S: u64 = 15;
/// The line is metered: a ping must be rare, and a dead line still found within minutes.
const KEEP_ALIVE: Duration = Duration::from_mins(4);
/// A shadow document has at most 8 KB of state, and about as much of metadata.
const MAX_PACKET: usize = 64 * 1024;
const QUEUE: usize = 32;
const GOODBYE: Duration = Duration::from_millis(500);

/// Whom to talk to, and as whom.
#[derive(Clone)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub thing: ThingName,
    pub tls: Arc<ClientConfig>,
    /// The only network interface that the connection may leave by.
    pub interface: Option<String>,
}

#[derive(Debug)]
pub enum Heard {
    /// Connected, and every subscription stands.
    Up,
    Message {
        topic: String,
        payload: Vec<u8>,
    },
    Down(String),
}

pub struct Connection {
    client: AsyncClient,
    heard: mpsc::Receiver<Heard>,
    /// Ends with the connection.
    driver: JoinSet<()>,
}

impl Connection {
    pub fn open(endpoint: &Endpoint, topics: Vec<String>) -> Self {
        // The client id is the thing's name: only then do the policy's variables resolve.
        let mut options = MqttOptions::new(endpoint.thing.as_str(), &endpoint.host, endpoint.port);
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(&endpoint.tls))))
            .set_keep_alive(KEEP_ALIVE)
            .set_max_packet_size(MAX_PACKET, MAX_PACKET)
            .set_clean_session(true);
        let (client, mut events) = AsyncClient::new(options, QUEUE);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(CONNECT_TIMEOUT_S);
        if let Some(interface) = &endpoint.interface {
            network.set_bind_device(interface);
        }
        events.set_network_options(network);
        let (tell, heard) = mpsc::channel(QUEUE);
        let mut driver = JoinSet::new();
        driver.spawn(drive(client.clone(), events, topics, tell));
        Self { client, heard, driver }
    }

    /// What happens next. After [`Heard::Down`] nothing does. Cancel-safe.
    pub async fn next(&mut self) -> Heard {
        let gone = || Heard::Down("the connection has ended".to_owned());
        self.heard.recv().await.unwrap_or_else(gone)
    }

    pub fn publish(&self, topic: String, payload: Vec<u8>) -> Result<(), String> {
        self.client.try_publish(topic, QoS::AtLeastOnce, false, payload).map_err(|error| error.to_string())
    }

    /// Says goodbye, so that the far end does not take it for a lost line.
    pub async fn close(mut self) {
        if self.client.try_disconnect().is_ok() {
            drop(tokio::time::timeout(GOODBYE, self.driver.join_next()).await);
        }
    }
}

async fn drive(client: AsyncClient, mut events: EventLoop, topics: Vec<String>, tell: mpsc::Sender<Heard>) {
    let down = loop {
        let heard = match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                let filter = |topic: &String| SubscribeFilter::new(topic.clone(), QoS::AtLeastOnce);
                if let Err(error) = client.try_subscribe_many(topics.iter().map(filter)) {
                    break error.to_string();
                }
                continue;
            }
            Ok(Event::Incoming(Packet::SubAck(answer))) => {
                if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                    break "a subscription was refused".to_owned();
                }
                Heard::Up
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                Heard::Message { topic: message.topic, payload: message.payload.to_vec() }
            }
            Ok(Event::Incoming(Packet::Disconnect) | Event::Outgoing(rumqttc::Outgoing::Disconnect)) => {
                break "disconnected".to_owned();
            }
            Ok(_) => continue,
            Err(error) => break error.to_string(),
        };
        if tell.send(heard).await.is_err() {
            return;
        }
    };
    // Nobody may be left to hear it.
    drop(tell.send(Heard::Down(down)).await);
}
