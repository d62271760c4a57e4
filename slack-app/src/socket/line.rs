//! One line to Slack, from its opening to its end. What is under way when it ends is answered if it can be.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};
use tokio_util::sync::CancellationToken;

use crate::{
    SlackApp,
    fleet::Ports,
    request::MAX_BODY_BYTES,
    socket::{
        LineError,
        envelope::{self, Said},
    },
};

const OPENING: Duration = Duration::from_secs(10);
const BEAT: Duration = Duration::from_secs(10);
/// Slack answers each beat: a line on which nothing comes is dead, whatever TCP believes.
const SILENCE: Duration = Duration::from_secs(30);
const SENDING: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(3);
/// Requests at once; more wait in Slack's hands.
const AT_ONCE: usize = 64;

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a line and serves it to its end; tells how long it stood.
pub async fn hold<P: Ports>(app: &SlackApp<P>, stop: &CancellationToken) -> Result<Duration, LineError> {
    let opening = async {
        let url = app.web().open_line().await?;
        connect(&app.settings().api_url, &url).await
    };
    let stream = tokio::select! {
        () = stop.cancelled() => return Ok(Duration::ZERO),
        stream = opening => stream?,
    };
    let began = Instant::now();
    let why = serve(app, stream, stop).await;
    tracing::info!(
        duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "a line to Slack ended: {why}"
    );
    Ok(began.elapsed())
}

async fn connect(api_url: &str, url: &str) -> Result<Stream, LineError> {
    // Only a local Slack, which has no certificate, may give an address without TLS.
    let is_local = api_url.starts_with("http://");
    if !(url.starts_with("wss://") || is_local && url.starts_with("ws://")) {
        return Err(LineError::Unsafe);
    }
    let most = Some(4 * MAX_BODY_BYTES);
    let limits = WebSocketConfig::default().max_message_size(most).max_frame_size(most);
    match tokio::time::timeout(OPENING, connect_async_with_config(url, Some(limits), true)).await {
        Ok(Ok((stream, _))) => Ok(stream),
        // Its error may quote the address.
        Ok(Err(_)) => Err(LineError::Unavailable("no WebSocket")),
        Err(_) => Err(LineError::Unavailable("no answer in time")),
    }
}

/// Takes what is said until the line, or we, come to an end; tells why.
async fn serve<P: Ports>(app: &SlackApp<P>, mut stream: Stream, stop: &CancellationToken) -> &'static str {
    let mut answers = JoinSet::new();
    let mut heard = Instant::now();
    let mut beat = tokio::time::interval(BEAT);
    let why = loop {
        tokio::select! {
            () = stop.cancelled() => break "we stop",
            Some(answer) = answers.join_next() => {
                if let Ok(Some(answer)) = answer && !send(&mut stream, Message::text(answer)).await {
                    break "nothing can be sent";
                }
            }
            _ = beat.tick() => {
                if heard.elapsed() > SILENCE {
                    break "nothing was heard for too long";
                }
                if !send(&mut stream, Message::Ping(bytes::Bytes::new())).await {
                    break "nothing can be sent";
                }
            }
            message = stream.next(), if answers.len() < AT_ONCE => {
                heard = Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => match envelope::read(&text) {
                        Some(Said::Hello) => tracing::info!("a line to Slack stands"),
                        Some(Said::Disconnect) => break "Slack asked for a new one",
                        Some(Said::Asked(asked)) => {
                            let app = app.clone();
                            answers.spawn(async move { envelope::answer(&app, asked).await });
                        }
                        None => tracing::warn!("something came from Slack that is not known here"),
                    },
                    Some(Ok(Message::Close(_))) | None => break "Slack closed it",
                    Some(Err(_)) => break "it broke",
                    Some(Ok(_)) => {}
                }
            }
        }
    };
    let rest = async {
        while let Some(answer) = answers.join_next().await {
            if let Ok(Some(answer)) = answer
                && !send(&mut stream, Message::text(answer)).await
            {
                return;
            }
        }
        // Whoever closed it first, it is over.
        let _ = stream.close(None).await;
    };
    if tokio::time::timeout(GRACE, rest).await.is_err() {
        tracing::warn!("not all that came over a line to Slack could be answered before it ended");
    }
    why
}

async fn send(stream: &mut Stream, message: Message) -> bool {
    matches!(tokio::time::timeout(SENDING, stream.send(message)).await, Ok(Ok(())))
}
