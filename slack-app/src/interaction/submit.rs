//! The LAN form, submitted: who may, what was typed, what the fleet says to it.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use slack_morphism::prelude::SlackView;

use crate::{
    SlackApp,
    fleet::{BoxView, LanWish, Ports, Refusal, SlackUser},
    form::Form,
    i18n::Lang,
    interaction::payload::View,
    lan_view::{Metadata, field},
    notice,
    request::Turned,
};

/// Slack waits three seconds. The change is registered or not by then; the key makes a second try safe.
const PATIENCE: Duration = Duration::from_millis(2200);
const LANGUAGE_PATIENCE: Duration = Duration::from_millis(500);

/// Answers with a `response_action`: errors at their fields, or a view that says how it went.
pub async fn lan<P: Ports>(app: &SlackApp<P>, user: &SlackUser, view: &View) -> Result<Value, Turned> {
    let metadata: Metadata = serde_json::from_str(&view.private_metadata).map_err(|_| Turned::Malformed)?;
    let lang = app.locales().lang_of(app.web(), &user.user_id, LANGUAGE_PATIENCE).await;
    let registered = tokio::time::timeout(PATIENCE, register(app, user, view, &metadata, lang)).await;
    Ok(match registered {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::error!(error = format!("{error:#}"), thing.name = %metadata.thing, "could not register a change");
            try_again(lang)
        }
        Err(_) => {
            tracing::error!(thing.name = %metadata.thing, "registering a change took too long");
            try_again(lang)
        }
    })
}

async fn register<P: Ports>(
    app: &SlackApp<P>,
    user: &SlackUser,
    view: &View,
    metadata: &Metadata,
    lang: Lang,
) -> anyhow::Result<Value> {
    let words = lang.words();
    match app.ports().role_of(user).await? {
        Some(role) if role.may_change() => {}
        Some(_) => return Ok(told(lang, words.not_allowed)),
        None => return Ok(told(lang, words.no_role)),
    }
    let Some(device) = exact(app.ports(), metadata).await? else {
        return Ok(told(lang, &notice::unknown_box(lang, metadata.thing.as_str())));
    };
    let form = Form::read(&view.values(), device.lan.as_ref());
    let judged = app.ports().judge(form.draft.clone()).err();
    if judged.is_some() || !form.was_read() {
        return Ok(errors(&form.errors(judged.as_ref(), lang)));
    }
    let wish = LanWish {
        thing: metadata.thing.clone(),
        lan: form.draft.clone(),
        probe: device.probe,
        reason: form.reason.clone(),
        ticket: form.ticket.clone(),
    };
    let key = key(view);
    Ok(match app.ports().change_lan(user, wish, &key).await {
        Ok(change) => {
            tracing::info!(thing.name = %metadata.thing, change.id = %change, slack.user_id = %user.user_id,
                "a change was registered from Slack");
            let channel = &app.settings().channel_id;
            updated(&notice::registered(lang, &metadata.thing, &change, channel))
        }
        Err(Refusal::Settings(faults)) => errors(&form.errors(Some(&faults), lang)),
        Err(Refusal::NothingToChange) => at(field::MODE, words.nothing_to_change),
        Err(Refusal::ChangeOpen(change)) => told(lang, &notice::change_open(lang, &change)),
        Err(Refusal::UnknownThing(thing)) => told(lang, &notice::unknown_box(lang, thing.as_str())),
        Err(Refusal::Internal(error)) => return Err(error),
    })
}

/// A submission that is repeated, by Slack or by an impatient hand, has the same view with the same
/// values. One that was mended after a failure is another wish.
fn key(view: &View) -> String {
    let mut values: Vec<_> = view.values().into_iter().collect();
    values.sort();
    let mut hasher = Sha256::new();
    for (name, value) in &values {
        // No field holds a NUL, so none can run into its neighbour.
        hasher.update(format!("{name}\0{value}\0"));
    }
    format!("view:{}:{}", view.id, hex::encode(hasher.finalize()))
}

async fn exact<P: Ports>(ports: &P, metadata: &Metadata) -> anyhow::Result<Option<BoxView>> {
    let found = ports.find(metadata.thing.as_str()).await?;
    Ok(found.into_iter().find(|device| device.thing == metadata.thing))
}

fn errors(errors: &Map<String, Value>) -> Value {
    json!({"response_action": "errors", "errors": errors})
}

/// One error, so that what was typed stays in the modal.
fn at(name: &str, text: &str) -> Value {
    json!({"response_action": "errors", "errors": {name: text}})
}

fn try_again(lang: Lang) -> Value {
    at(field::REASON, lang.words().failed)
}

fn told(lang: Lang, text: &str) -> Value {
    updated(&notice::notice(lang, text))
}

fn updated(view: &SlackView) -> Value {
    json!({"response_action": "update", "view": view})
}
