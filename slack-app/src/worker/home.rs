//! Puts the Home up that somebody opened, with the map of the fleet as a file of Slack's.

use std::sync::Arc;

use crate::{
    SlackApp,
    fleet::Ports,
    fleet_map, home,
    i18n::Lang,
    model::{Overview, SlackUser},
    worker::answer::{Asker, Need},
};

pub async fn home<P: Ports>(app: &SlackApp<P>, user: &SlackUser) -> anyhow::Result<()> {
    let asker =
        Asker { user, channel_id: None, trigger_id: "", response_url: None, view: None, is_late: true };
    let lang = asker.lang(app).await;
    let view = if asker.refused(app, lang, Need::Look).await?.is_some() {
        home::closed(lang)
    } else {
        let overview = app.ports().overview(user).await?;
        let map = map(app, lang, &overview).await;
        home::home(lang, &overview, map.as_deref(), app.now())
    };
    Ok(app.web().publish(&user.user_id, &view).await?)
}

/// The file with the map. None: it cannot be drawn or uploaded, and Home says the same in words.
async fn map<P: Ports>(app: &SlackApp<P>, lang: Lang, overview: &Overview) -> Option<String> {
    let font = app.settings().map_font.clone()?;
    let key = fleet_map::key(lang, overview);
    if let Some(file) = app.maps().known(lang, key) {
        return Some(file);
    }
    let overview = Arc::new(overview.clone());
    let drawn = tokio::task::spawn_blocking(move || fleet_map::draw(lang, &overview, &font)).await;
    let uploaded = match drawn {
        Ok(Ok(png)) => app.web().upload("fleet-map.png", png, None).await.map_err(anyhow::Error::from),
        Ok(Err(error)) => Err(error),
        Err(error) => Err(error.into()),
    };
    match uploaded {
        Ok(file) => {
            app.maps().remember(lang, key, &file);
            Some(file)
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the map of the fleet is told in words");
            None
        }
    }
}
