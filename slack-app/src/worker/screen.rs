//! Modals, opened within their trigger's three seconds: at once and empty, then with what belongs in them.

use std::time::Duration;

use crate::{
    SlackApp, blocks::Block, fleet::Ports, i18n::Lang, notice, web::WebError, worker::answer::Asker,
};

/// A trigger is good for three seconds; one that is this old is not worth a call.
pub const TRIGGER_LIFE: Duration = Duration::from_millis(2800);

/// A modal that stands there loading, or in which something was pressed.
pub struct Screen {
    id: String,
    /// Of the view that was pressed in: once it has become another, what was to come is not wanted any more.
    hash: Option<String>,
}

/// Takes the modal that was pressed in, or opens one. None: it is too late for that, and the asker
/// was told.
pub async fn open<P: Ports>(app: &SlackApp<P>, asker: &Asker<'_>) -> anyhow::Result<Option<Screen>> {
    if let Some(view) = asker.view {
        let hash = Some(view.hash.clone()).filter(|hash| !hash.is_empty());
        return Ok(Some(Screen { id: view.id.clone(), hash }));
    }
    let known = app.locales().known(&asker.user.user_id).unwrap_or_default();
    let opened = if asker.is_late {
        Err(WebError::Refused("expired_trigger_id".to_owned()))
    } else {
        app.web().open_view(asker.trigger_id, &notice::loading(known)).await
    };
    match opened {
        Ok(id) => Ok(Some(Screen { id, hash: None })),
        Err(error) => {
            tracing::warn!(%error, slack.user_id = %asker.user.user_id, "could not open a modal");
            let lang = asker.lang(app).await;
            if let Some(url) = asker.response_url {
                app.web().respond(url, &notice::ephemeral(lang.words().too_late)).await?;
            }
            Ok(None)
        }
    }
}

/// Opens a modal with this in it.
pub async fn put<P: Ports>(app: &SlackApp<P>, asker: &Asker<'_>, view: &Block) -> anyhow::Result<()> {
    match open(app, asker).await? {
        Some(screen) => screen.fill(app, asker, view).await,
        None => Ok(()),
    }
}

impl Screen {
    /// Puts in what belongs there, or words for why it cannot be made.
    pub async fn fill_with<P: Ports>(
        &self,
        app: &SlackApp<P>,
        asker: &Asker<'_>,
        lang: Lang,
        made: anyhow::Result<Block>,
    ) -> anyhow::Result<()> {
        let view = made.unwrap_or_else(|error| {
            tracing::error!(error = format!("{error:#}"), "could not look up what a modal shows");
            notice::notice(lang, lang.words().failed)
        });
        self.fill(app, asker, &view).await
    }

    /// The modal stands there, loading: so it is tried twice, then the asker is told.
    pub async fn fill<P: Ports>(
        &self,
        app: &SlackApp<P>,
        asker: &Asker<'_>,
        view: &Block,
    ) -> anyhow::Result<()> {
        for last in [false, true] {
            match app.web().update_view(&self.id, self.hash.as_deref(), view).await {
                Ok(()) => return Ok(()),
                Err(WebError::Refused(code)) if code == "not_found" || code == "hash_conflict" => {
                    tracing::info!("a modal was closed, or became another, before it was filled");
                    return Ok(());
                }
                Err(error) if last => tracing::error!(%error, "could not fill a modal"),
                Err(error) => {
                    tracing::warn!(%error, "could not fill a modal; trying once more");
                    tokio::time::sleep(pause(&error)).await;
                }
            }
        }
        let lang = asker.lang(app).await;
        match asker.response_url {
            Some(url) => Ok(app.web().respond(url, &notice::ephemeral(lang.words().failed)).await?),
            None => Ok(()),
        }
    }
}

fn pause(error: &WebError) -> Duration {
    const SHORT: Duration = Duration::from_millis(500);
    const LONG: Duration = Duration::from_secs(5);
    match error {
        WebError::RateLimited(Some(told)) => (*told).clamp(SHORT, LONG),
        _ => SHORT,
    }
}
