//! Does what was acknowledged: opens modals within their trigger's three seconds, and answers in words.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    SlackApp,
    command::Asked,
    fleet::{BoxView, Job, Ports, Role, SlackUser, TakenJob},
    i18n::{Lang, fill},
    lan_view::lan_modal,
    notice,
    web::WebError,
};

/// A job may take this long before another worker takes it.
const LEASE: Duration = Duration::from_secs(30);
/// Jobs at once: Slack's answers take a while, and a trigger does not wait.
const AT_ONCE: usize = 16;
/// A trigger is good for three seconds; one that is this old is not worth a call.
const TRIGGER_LIFE: Duration = Duration::from_millis(2800);
const LANGUAGE_PATIENCE: Duration = Duration::from_millis(1500);
const RETRY_AFTER: Duration = Duration::from_secs(2);
const MAX_ATTEMPTS: u32 = 5;

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
            taken = app.ports().take(LEASE) => taken,
        };
        match taken {
            Ok(Some(job)) => {
                let app = app.clone();
                running.spawn(async move { work(&app, job).await });
                continue;
            }
            Ok(None) => {}
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
            app.ports().retry(&taken, RETRY_AFTER * taken.attempt.max(1)).await
        }
    };
    if let Err(error) = ended {
        tracing::warn!(error = format!("{error:#}"), "could not put a Slack job away");
    }
}

async fn do_job<P: Ports>(app: &SlackApp<P>, taken: &TakenJob) -> anyhow::Result<()> {
    let Job::Command { user, text, trigger_id, response_url, .. } = &taken.job;
    let asked: Asked = text.parse().unwrap_or(Asked::Help);
    match asked {
        Asked::Lan { target } if !target.is_empty() => {
            open_lan(app, user, &target, text, taken, trigger_id, response_url).await
        }
        asked => {
            let lang = app.locales().lang_of(app.web(), &user.user_id, LANGUAGE_PATIENCE).await;
            let answer = match role(app, user).await? {
                None => lang.words().no_role.to_owned(),
                Some(_) => answer(app, lang, asked).await?,
            };
            Ok(app.web().respond(response_url, &notice::ephemeral(&answer)).await?)
        }
    }
}

/// What is told in words, to the asker only.
async fn answer<P: Ports>(app: &SlackApp<P>, lang: Lang, asked: Asked) -> anyhow::Result<String> {
    let which = |verb| fill(lang.words().which_box, &[("verb", verb)]);
    Ok(match asked {
        Asked::Help => notice::help(lang),
        Asked::Unknown { text } => notice::unknown_command(lang, &text),
        Asked::Lan { .. } => which("lan"),
        Asked::Status { target } if target.is_empty() => which("status"),
        Asked::Status { target } => match one(app, lang, &target).await? {
            Ok(device) => notice::status(lang, &device),
            Err(words) => words,
        },
    })
}

/// The modal opens at once, empty, because the trigger dies soon; then it gets what belongs in it.
async fn open_lan<P: Ports>(
    app: &SlackApp<P>,
    user: &SlackUser,
    target: &str,
    text: &str,
    taken: &TakenJob,
    trigger_id: &str,
    response_url: &str,
) -> anyhow::Result<()> {
    let known = app.locales().known(&user.user_id).unwrap_or_default();
    let opened = if taken.age > TRIGGER_LIFE || taken.attempt > 1 {
        Err(WebError::Refused("expired_trigger_id".to_owned()))
    } else {
        app.web().open_view(trigger_id, &notice::loading(known)).await
    };
    let lang = app.locales().lang_of(app.web(), &user.user_id, LANGUAGE_PATIENCE).await;
    let view_id = match opened {
        Ok(view_id) => view_id,
        Err(error) => {
            tracing::warn!(%error, slack.user_id = %user.user_id, "could not open a modal");
            let words = fill(lang.words().too_late, &[("text", &crate::blocks::code(text))]);
            return Ok(app.web().respond(response_url, &notice::ephemeral(&words)).await?);
        }
    };
    let view = match lan_or_words(app, user, lang, target).await {
        Ok(Ok(device)) => lan_modal(lang, &device),
        Ok(Err(words)) => notice::notice(lang, &words),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "could not look up what a modal shows");
            notice::notice(lang, lang.words().failed)
        }
    };
    match app.web().update_view(&view_id, &view).await {
        Ok(()) => Ok(()),
        Err(WebError::Refused(code)) if code == "not_found" => {
            tracing::info!("a modal was closed before it was filled");
            Ok(())
        }
        Err(first) => {
            // The modal stands there, loading: once more, then the asker is told.
            tracing::warn!(error = %first, "could not fill a modal; trying once more");
            tokio::time::sleep(pause(&first)).await;
            match app.web().update_view(&view_id, &view).await {
                Ok(()) => Ok(()),
                Err(WebError::Refused(code)) if code == "not_found" => Ok(()),
                Err(error) => {
                    tracing::error!(%error, "could not fill a modal");
                    let answer = notice::ephemeral(lang.words().failed);
                    Ok(app.web().respond(response_url, &answer).await?)
                }
            }
        }
    }
}

/// The box that is to be changed, or why it is not, in words.
async fn lan_or_words<P: Ports>(
    app: &SlackApp<P>,
    user: &SlackUser,
    lang: Lang,
    target: &str,
) -> anyhow::Result<Result<BoxView, String>> {
    match role(app, user).await? {
        Some(role) if role.may_change() => {}
        Some(_) => return Ok(Err(lang.words().not_allowed.to_owned())),
        None => return Ok(Err(lang.words().no_role.to_owned())),
    }
    let found = one(app, lang, target).await?;
    Ok(found.and_then(|device| match &device.open_change {
        Some((change, _)) => Err(notice::change_open(lang, change)),
        None => Ok(device),
    }))
}

/// The one box that is meant, or words for why none or too many are.
async fn one<P: Ports>(
    app: &SlackApp<P>,
    lang: Lang,
    target: &str,
) -> anyhow::Result<Result<BoxView, String>> {
    let mut found = app.ports().find(target).await?;
    Ok(match found.len() {
        0 => Err(notice::unknown_box(lang, target)),
        1 => Ok(found.swap_remove(0)),
        _ => Err(notice::several_boxes(lang, target, &found)),
    })
}

async fn role<P: Ports>(app: &SlackApp<P>, user: &SlackUser) -> anyhow::Result<Option<Role>> {
    app.ports().role_of(user).await
}

fn pause(error: &WebError) -> Duration {
    const SHORT: Duration = Duration::from_millis(500);
    const LONG: Duration = Duration::from_secs(5);
    match error {
        WebError::RateLimited(Some(told)) => (*told).clamp(SHORT, LONG),
        _ => SHORT,
    }
}
