//! A box as a bare socket: no task, no queue and no timer that would be measured with the cloud.

use anyhow::{bail, ensure};
use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{
    Connect, ConnectReturnCode, Packet, PubAck, Publish, Subscribe, SubscribeReasonCode,
};
use rumqttc::mqttbytes::{Error as CodecError, QoS};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::server::Door;

const LARGEST: usize = 256 * 1024;

pub struct Client {
    stream: TlsStream<TcpStream>,
    inbox: BytesMut,
}

impl Client {
    /// Connects and subscribes to one filter, as a box does that waits for work.
    pub async fn connect(door: &Door, id: &str, filter: &str) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(door.at).await?;
        socket.set_nodelay(true)?;
        let stream = door.tls.connect(ServerName::try_from("localhost")?, socket).await?;
        let mut client = Self { stream, inbox: BytesMut::new() };

        let mut connect = Connect::new(id);
        connect.keep_alive = 1200;
        client.send(&Packet::Connect(connect)).await?;
        match client.receive().await? {
            Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => {}
            other => bail!("no connection: {other:?}"),
        }
        let mut subscribe = Subscribe::new(filter, QoS::AtLeastOnce);
        subscribe.pkid = 1;
        client.send(&Packet::Subscribe(subscribe)).await?;
        match client.receive().await? {
            Packet::SubAck(ack) if !ack.return_codes.contains(&SubscribeReasonCode::Failure) => Ok(client),
            other => bail!("no subscription: {other:?}"),
        }
    }

    /// Publishes at `QoS` 1 and waits for the PUBACK and for the one message that answers it.
    pub async fn ask(&mut self, id: u16, topic: &str, payload: Vec<u8>) -> anyhow::Result<Publish> {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload);
        publish.pkid = id;
        self.send(&Packet::Publish(publish)).await?;
        let (mut taken, mut answer) = (false, None);
        loop {
            match self.receive().await? {
                Packet::PubAck(ack) if ack.pkid == id => taken = true,
                Packet::Publish(publish) => {
                    self.send(&Packet::PubAck(PubAck::new(publish.pkid))).await?;
                    answer = Some(publish);
                }
                other => bail!("unexpected: {other:?}"),
            }
            if taken && let Some(answer) = answer.take() {
                return Ok(answer);
            }
        }
    }

    pub async fn ping(&mut self) -> anyhow::Result<()> {
        self.send(&Packet::PingReq).await?;
        ensure!(self.receive().await? == Packet::PingResp, "no PINGRESP");
        Ok(())
    }

    async fn send(&mut self, packet: &Packet) -> anyhow::Result<()> {
        let mut outbox = BytesMut::new();
        packet.write(&mut outbox, LARGEST)?;
        self.stream.write_all(&outbox).await?;
        Ok(self.stream.flush().await?)
    }

    async fn receive(&mut self) -> anyhow::Result<Packet> {
        loop {
            match Packet::read(&mut self.inbox, LARGEST) {
                Ok(packet) => return Ok(packet),
                Err(CodecError::InsufficientBytes(_)) => {}
                Err(error) => return Err(error.into()),
            }
            ensure!(self.stream.read_buf(&mut self.inbox).await? > 0, "the cloud closed the connection");
        }
    }
}
