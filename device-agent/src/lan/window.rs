//! Waits until a change may be tried: inside its window, by a clock that can be trusted, with enough of
//! it left for a rollback.

use std::time::Duration;

use chrono::TimeDelta;
use device_model::window::{Position, Window};
use tokio::time::sleep;

use crate::clock::Clock;

/// The clock may be put right at any moment.
const LOOK_WHILE_UNSURE: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed;

/// Returns once the window is open for a trial of that length, or will never be again. It is looked at so
/// often, or when it says that it opens.
pub async fn wait(
    window: &Window,
    clock: &Clock,
    longest_trial: Duration,
    look: Duration,
) -> Result<(), Missed> {
    loop {
        match position(window, clock, longest_trial) {
            Position::Inside => return Ok(()),
            Position::Missed => return Err(Missed),
            Position::Outside => sleep(until_next_look(window, clock).min(look)).await,
        }
    }
}

/// True if a trial of that length may begin now.
pub fn is_open(window: &Window, clock: &Clock, longest_trial: Duration) -> bool {
    position(window, clock, longest_trial) == Position::Inside
}

/// By a clock that nobody vouches for a window is neither open nor missed.
fn position(window: &Window, clock: &Clock, longest_trial: Duration) -> Position {
    if !clock.is_synced() {
        return Position::Outside;
    }
    let now = clock.now();
    let end = now + TimeDelta::from_std(longest_trial).unwrap_or_default();
    match (window.position(now), window.position(end)) {
        (Position::Inside, Position::Inside) => Position::Inside,
        (Position::Missed, _) | (_, Position::Missed) => Position::Missed,
        _ => Position::Outside,
    }
}

fn until_next_look(window: &Window, clock: &Clock) -> Duration {
    if !clock.is_synced() {
        return LOOK_WHILE_UNSURE;
    }
    let opens_in = window.not_before().and_then(|start| (start - clock.now()).to_std().ok());
    opens_in.map_or(Duration::MAX, |wait| wait.max(SHORTEST))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_window_that_leaves_no_time_for_a_rollback_is_missed() {
        let now: DateTime<Utc> = "2026-11-22T00:00:00Z".parse().unwrap();
        let window: Window = serde_json::from_value(json!({"notAfter": "2026-11-22T00:05:00Z"})).unwrap();
        let clock = Clock::reading(move || now);
        let of = |minutes| position(&window, &clock, Duration::from_mins(minutes));

        assert_eq!(of(1), Position::Outside);
        clock.learn(now);

        assert_eq!(of(1), Position::Inside);
        assert_eq!(of(6), Position::Missed);
    }
}
