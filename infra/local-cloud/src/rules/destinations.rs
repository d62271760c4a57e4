//! HTTP destinations: a URL's owner confirms with a token before any rule may post there.

use chrono::{DateTime, Utc};

use super::{Job, Rules};
use crate::state::StoreResult;
use crate::state::rules::Destination;

/// How long a token may be used.
const TOKEN_SECONDS: i64 = 3 * 24 * 3600;

impl Rules {
    /// Writes a new destination and asks for its confirmation.
    pub fn create_destination(&self, arn: &str, url: &str, now: DateTime<Utc>) -> StoreResult<Destination> {
        let now = now.timestamp();
        let destination = Destination {
            arn: arn.to_owned(),
            url: url.to_owned(),
            status: "IN_PROGRESS".to_owned(),
            reason: "Awaiting confirmation.".to_owned(),
            token: token(),
            token_at: now,
            created: now,
            updated: now,
        };
        self.store.put_destination(&destination)?;
        self.push(Job::Confirm(destination.arn.clone()));
        Ok(destination)
    }

    /// Starts the confirmation again, with a new token.
    pub fn ask_again(&self, mut destination: Destination, now: DateTime<Utc>) -> StoreResult<()> {
        "IN_PROGRESS".clone_into(&mut destination.status);
        "Awaiting confirmation.".clone_into(&mut destination.reason);
        destination.token = token();
        destination.token_at = now.timestamp();
        destination.updated = now.timestamp();
        self.store.put_destination(&destination)?;
        self.push(Job::Confirm(destination.arn));
        Ok(())
    }

    pub fn set_destination(
        &self,
        mut destination: Destination,
        status: &str,
        reason: &str,
        now: DateTime<Utc>,
    ) -> StoreResult<()> {
        status.clone_into(&mut destination.status);
        reason.clone_into(&mut destination.reason);
        destination.updated = now.timestamp();
        self.store.put_destination(&destination)
    }

    /// Confirms by token, which serves once; answers whether it was good.
    pub fn confirm(&self, token: &str, status: &str, now: DateTime<Utc>) -> StoreResult<bool> {
        let Some(mut destination) = self.awaiting(token, now)? else { return Ok(false) };
        destination.token.clear();
        self.set_destination(destination, status, "", now)?;
        Ok(true)
    }

    /// The destination that a token confirms, while the token is good.
    pub fn awaiting(&self, token: &str, now: DateTime<Utc>) -> StoreResult<Option<Destination>> {
        let found = self.store.destinations()?.into_iter().find(|it| !token.is_empty() && it.token == token);
        Ok(found.filter(|it| it.token_at + TOKEN_SECONDS > now.timestamp()))
    }
}

fn token() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}
