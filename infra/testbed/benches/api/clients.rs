//! Clients that ask one after the other, all at once, for some seconds.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures::future::try_join_all;

pub const CLIENTS: usize = 16;
const WARM: Duration = Duration::from_secs(2);
const TIME: Duration = Duration::from_secs(10);

/// How many a second, and how long each took.
pub struct Figures {
    pub a_second: f64,
    half: Duration,
    p99: Duration,
}

/// Has every client ask again and again; `ask` is told which client it is and its how-manieth turn.
pub async fn measured(ask: impl AsyncFn(usize, usize) -> Result<()>) -> Result<Figures> {
    let begun = Instant::now();
    let clients = (0..CLIENTS).map(async |client| {
        let mut took = Vec::new();
        for turn in 0.. {
            let started = Instant::now();
            if started.duration_since(begun) >= WARM + TIME {
                break;
            }
            ask(client, turn).await?;
            if started.duration_since(begun) >= WARM {
                took.push(started.elapsed());
            }
        }
        anyhow::Ok(took)
    });
    let mut took = try_join_all(clients).await?.concat();
    took.sort_unstable();
    ensure!(!took.is_empty(), "not one was answered in time");
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    Ok(Figures { a_second: took.len() as f64 / TIME.as_secs_f64(), half: at(50), p99: at(99) })
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(f, "{:.0}/s, median {:.1} ms, p99 {:.1} ms", self.a_second, ms(self.half), ms(self.p99))
    }
}
