//! Receipts and steps of changes as they come, for whoever follows them: each told once to each follower,
//! who may go on after a break where it was.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{Stream, stream};
use tokio::time::Instant;

use crate::{
    error::ApiError,
    fleet::Fleet,
    store::feed::{self, Place, Row},
};

/// How long a follower may be away.
pub const KEPT: TimeDelta = TimeDelta::days(7);
/// So many may follow one replica at once.
pub const FOLLOWERS: usize = 64;
/// How often it is looked for something new.
const PACE: Duration = Duration::from_millis(500);
/// After this the follower comes again, with credentials that are looked at again.
const LIFETIME: Duration = Duration::from_mins(15);
const AT_ONCE: i64 = 200;

/// Where a follower stands, as it is told and as it comes back: transaction, row, and when that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    place: Place,
    seconds: i64,
}

/// What a follower is told.
pub enum Told {
    /// Where it begins.
    Beginning(Mark),
    Row(Mark, Box<Row>),
}

struct Following {
    fleet: Fleet,
    mark: Mark,
    batch: std::vec::IntoIter<Row>,
    until: Instant,
    begun: bool,
    _seat: tokio::sync::OwnedSemaphorePermit,
}

impl Fleet {
    /// Follows from a mark on, or from now.
    pub async fn follow(&self, from: Option<Mark>) -> Result<impl Stream<Item = Told> + use<>, ApiError> {
        let seat = self.followers.clone().try_acquire_owned().map_err(|_| ApiError::TooManyFollowers)?;
        let now = self.clock().now();
        let end = feed::end(&mut *self.db().acquire().await?).await?;
        let mark = match from {
            None => Mark { place: end, seconds: now.timestamp() },
            // Older than what is kept, or of a database that this one was not restored to.
            Some(mark)
                if mark.seconds < (now - KEPT).timestamp() || mark.place.transaction > end.transaction =>
            {
                return Err(ApiError::FeedGone);
            }
            Some(mark) => mark,
        };
        let following = Following {
            fleet: self.clone(),
            mark,
            batch: Vec::new().into_iter(),
            until: Instant::now() + LIFETIME,
            begun: false,
            _seat: seat,
        };
        Ok(stream::unfold(following, |mut following| async {
            let told = following.next().await?;
            Some((told, following))
        }))
    }
}

impl Following {
    /// None: the follower has been here for long, or the process ends.
    async fn next(&mut self) -> Option<Told> {
        if !self.begun {
            self.begun = true;
            return Some(Told::Beginning(self.mark.clone()));
        }
        loop {
            if let Some(row) = self.batch.next() {
                let place = Place { transaction: row.transaction.parse().ok()?, feed_id: row.feed_id };
                self.mark = Mark { place, seconds: row.at.timestamp() };
                return Some(Told::Row(self.mark.clone(), Box::new(row)));
            }
            if self.fleet.is_finishing() || Instant::now() >= self.until {
                return None;
            }
            match self.read().await {
                Ok(rows) if rows.is_empty() => tokio::time::sleep(PACE).await,
                Ok(rows) => self.batch = rows.into_iter(),
                Err(error) => {
                    // It comes again and goes on where it was.
                    tracing::warn!(error = %error, "a follower of the feed was sent away");
                    return None;
                }
            }
        }
    }

    async fn read(&self) -> sqlx::Result<Vec<Row>> {
        let mut db = self.fleet.db().acquire().await?;
        feed::after(&mut db, &self.mark.place, AT_ONCE).await
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.place.transaction, self.place.feed_id, self.seconds)
    }
}

impl std::str::FromStr for Mark {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let none = || ApiError::malformed("Last-Event-ID is none of ours");
        let mut parts = text.split('-');
        let (Some(transaction), Some(feed_id), Some(seconds), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(none());
        };
        Ok(Self {
            place: Place {
                transaction: transaction.parse().map_err(|_| none())?,
                feed_id: feed_id.parse().map_err(|_| none())?,
            },
            seconds: seconds.parse().map_err(|_| none())?,
        })
    }
}

/// What is older is forgotten.
pub fn forgotten_before(now: DateTime<Utc>) -> DateTime<Utc> {
    now - KEPT
}
