//! Moments as the box keeps them: what it took the time for, and what puts that right later.

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A moment as the box saw it. As text, which sorts by time: `2026-11-22T12:00:00+00:00`, or with
/// ` BOOT MICROSECONDS` behind if it is unsure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    pub at: DateTime<Utc>,
    /// Where it lay, if `at` was only what the box itself took it for.
    pub unsure: Option<InBoot>,
}

/// A moment of one boot: comparable with others of the same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InBoot {
    pub boot: String,
    pub since_boot: Duration,
}

/// The cloud's time and where it was heard: what the next start knows of the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trusted {
    pub at: DateTime<Utc>,
    pub heard: InBoot,
}

#[derive(Debug, thiserror::Error)]
#[error("not a moment")]
pub struct NotAMoment;

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at.to_rfc3339())?;
        match &self.unsure {
            None => Ok(()),
            Some(then) => write!(f, " {} {}", then.boot, then.since_boot.as_micros()),
        }
    }
}

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        let parts: Vec<&str> = text.split(' ').collect();
        let (at, unsure) = match parts.as_slice() {
            [at] => (at, None),
            [at, boot, micros] => {
                let since_boot = micros.parse().map(Duration::from_micros).map_err(|_| NotAMoment)?;
                (at, Some(InBoot { boot: (*boot).to_owned(), since_boot }))
            }
            _ => return Err(NotAMoment),
        };
        Ok(Self { at: at.parse().map_err(|_| NotAMoment)?, unsure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_was_written() {
        let at = "2026-11-22T12:00:00.123456Z".parse().unwrap();
        let then = InBoot { boot: "b-1".to_owned(), since_boot: Duration::from_micros(1_234_567) };

        for moment in [Moment { at, unsure: None }, Moment { at, unsure: Some(then) }] {
            assert_eq!(moment.to_string().parse::<Moment>().unwrap(), moment);
        }
        assert!("2026-11-22T12:00:00Z b-1".parse::<Moment>().is_err());
    }
}
