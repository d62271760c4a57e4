//! MQTT 3.1.1 over TLS with client certificates, with AWS IoT's rules: policies, limits, sessions, lifecycle events.

pub mod broker;
pub mod connection;
pub mod session;
pub mod topic;
pub mod tree;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::ca::certificate_id;
use crate::faults::{Fault, Service};
use crate::hub::Hub;

/// From the TCP connection to the end of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves until `stop`, then lets the connections end.
pub async fn serve(listener: TcpListener, tls: Arc<rustls::ServerConfig>, hub: Hub, stop: CancellationToken) {
    let acceptor = TlsAcceptor::from(tls);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(accept(acceptor.clone(), stream, peer, hub.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(error = %error, "an MQTT connection ended badly");
                }
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn accept(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    hub: Hub,
    stop: CancellationToken,
) {
    hub.calls.note(Service::Mqtt.into());
    let fault = hub.faults.next(Service::Mqtt);
    match fault {
        Some(Fault::Refuse | Fault::Status(_)) => return,
        Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(Fault::Cut) | None => {}
    }
    // In a box of its own each: of the handshake nothing stays in memory for as long as the connection lives.
    let shaken = tokio::select! {
        () = stop.cancelled() => return,
        shaken = Box::pin(handshake(acceptor, stream, peer)) => shaken,
    };
    if let Some((stream, certificate)) = shaken.filter(|_| fault != Some(Fault::Cut)) {
        Box::pin(connection::serve(stream, peer, certificate, hub, connection::PATIENCE, stop)).await;
    }
}

/// The stream, boxed since it is large and often moved, and the id of the client's certificate.
async fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<(Box<TlsStream<TcpStream>>, String)> {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Box::new(stream),
        Ok(Err(error)) => {
            tracing::debug!(peer = %peer, error = %error, "TLS handshake refused");
            return None;
        }
        Err(_) => {
            tracing::debug!(peer = %peer, "TLS handshake timed out");
            return None;
        }
    };
    let certificate = certificate_id(stream.get_ref().1.peer_certificates()?.first()?);
    Some((stream, certificate))
}
