//! The stream of one MQTT connection, cut into packets both ways.

use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::Error as CodecError;
use rumqttc::mqttbytes::v4::Packet;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::session::EndReason;

pub const MAX_PAYLOAD: usize = 128 * 1024;
/// A PUBLISH of the largest payload, its topic included.
const MAX_PACKET: usize = MAX_PAYLOAD + 1024;
/// For a client that does not read what it is sent.
const STALLED: Duration = Duration::from_secs(30);
const GOODBYE: Duration = Duration::from_secs(1);

/// The stream, cut into packets.
pub struct Wire<S> {
    stream: S,
    inbox: BytesMut,
    outbox: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, inbox: BytesMut::new(), outbox: BytesMut::new() }
    }

    /// The next packet. May be cancelled: what was read stays in the inbox.
    pub async fn read(&mut self) -> Result<Packet, EndReason> {
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
    pub fn buffered(&mut self) -> Result<Option<Packet>, EndReason> {
        match Packet::read(&mut self.inbox, MAX_PACKET) {
            Ok(packet) => Ok(Some(packet)),
            Err(CodecError::InsufficientBytes(_)) => Ok(None),
            Err(_) => Err(EndReason::ClientError),
        }
    }

    pub fn put(&mut self, packet: &Packet) {
        if let Err(error) = packet.write(&mut self.outbox, usize::MAX) {
            tracing::error!(error = %error, "a packet could not be written");
        }
    }

    pub async fn flush(&mut self) -> Result<(), std::io::Error> {
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

    /// Whether as much waits to be written as should.
    pub fn is_full(&self) -> bool {
        self.outbox.len() > MAX_PACKET
    }

    /// Says goodbye on TLS, to a client that may not be there any more.
    pub async fn close(&mut self) {
        let _ = tokio::time::timeout(GOODBYE, self.stream.shutdown()).await;
    }
}
