//! What the process tells of itself: logs, readable on a terminal and JSON otherwise, on stderr, since stdout is
//! for answers; and spans for a collector, if there is one ([`traces`]).

pub mod traces;

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Once a process.
pub fn init(traces: Option<&traces::Traces>) {
    // A WebSocket's first request holds the ticket of a line to Slack.
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(format!("{wanted},tungstenite=info"));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = fmt::layer().with_writer(std::io::stderr);
    let logs = if std::io::stderr().is_terminal() { logs.boxed() } else { logs.json().boxed() };
    tracing_subscriber::registry()
        .with(logs.with_filter(filter))
        .with(traces.map(traces::Traces::layer))
        .init();
}
