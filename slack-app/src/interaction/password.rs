//! The number of a one-time page, submitted: Slack's signature says who it is that said it.

use serde_json::Value;

use crate::{
    SlackApp,
    fleet::Ports,
    interaction::{
        payload::View,
        submit::{LANGUAGE_PATIENCE, PATIENCE, at, told},
    },
    model::SlackUser,
    normal::halved,
    notice, password_view,
    request::Turned,
};

pub async fn confirm<P: Ports>(app: &SlackApp<P>, user: &SlackUser, view: &View) -> Result<Value, Turned> {
    let lang = app.locales().lang_of(app.web(), &user.user_id, LANGUAGE_PATIENCE).await;
    let words = lang.words();
    let number = view.values().get(password_view::NUMBER).map(|text| halved(text)).unwrap_or_default();
    let work = async {
        match app.ports().role_of(user).await? {
            Some(role) if role.may_change() => {}
            Some(_) => return Ok(told(lang, words.not_allowed)),
            None => return Ok(told(lang, words.no_role)),
        }
        Ok::<_, anyhow::Error>(
            match app.ports().confirm_password_page(user, &view.private_metadata, &number).await {
                Ok(true) => told(lang, words.password_confirmed),
                Ok(false) => at(password_view::NUMBER, words.password_wrong),
                Err(refusal) => told(lang, &notice::refusal(lang, &refusal)),
            },
        )
    };
    Ok(match tokio::time::timeout(PATIENCE, work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::error!(error = format!("{error:#}"), "could not confirm a one-time page");
            at(password_view::NUMBER, words.failed)
        }
        Err(_) => at(password_view::NUMBER, words.failed),
    })
}
