//! Socket Mode: Slack's requests over lines that we open, for a workspace that cannot reach us.
//!
//! What comes over a line is done by the same code as what comes over HTTP; only the proof differs: the line
//! was opened with the app's own token, so nothing on it is signed.

mod envelope;
mod line;

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{SlackApp, fleet::Ports, outbox::jittered, web::WebError};

/// Slack renews each line every few hours: the other one stands meanwhile.
const LINES: usize = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A line that stood this long was a good one: the next need not be waited for.
const GOOD: Duration = Duration::from_secs(30);

/// Why there is no line. It says nothing of the line's address, which is as good as a key.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error(transparent)]
    Web(#[from] WebError),
    #[error("Slack gave an address that is not safe to use")]
    Unsafe,
    #[error("the line cannot be opened: {0}")]
    Unavailable(&'static str),
}

/// Holds the lines until `stop`.
pub async fn run<P: Ports>(app: SlackApp<P>, stop: CancellationToken) {
    let mut lines = JoinSet::new();
    for _ in 0..LINES {
        lines.spawn(keep(app.clone(), stop.clone()));
    }
    while lines.join_next().await.is_some() {}
}

/// One line after the other.
async fn keep<P: Ports>(app: SlackApp<P>, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    loop {
        let held = line::hold(&app, &stop).await;
        if stop.is_cancelled() {
            return;
        }
        let wait = match &held {
            Ok(stood) if *stood >= GOOD => {
                pause = FIRST_PAUSE;
                pause
            }
            Err(LineError::Web(WebError::RateLimited(Some(told)))) => (*told).max(pause),
            // Somebody must look: the token is wrong, or Socket Mode is off in the app's settings.
            Err(error @ LineError::Web(WebError::Refused(_))) => {
                tracing::error!(%error, "Slack gives us no line");
                LONGEST_PAUSE
            }
            Err(error) => {
                tracing::warn!(%error, "there is no line to Slack; it is tried again");
                pause
            }
            Ok(_) => pause,
        };
        pause = (pause * 2).min(LONGEST_PAUSE);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(jittered(wait)) => {}
        }
    }
}
