//! What the cloud does on this machine, as one table: shadow updates, idle connections, durable objects.
//!
//! Each part has a `local-cloud` process of its own. Figures only: what is slow is for the reader to judge, by what
//! stands beside it from the same run.

#![expect(clippy::cast_precision_loss, reason = "figures are for people")]

mod idle;
mod mqtt;
mod objects;
mod server;
mod shadows;

use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

/// A line of the table.
pub struct Row {
    pub what: String,
    pub figure: String,
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
    pub note: String,
}

impl Row {
    pub fn new(what: impl Into<String>, figure: impl Into<String>) -> Self {
        Self { what: what.into(), figure: figure.into(), p50: None, p99: None, note: String::new() }
    }

    #[must_use]
    pub fn with(mut self, mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied();
        (self.p50, self.p99) = (at(50), at(99));
        self
    }

    #[must_use]
    pub fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn print(&self) {
        let time = |time: Option<Duration>| {
            time.map_or(String::new(), |time| format!("{:.2} ms", time.as_secs_f64() * 1000.0))
        };
        println!(
            "{:<54} {:>10} {:>10} {:>10}  {}",
            self.what,
            self.figure,
            time(self.p50),
            time(self.p99),
            self.note
        );
    }
}

fn main() -> anyhow::Result<()> {
    // The processes that are started inherit it.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        anyhow::bail!("a TLS provider was installed already");
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

/// All parts, or those that the command line names.
async fn run() -> anyhow::Result<()> {
    let named: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let mut rows = Vec::new();
    if wanted("shadows") {
        rows.extend(shadows::measure().await?);
    }
    if wanted("idle") {
        rows.extend(idle::measure().await?);
    }
    if wanted("objects") {
        rows.extend(objects::measure().await?);
    }
    let cores = std::thread::available_parallelism()?;
    println!(
        "\n{:<54} {:>10} {:>10} {:>10}",
        format!("local-cloud, {cores} cores, clients included"),
        "",
        "p50",
        "p99"
    );
    rows.iter().for_each(Row::print);
    Ok(())
}
