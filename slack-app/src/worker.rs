//! Does what was acknowledged. Each job is done once if it goes well, and a few times if it does not.

mod act;
mod answer;
mod command;
mod home;
mod screen;

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    SlackApp,
    fleet::Ports,
    job::{Job, TakenJob},
    outbox::backoff,
};

/// A job may take this long before another worker takes it.
const LEASE: Duration = Duration::from_secs(30);
/// Jobs at once: Slack's answers take a while, and a trigger does not wait.
const AT_ONCE: usize = 16;
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// Some five minutes: longer than Slack is usually away, and well within the life of a response address.
const MAX_ATTEMPTS: u32 = 10;

/// Works until `stop`, and ends what it has in hand.
pub async fn run<P: Ports>(app: SlackApp<P>, stop: CancellationToken) {
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        if running.len() >= AT_ONCE {
            running.join_next().await;
            continue;
        }
        let taken = tokio::select! {
            () = stop.cancelled() => break,
            taken = app.ports().take(LEASE, AT_ONCE - running.len()) => taken,
        };
        match taken {
            Ok(jobs) if !jobs.is_empty() => {
                for job in jobs {
                    let app = app.clone();
                    running.spawn(async move { work(&app, job).await });
                }
                continue;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = format!("{error:#}"), "could not look for Slack jobs"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = app.ports().wait() => {}
            Some(_) = running.join_next() => {}
        }
    }
    while running.join_next().await.is_some() {}
}

/// Does one job to its end. A test may call it itself.
pub async fn work<P: Ports>(app: &SlackApp<P>, taken: TakenJob) {
    let ended = match do_job(app, &taken).await {
        Ok(()) => app.ports().finish(&taken).await,
        Err(error) if taken.attempt >= MAX_ATTEMPTS => {
            tracing::error!(error = format!("{error:#}"), attempt = taken.attempt, "gave up a Slack job");
            app.ports().finish(&taken).await
        }
        Err(error) => {
            tracing::warn!(
                error = format!("{error:#}"),
                attempt = taken.attempt,
                "a Slack job will be tried again"
            );
            app.ports().retry(&taken, pause(taken.attempt)).await
        }
    };
    if let Err(error) = ended {
        tracing::warn!(error = format!("{error:#}"), "could not put a Slack job away");
    }
}

/// After so many attempts.
fn pause(attempt: u32) -> Duration {
    backoff(FIRST_RETRY, attempt.saturating_sub(1))
}

async fn do_job<P: Ports>(app: &SlackApp<P>, taken: &TakenJob) -> anyhow::Result<()> {
    match &taken.job {
        Job::Command { user, channel_id, text, trigger_id, response_url } => {
            let asker = answer::Asker {
                user,
                channel_id: Some(channel_id),
                trigger_id,
                response_url: Some(response_url),
                view: None,
                is_late: taken.attempt > 1 || taken.age > screen::TRIGGER_LIFE,
            };
            command::command(app, &asker, text).await
        }
        Job::Act(act) => {
            let asker = answer::Asker {
                user: &act.user,
                channel_id: act.channel_id.as_deref(),
                trigger_id: &act.trigger_id,
                response_url: act.response_url.as_deref(),
                view: act.view.as_ref(),
                is_late: taken.attempt > 1 || taken.age > screen::TRIGGER_LIFE,
            };
            act::act(app, &asker, act).await
        }
        Job::Home { user } => home::home(app, user).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::LONGEST_RETRY;

    #[test]
    fn a_job_outlives_slack_being_away_for_a_minute_and_is_given_up_within_ten() {
        let least: Duration = (1..MAX_ATTEMPTS).map(|attempt| pause(attempt).min(LONGEST_RETRY)).sum();
        let most: Duration = (1..MAX_ATTEMPTS).map(pause).sum();

        assert!(pause(1) < FIRST_RETRY * 2);
        assert!(least > Duration::from_mins(2), "{least:?}");
        assert!(most < Duration::from_mins(10), "{most:?}");
    }
}
