//! What a button, a choice or a shortcut brings. A click that is late, doubled or not the asker's to make
//! is refused in words: what holds is what the fleet says now, not what the button once stood for.

use anyhow::Context;
use device_model::{change_id::ChangeId, thing_name::ThingName};

use crate::{
    SlackApp,
    blocks::Block,
    chooser,
    fleet::Ports,
    i18n::Lang,
    job::Act,
    lan_view, lists,
    model::{BoxView, ChangeStory, Which},
    notice, password_view,
    preview::{self, Metadata, Source},
    status_view, verb,
    wanted::{self, Unwanted},
    worker::{
        answer::{Asker, Need},
        home, screen,
    },
};

/// A history that fits into a spreadsheet that people still read.
const IN_A_FILE: usize = 1000;

pub async fn act<P: Ports>(app: &SlackApp<P>, asker: &Asker<'_>, act: &Act) -> anyhow::Result<()> {
    match act.verb.as_str() {
        verb::CANCEL | verb::APPROVE => decide(app, asker, act).await,
        verb::CSV => csv(app, asker, act).await,
        verb::REFRESH => home::home(app, asker.user).await,
        verb::HELP => {
            let lang = asker.lang(app).await;
            asker.tell(app, lang, &notice::help(lang)).await
        }
        _ => in_modal(app, asker, act).await,
    }
}

/// What an act needs a role for.
pub fn need(verb: &str) -> Need {
    match verb {
        verb::LAN
        | verb::ROLLBACK
        | verb::RETRY
        | verb::CANCEL
        | verb::PASSWORD
        | verb::MODE
        | verb::WHEN => Need::Change,
        verb::APPROVE | verb::REJECT => Need::Approve,
        _ => Need::Look,
    }
}

/// The modal of a verb, for one box.
pub async fn view<P: Ports>(
    app: &SlackApp<P>,
    lang: Lang,
    verb: &str,
    device: &BoxView,
) -> anyhow::Result<Block> {
    let words = lang.words();
    Ok(match verb {
        verb::LAN => lan_view::lan_modal(lang, device, wanted::open(app, device).await?.as_ref()),
        verb::ROLLBACK => {
            let applied = app.ports().changes(Which::Of(device.thing.clone()), lists::SHOWN).await?;
            match applied.into_iter().find(|story| story.state == device_model::change::ChangeState::Applied)
            {
                Some(story) => again(app, lang, &device.thing, Source::Before(story.change_id)).await?,
                None => notice::notice(lang, words.nothing_before),
            }
        }
        verb::HISTORY => notice::showing(lang, words.menu_history, &history(app, lang, device).await?),
        _ => notice::showing(lang, words.menu_status, &status_view::status(lang, device)),
    })
}

pub async fn history<P: Ports>(
    app: &SlackApp<P>,
    lang: Lang,
    device: &BoxView,
) -> anyhow::Result<Vec<Block>> {
    let changes = app.ports().changes(Which::Of(device.thing.clone()), lists::SHOWN).await?;
    Ok(lists::history(lang, device, &changes))
}

/// One more than is shown, so that it can be said that there are more.
pub async fn changes<P: Ports>(app: &SlackApp<P>, which: Which) -> anyhow::Result<Vec<ChangeStory>> {
    app.ports().changes(which, lists::SHOWN * 10).await
}

async fn in_modal<P: Ports>(app: &SlackApp<P>, asker: &Asker<'_>, act: &Act) -> anyhow::Result<()> {
    let Some(screen) = screen::open(app, asker).await? else {
        return Ok(());
    };
    let lang = asker.lang(app).await;
    let made = modal(app, asker, act, lang).await;
    screen.fill_with(app, asker, lang, made).await
}

async fn modal<P: Ports>(
    app: &SlackApp<P>,
    asker: &Asker<'_>,
    act: &Act,
    lang: Lang,
) -> anyhow::Result<Block> {
    let words = lang.words();
    let verb = match (act.verb.as_str(), asker.view) {
        (verb::CHOOSE, Some(view)) => serde_json::from_str::<chooser::Metadata>(&view.private_metadata)?.verb,
        (verb, _) => verb.to_owned(),
    };
    if let Some(refused) = asker.refused(app, lang, need(&verb)).await? {
        return Ok(notice::notice(lang, refused));
    }
    Ok(match verb.as_str() {
        verb::PENDING => {
            let changes = changes(app, Which::Pending).await?;
            notice::showing(lang, words.menu_pending, &lists::pending(lang, &changes))
        }
        verb::APPROVALS => {
            let changes = changes(app, Which::Unapproved).await?;
            notice::showing(lang, words.menu_approvals, &lists::approvals(lang, &changes))
        }
        verb::REJECT => match story(app, &act.about).await? {
            Some(story) => notice::rejecting(lang, &story),
            None => notice::notice(lang, words.unknown_change),
        },
        verb::RETRY => match story(app, &act.about).await? {
            Some(story) => again(app, lang, &story.thing, Source::Again(story.change_id)).await?,
            None => notice::notice(lang, words.unknown_change),
        },
        verb::MODE | verb::WHEN => {
            let view = asker.view.context("the LAN form is gone")?;
            let metadata: lan_view::Metadata = serde_json::from_str(&view.private_metadata)?;
            match app.ports().device(&metadata.thing).await? {
                Some(device) => {
                    let open = wanted::open(app, &device).await?;
                    lan_view::chosen(lang, &device, open.as_ref(), &view.values)
                }
                None => notice::notice(lang, &notice::unknown_box(lang, metadata.thing.as_str())),
            }
        }
        _ if act.about.is_empty() => chooser::modal(lang, &verb, "", &[]),
        verb::PASSWORD => password(app, asker, lang, &act.about).await?,
        verb => match device(app, &act.about).await? {
            Some(device) => view(app, lang, verb, &device).await?,
            None => notice::notice(lang, &notice::unknown_box(lang, &act.about)),
        },
    })
}

/// A preview of settings that stand in a change.
async fn again<P: Ports>(
    app: &SlackApp<P>,
    lang: Lang,
    thing: &ThingName,
    source: Source,
) -> anyhow::Result<Block> {
    let metadata = Metadata { thing: thing.clone(), source, seen: String::new() };
    Ok(match wanted::wanted(app, lang, &metadata).await? {
        Ok((device, wanted))
            if device.lan.as_ref() == Some(&wanted.after)
                && wanted.share.is_none()
                && wanted.replaces.is_none() =>
        {
            notice::notice(lang, lang.words().runs_already)
        }
        Ok((device, wanted)) => preview::preview(lang, &device, metadata.source, &wanted),
        Err(Unwanted::Errors(errors)) => notice::notice(lang, &wanted::listed(&errors)),
        Err(Unwanted::Told(words)) => notice::notice(lang, &words),
    })
}

async fn password<P: Ports>(
    app: &SlackApp<P>,
    asker: &Asker<'_>,
    lang: Lang,
    about: &str,
) -> anyhow::Result<Block> {
    let Some(device) = device(app, about).await? else {
        return Ok(notice::notice(lang, &notice::unknown_box(lang, about)));
    };
    let made = app.ports().password_page(asker.user, &device.thing, lang).await;
    Ok(match made {
        Ok(page) => password_view::modal(lang, &device, &page),
        Err(refusal) => notice::notice(lang, &notice::refusal(lang, &refusal)),
    })
}

/// Cancels or approves. In the channel the change's own message shows that it was done.
async fn decide<P: Ports>(app: &SlackApp<P>, asker: &Asker<'_>, act: &Act) -> anyhow::Result<()> {
    let lang = asker.lang(app).await;
    let words = lang.words();
    if let Some(refused) = asker.refused(app, lang, need(&act.verb)).await? {
        return asker.tell(app, lang, refused).await;
    }
    let Ok(change) = act.about.parse::<ChangeId>() else {
        return asker.tell(app, lang, words.unknown_change).await;
    };
    let (done, said) = match act.verb.as_str() {
        verb::APPROVE => (app.ports().approve(asker.user, &change).await, words.approved_done),
        _ => (app.ports().cancel(asker.user, &change, None).await, words.cancelled_done),
    };
    match done {
        Ok(()) => {
            tracing::info!(change.id = %change, slack.user_id = %asker.user.user_id, "`{}` from Slack", act.verb);
            if asker.response_url.is_some() || asker.view.is_some() {
                asker.tell(app, lang, said).await?;
            }
            asker.refresh(app).await
        }
        Err(crate::model::Refusal::Internal(error)) => Err(error),
        Err(refusal) => {
            asker.tell(app, lang, &notice::refusal(lang, &refusal)).await?;
            asker.refresh(app).await
        }
    }
}

/// The history as a file, in the direct message with the asker.
async fn csv<P: Ports>(app: &SlackApp<P>, asker: &Asker<'_>, act: &Act) -> anyhow::Result<()> {
    let lang = asker.lang(app).await;
    if let Some(refused) = asker.refused(app, lang, Need::Look).await? {
        return asker.tell(app, lang, refused).await;
    }
    let Some(device) = device(app, &act.about).await? else {
        return asker.tell(app, lang, &notice::unknown_box(lang, &act.about)).await;
    };
    let changes = app.ports().changes(Which::Of(device.thing.clone()), IN_A_FILE).await?;
    let name = format!("history-{}.csv", device.thing);
    let channel = app.web().open_direct(&asker.user.user_id).await?;
    app.web().upload(&name, lists::csv(lang, &changes).into_bytes(), Some(&channel)).await?;
    asker.tell(app, lang, lang.words().csv_sent).await
}

async fn device<P: Ports>(app: &SlackApp<P>, about: &str) -> anyhow::Result<Option<BoxView>> {
    match about.parse::<ThingName>() {
        Ok(thing) => app.ports().device(&thing).await,
        Err(_) => Ok(None),
    }
}

async fn story<P: Ports>(app: &SlackApp<P>, about: &str) -> anyhow::Result<Option<ChangeStory>> {
    match about.parse::<ChangeId>() {
        Ok(change) => app.ports().change(&change).await,
        Err(_) => Ok(None),
    }
}
