//! A rejection with its reason, submitted.

use serde_json::Value;

use crate::{
    SlackApp,
    fleet::Ports,
    form::Form,
    interaction::{
        payload::View,
        submit::{LANGUAGE_PATIENCE, PATIENCE, errors, told, try_again},
    },
    model::SlackUser,
    notice,
    request::Turned,
};

pub async fn reject<P: Ports>(app: &SlackApp<P>, user: &SlackUser, view: &View) -> Result<Value, Turned> {
    let change = view.private_metadata.parse().map_err(|_| Turned::Malformed)?;
    let lang = app.locales().lang_of(app.web(), &user.user_id, LANGUAGE_PATIENCE).await;
    let words = lang.words();
    let form = Form::read_why(&view.values());
    let work = async {
        match app.ports().role_of(user).await? {
            Some(role) if role.may_approve() => {}
            Some(_) => return Ok(told(lang, words.not_approver)),
            None => return Ok(told(lang, words.no_role)),
        }
        if !form.was_read() {
            return Ok(errors(&form.errors(None, lang)));
        }
        let reason = format!("{}: {}", words.rejected, form.reason);
        Ok::<_, anyhow::Error>(match app.ports().cancel(user, &change, Some(&reason)).await {
            Ok(()) => told(lang, words.rejected_done),
            Err(refusal) => told(lang, &notice::refusal(lang, &refusal)),
        })
    };
    Ok(match tokio::time::timeout(PATIENCE, work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::error!(error = format!("{error:#}"), change.id = %change, "could not reject a change");
            try_again(lang)
        }
        Err(_) => try_again(lang),
    })
}
