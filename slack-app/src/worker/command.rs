//! What `/rece …` brings: an answer for the asker's eyes, or a modal.

use crate::{
    SlackApp, chooser,
    command::Asked,
    fleet::Ports,
    i18n::Lang,
    lists,
    model::{BoxView, Which},
    notice, status_view, verb,
    worker::{
        act,
        answer::{Asker, Need},
        screen,
    },
};

pub async fn command<P: Ports>(app: &SlackApp<P>, asker: &Asker<'_>, text: &str) -> anyhow::Result<()> {
    let wanted: Asked = text.parse().unwrap_or(Asked::Help);
    match &wanted {
        // A trigger does not wait: the modal opens before anything else is asked.
        Asked::Lan { target } => return in_modal(app, asker, verb::LAN, target).await,
        Asked::Rollback { target } => return in_modal(app, asker, verb::ROLLBACK, target).await,
        Asked::Status { target } if target.is_empty() => {
            return in_modal(app, asker, verb::STATUS, target).await;
        }
        Asked::History { target } if target.is_empty() => {
            return in_modal(app, asker, verb::HISTORY, target).await;
        }
        _ => {}
    }
    let lang = asker.lang(app).await;
    let words = lang.words();
    if let Some(refused) = asker.refused(app, lang, Need::Look).await? {
        return asker.tell(app, lang, refused).await;
    }
    let (title, blocks) = match &wanted {
        Asked::Menu => (words.menu_title, notice::menu(lang)),
        Asked::Status { target } => (words.menu_status, status(app, lang, target).await?),
        Asked::History { target } => (words.menu_history, history(app, lang, target).await?),
        Asked::Pending => {
            (words.menu_pending, lists::pending(lang, &act::changes(app, Which::Pending).await?))
        }
        Asked::Approve => {
            (words.menu_approvals, lists::approvals(lang, &act::changes(app, Which::Unapproved).await?))
        }
        Asked::Unknown { text } => return asker.tell(app, lang, &notice::unknown_command(lang, text)).await,
        Asked::Help | Asked::Lan { .. } | Asked::Rollback { .. } => {
            return asker.tell(app, lang, &notice::help(lang)).await;
        }
    };
    asker.show(app, lang, title, title, blocks).await
}

async fn status<P: Ports>(
    app: &SlackApp<P>,
    lang: Lang,
    target: &str,
) -> anyhow::Result<Vec<crate::blocks::Block>> {
    Ok(match one(app, target).await? {
        Ok(device) => status_view::status(lang, &device),
        Err(found) => chooser::answer(lang, verb::STATUS, target, &found),
    })
}

async fn history<P: Ports>(
    app: &SlackApp<P>,
    lang: Lang,
    target: &str,
) -> anyhow::Result<Vec<crate::blocks::Block>> {
    Ok(match one(app, target).await? {
        Ok(device) => act::history(app, lang, &device).await?,
        Err(found) => chooser::answer(lang, verb::HISTORY, target, &found),
    })
}

/// What opens in a modal: for the one box that is meant, or a choice.
async fn in_modal<P: Ports>(
    app: &SlackApp<P>,
    asker: &Asker<'_>,
    verb: &str,
    target: &str,
) -> anyhow::Result<()> {
    let Some(screen) = screen::open(app, asker).await? else {
        return Ok(());
    };
    let lang = asker.lang(app).await;
    let made = async {
        if let Some(refused) = asker.refused(app, lang, act::need(verb)).await? {
            return Ok(notice::notice(lang, refused));
        }
        if target.is_empty() {
            return Ok(chooser::modal(lang, verb, target, &[]));
        }
        match one(app, target).await? {
            Ok(device) => act::view(app, lang, verb, &device).await,
            Err(found) => Ok(chooser::modal(lang, verb, target, &found)),
        }
    };
    let made = made.await;
    screen.fill_with(app, asker, lang, made).await
}

/// The one box that is meant, or those that may be.
async fn one<P: Ports>(
    app: &SlackApp<P>,
    target: &str,
) -> anyhow::Result<Result<Box<BoxView>, Vec<BoxView>>> {
    let mut found = app.ports().find(target).await?;
    Ok(if found.len() == 1 { Ok(Box::new(found.swap_remove(0))) } else { Err(found) })
}
