//! How long the LAN machine waits for what, and above all a change that came to nothing for its next attempt.

use std::{str::FromStr, time::Duration};

use chrono::{DateTime, Utc};

use crate::{backoff::Backoff, lan::ending::Setbacks};

/// The wait after the first setback, the second, the third.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses(pub [Duration; 3]);

#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// Between the attempts of one change.
    pub pauses: Pauses,
    /// How often it is looked whether somebody on site has changed the settings.
    pub drift: Duration,
    /// How often a closed window is looked at, if it does not say when it opens.
    pub window: Duration,
    /// The first wait, and the longest, after the journal or the interface did not do what must be done.
    pub retry: (Duration, Duration),
}

#[derive(Debug, thiserror::Error)]
#[error("must be three numbers of seconds, like 30,120,600")]
pub struct NotPauses;

impl Pauses {
    /// What is left of the wait. The clock may have jumped since: it is never longer than the whole.
    pub fn left(&self, setbacks: &Setbacks, now: DateTime<Utc>) -> Duration {
        let Some(last) = &setbacks.last else {
            return Duration::ZERO;
        };
        let index = usize::try_from(setbacks.count).unwrap_or(usize::MAX).saturating_sub(1);
        let whole = self.0[index.min(self.0.len() - 1)];
        let passed = now.signed_duration_since(last.at).to_std().unwrap_or_default();
        whole.saturating_sub(passed)
    }
}

impl Waits {
    pub fn with(pauses: Pauses) -> Self {
        Self {
            pauses,
            drift: Duration::from_mins(3),
            window: Duration::from_secs(15),
            retry: (Duration::from_secs(1), Duration::from_mins(1)),
        }
    }

    pub fn backoff(&self) -> Backoff {
        Backoff::new(self.retry.0, self.retry.1)
    }
}

impl Default for Pauses {
    fn default() -> Self {
        Self([Duration::from_secs(30), Duration::from_mins(2), Duration::from_mins(10)])
    }
}

impl FromStr for Pauses {
    type Err = NotPauses;

    fn from_str(text: &str) -> Result<Self, NotPauses> {
        let seconds: Vec<u64> = text
            .split(',')
            .map(|part| part.trim().parse())
            .collect::<Result<_, _>>()
            .map_err(|_| NotPauses)?;
        let seconds: [u64; 3] = seconds.try_into().map_err(|_| NotPauses)?;
        Ok(Self(seconds.map(Duration::from_secs)))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::lan::ending::Setback;

    #[test]
    fn a_pause_grows_and_is_never_longer_than_itself_whatever_the_clock_does() {
        let at: DateTime<Utc> = "2026-11-22T00:00:00Z".parse().unwrap();
        let last = Some(Setback { code: "NO_LEASE".to_owned(), detail: None, at });
        let left =
            |count, now| Pauses::default().left(&Setbacks { count, last: last.clone() }, now).as_secs();

        assert_eq!([left(1, at), left(2, at), left(3, at), left(9, at)], [30, 120, 600, 600]);
        assert_eq!(left(1, at + TimeDelta::seconds(10)), 20);
        assert_eq!(left(1, at + TimeDelta::days(400)), 0);
        assert_eq!(left(1, at - TimeDelta::days(400)), 30);
        assert_eq!(Pauses::default().left(&Setbacks::default(), at), Duration::ZERO);
    }

    #[test]
    fn pauses_are_three_numbers_of_seconds() {
        assert_eq!("30, 120,600".parse::<Pauses>().unwrap(), Pauses::default());
        for text in ["", "30", "1,2,3,4", "1,2,x", "1,2,-3"] {
            assert!(text.parse::<Pauses>().is_err(), "{text}");
        }
    }
}
