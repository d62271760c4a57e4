//! Carries the messages of changes into the operators' channel, however long Slack is away.
//!
//! A message that could not be shown stays due; one that Slack will never take is given up, so that
//! nothing goes round for ever. The change itself stands in the fleet, whatever becomes of its message.

use std::{pin::pin, time::Duration};

use rand::Rng;
use tokio_util::sync::CancellationToken;

use crate::{
    blocks::{fallback, named_section},
    fleet::Outbox,
    i18n::Lang,
    message::{Message, message, milestones, name},
    model::ChangeStory,
    web::{Web, WebError},
};

/// One edit of a message in this time: Slack allows about fifty a minute in all.
const PAUSE: Duration = Duration::from_secs(3);
const LEASE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(3);
const FIRST_RETRY: Duration = Duration::from_secs(1);
pub const LONGEST_RETRY: Duration = Duration::from_mins(1);
/// However long Slack asks us to wait: it may have thought better of it.
const LONGEST_REST: Duration = Duration::from_mins(5);
/// A channel that is gone or archived is looked at again this often, for about a week.
const CHANNEL_RETRY: Duration = Duration::from_hours(1);
const CHANNEL_ATTEMPTS: u32 = 168;

/// A message that has to be posted or edited.
#[derive(Debug, Clone)]
pub struct DueMessage {
    /// Where it stands already; none: it has never been posted.
    pub place: Option<Posted>,
    /// Which state of the change it is to show.
    pub revision: i64,
    /// How often in a row it was taken before and not shown; whoever took it may have died.
    pub attempt: u32,
    /// How many milestones its thread tells already.
    pub told: usize,
    pub story: ChangeStory,
}

/// Where a message stands in Slack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    pub channel_id: String,
    pub ts: String,
}

/// Shows what is due until `stop`.
pub async fn run<O: Outbox>(web: Web, outbox: O, channel_id: String, stop: CancellationToken) {
    loop {
        let mut showing = pin!(show_next(&web, &outbox, &channel_id));
        let shown = tokio::select! {
            shown = &mut showing => shown,
            () = stop.cancelled() => {
                // What is under way is finished if it can be: else nobody knows whether it was posted.
                let _ = tokio::time::timeout(GRACE, showing).await;
                return;
            }
        };
        match shown {
            Ok(Shown::One) => continue,
            Ok(Shown::Nothing | Shown::PutOff) => {}
            // Slack counts the calls of all messages together: the next one would fare no better.
            Ok(Shown::Busy(pause)) => tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause.min(LONGEST_REST)) => continue,
            },
            Err(error) => tracing::warn!(error = format!("{error:#}"), "could not look for Slack messages"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = outbox.wait() => {}
        }
    }
}

/// What came of looking for a message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// None is due.
    Nothing,
    One,
    /// One is due and Slack did not take it.
    PutOff,
    /// Slack asks us to send nothing for so long.
    Busy(Duration),
}

/// Shows one message. A test may call it itself.
pub async fn show_next<O: Outbox>(web: &Web, outbox: &O, channel_id: &str) -> anyhow::Result<Shown> {
    let Some(due) = outbox.take(LEASE).await? else {
        return Ok(Shown::Nothing);
    };
    let change = &due.story.change_id;
    match show(web, outbox, &due, channel_id).await? {
        Ok((posted, told)) => {
            tracing::info!(change.id = %change, "a change's message shows `{}`", due.story.state);
            outbox.shown(&due, &posted, told, PAUSE).await?;
            return Ok(Shown::One);
        }
        Err(error) => match next_step(&error, due.attempt) {
            Next::Again(after) => {
                tracing::warn!(%error, change.id = %change, attempt = due.attempt,
                    retry_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
                    "a change's message will be sent again");
                outbox.retry(&due, after).await?;
                if matches!(error, WebError::RateLimited(_)) {
                    return Ok(Shown::Busy(after));
                }
            }
            Next::Never => {
                tracing::error!(%error, change.id = %change, attempt = due.attempt, "gave up a change's message");
                outbox.give_up(&due).await?;
            }
        },
    }
    Ok(Shown::PutOff)
}

/// The message first, then what its thread lacks. The channel is read by many: it speaks Japanese.
async fn show<O: Outbox>(
    web: &Web,
    outbox: &O,
    due: &DueMessage,
    channel_id: &str,
) -> anyhow::Result<Result<(Posted, usize), WebError>> {
    let (posted, is_new) = match place(web, due, channel_id).await {
        Ok(placed) => placed,
        Err(error) => return Ok(Err(error)),
    };
    let milestones = milestones(Lang::Ja, &due.story);
    if is_new && due.place.is_some() {
        // Its thread went with it, and the message itself tells all that was in it.
        return Ok(Ok((posted, milestones.len())));
    }
    if is_new {
        // Kept at once: what follows may fail, and the message is not to be posted twice.
        outbox.placed(due, &posted).await?;
    }
    for (number, text) in milestones.iter().enumerate().skip(due.told) {
        let name = format!("milestone:{}:{number}", due.story.change_id);
        // Slack may have posted it though its answer was lost.
        if due.attempt > 0 {
            match found(web.find_reply(&posted, &name).await) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => return Ok(Err(error)),
            }
        }
        let blocks = [named_section(&name, text)];
        match web.reply(&posted, &fallback(text), &blocks).await {
            Ok(_) => {}
            // Nobody can write into this thread any more: the message has been edited all the same.
            Err(WebError::Refused(code)) if is_gone(&code) || code == "thread_not_found" => break,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok((posted, milestones.len())))
}

/// Where the message stands now, and whether it was posted just now.
async fn place(web: &Web, due: &DueMessage, channel_id: &str) -> Result<(Posted, bool), WebError> {
    let message = message(Lang::Ja, &due.story);
    let place = match &due.place {
        Some(place) => Some(place.clone()),
        // Slack may have posted it though its answer was lost.
        None if due.attempt > 0 => found(web.find_message(channel_id, &name(&due.story.change_id)).await)?,
        None => None,
    };
    let Some(place) = place else {
        return Ok((post(web, channel_id, &message).await?, true));
    };
    match web.update_message(&place, &message.text, &message.blocks).await {
        Ok(()) => Ok((place, false)),
        // Somebody deleted it, or Slack edits it no more: the change still has its one message.
        Err(WebError::Refused(code)) if is_gone(&code) => {
            tracing::warn!(change.id = %due.story.change_id, "a change's message is gone and is posted anew");
            Ok((post(web, channel_id, &message).await?, true))
        }
        Err(error) => Err(error),
    }
}

/// What a look for something that may have been posted already found: nothing, if Slack will not let us look,
/// so it is posted perhaps a second time. While Slack does not answer, nothing is posted.
fn found<T: Default>(looked: Result<T, WebError>) -> Result<T, WebError> {
    if let Err(error @ WebError::Refused(_)) = &looked {
        tracing::warn!(%error, "could not look for what may have been posted");
        return Ok(T::default());
    }
    looked
}

async fn post(web: &Web, channel_id: &str, message: &Message) -> Result<Posted, WebError> {
    web.post_message(channel_id, &message.text, &message.blocks).await
}

enum Next {
    Again(Duration),
    Never,
}

fn next_step(error: &WebError, attempt: u32) -> Next {
    match error {
        WebError::RateLimited(told) => Next::Again(jittered(told.unwrap_or(FIRST_RETRY).max(FIRST_RETRY))),
        WebError::Unavailable(_) => Next::Again(backoff(FIRST_RETRY, attempt)),
        // An administrator may mend the channel or the token.
        WebError::Refused(code) if is_closed(code) && attempt < CHANNEL_ATTEMPTS => {
            Next::Again(jittered(CHANNEL_RETRY))
        }
        WebError::Refused(_) => Next::Never,
    }
}

fn is_gone(code: &str) -> bool {
    matches!(code, "message_not_found" | "cant_update_message" | "edit_window_closed")
}

fn is_closed(code: &str) -> bool {
    matches!(
        code,
        "channel_not_found"
            | "is_archived"
            | "not_in_channel"
            | "restricted_action"
            | "invalid_auth"
            | "not_authed"
            | "account_inactive"
            | "token_revoked"
            | "token_expired"
            | "missing_scope"
    )
}

/// Twice as long each time, up to [`LONGEST_RETRY`].
pub fn backoff(first: Duration, failures: u32) -> Duration {
    jittered(first.saturating_mul(2_u32.saturating_pow(failures.min(10))).min(LONGEST_RETRY))
}

/// Up to half as long again, so that many do not come back at once.
pub fn jittered(time: Duration) -> Duration {
    time.mul_f64(1.0 + rand::rng().random_range(0.0..0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(error: &WebError, attempt: u32) -> Option<Duration> {
        match next_step(error, attempt) {
            Next::Again(after) => Some(after),
            Next::Never => None,
        }
    }

    #[test]
    fn slack_is_waited_for_as_long_as_it_asks() {
        let told = WebError::RateLimited(Some(Duration::from_secs(30)));

        assert!(after(&told, 0).unwrap() >= Duration::from_secs(30));
    }

    #[test]
    fn slack_away_is_tried_for_ever_but_ever_more_slowly() {
        let away = WebError::Unavailable("no connection");

        assert!(after(&away, 0).unwrap() < Duration::from_secs(2));
        assert!(after(&away, 1000).unwrap() >= LONGEST_RETRY);
        assert!(after(&away, 1000).unwrap() <= LONGEST_RETRY * 2);
    }

    #[test]
    fn a_channel_that_is_gone_is_given_up_in_the_end() {
        let gone = WebError::Refused("is_archived".to_owned());

        assert!(after(&gone, 3).unwrap() >= CHANNEL_RETRY);
        assert!(after(&gone, CHANNEL_ATTEMPTS).is_none());
        assert!(after(&WebError::Refused("invalid_blocks".to_owned()), 0).is_none());
    }
}
