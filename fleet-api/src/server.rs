//! Serves HTTP/1.1 to whoever connects. A connection that does not say what it wants is closed, so
//! that nobody holds one for nothing; at the end each request under way is answered first.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, extract::ConnectInfo, extract::Request, serve::Listener};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// How long a connection may take to tell its next request, idle time included: longer than a load
/// balancer keeps a connection open (60 s), or it would now and then write into a closed one.
pub const HEADER_TIME: Duration = Duration::from_secs(75);

/// The longest that we ask for is a path of 1,600 characters; one that is longer is answered with 431.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 64;

/// Serves until told to stop, and then until the requests under way are answered.
pub async fn serve(mut listener: TcpListener, app: Router, header_time: Duration, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Errors of a single connection are no end of it: axum's listener logs them and goes on.
            (stream, peer) = Listener::accept(&mut listener) => {
                connections.spawn(connection(stream, peer, app.clone(), header_time, stop.clone()));
            }
            Some(_) = connections.join_next() => {}
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    app: Router,
    header_time: Duration,
    stop: CancellationToken,
) {
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        hyper::service::Service::call(&app, request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header_time);
    builder.max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // Peers go away in the middle of things every day.
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::Notify,
    };

    use super::*;

    const BOUND: Duration = Duration::from_secs(20);

    struct Serving {
        address: SocketAddr,
        stop: CancellationToken,
        tasks: JoinSet<()>,
    }

    async fn serving(app: Router, header_time: Duration) -> Serving {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, app, header_time, stop.clone()));
        Serving { address, stop, tasks }
    }

    /// Sends some bytes and reads until the other side hangs up.
    async fn said(address: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(BOUND, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn whoever_does_not_say_what_he_wants_is_hung_up_on() {
        let serving = serving(Router::new(), Duration::from_millis(200)).await;

        for beginning in [&b""[..], b"G", b"GET / HTTP/1.1\r\nhost: x\r\n"] {
            let answer = said(serving.address, beginning).await;
            assert!(!answer.contains(" 200 ") && !answer.contains(" 404 "), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_before_the_end() {
        let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, wait) = (arrived.clone(), go.clone());
        let slow = async move |ConnectInfo(peer): ConnectInfo<SocketAddr>| {
            told.notify_one();
            wait.notified().await;
            peer.ip().to_string()
        };
        let mut serving = serving(Router::new().route("/", get(slow)), BOUND).await;
        let address = serving.address;
        let mut asking = JoinSet::new();
        asking.spawn(async move { said(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await });
        tokio::time::timeout(BOUND, arrived.notified()).await.unwrap();

        serving.stop.cancel();
        go.notify_one();

        let answer = tokio::time::timeout(BOUND, asking.join_next()).await.unwrap().unwrap().unwrap();
        assert!(answer.ends_with("127.0.0.1"), "{answer}");
        tokio::time::timeout(BOUND, serving.tasks.join_next()).await.unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "it listens still");
    }
}
