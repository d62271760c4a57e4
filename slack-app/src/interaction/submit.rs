//! The LAN form, submitted: what was typed becomes a preview. The preview, submitted: a change.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{
    SlackApp,
    blocks::Block,
    fleet::Ports,
    form::Form,
    i18n::Lang,
    interaction::payload::View,
    lan_view::{self, field},
    model::{BoxView, LanWish, Refusal, SlackUser},
    notice,
    preview::{self, Source, Wanted},
    request::Turned,
    wanted::{self, Unwanted},
};

/// Slack waits three seconds. The change is registered or not by then; the key makes a second try safe.
pub const PATIENCE: Duration = Duration::from_millis(2200);
pub const LANGUAGE_PATIENCE: Duration = Duration::from_millis(500);

/// Answers with a `response_action`: errors at their fields, or the preview on top of the form.
pub async fn form<P: Ports>(app: &SlackApp<P>, user: &SlackUser, view: &View) -> Result<Value, Turned> {
    let metadata: lan_view::Metadata =
        serde_json::from_str(&view.private_metadata).map_err(|_| Turned::Malformed)?;
    let values = view.values();
    // Somebody chose a fixed address and was faster than the fields for it.
    let lacks_fields = metadata.hides_addresses
        && values.get(field::MODE).is_some_and(|mode| mode == "static")
        && !values.contains_key(field::ADDRESS);
    let source = Source::Form { key: key(view), values };
    let metadata = preview::Metadata { thing: metadata.thing, source, seen: String::new() };
    let lang = app.locales().lang_of(app.web(), &user.user_id, LANGUAGE_PATIENCE).await;
    in_time(lang, &metadata, async {
        if let Some(words) = not_a_changer(app, user, lang).await? {
            return Ok(told(lang, words));
        }
        if lacks_fields && let Some(device) = app.ports().device(&metadata.thing).await? {
            let open = wanted::open(app, &device).await?;
            return Ok(updated(&lan_view::chosen(lang, &device, open.as_ref(), &view.values())));
        }
        Ok(match wanted::wanted(app, lang, &metadata).await? {
            Ok((device, wanted)) => {
                json!({"response_action": "push",
                    "view": preview::preview(lang, &device, metadata.source.clone(), &wanted)})
            }
            Err(Unwanted::Errors(found)) => errors(&found),
            Err(Unwanted::Told(words)) => told(lang, &words),
        })
    })
    .await
}

/// Answers with the news that the change is registered, or with a preview that is true again.
pub async fn preview<P: Ports>(app: &SlackApp<P>, user: &SlackUser, view: &View) -> Result<Value, Turned> {
    let metadata: preview::Metadata =
        serde_json::from_str(&view.private_metadata).map_err(|_| Turned::Malformed)?;
    let lang = app.locales().lang_of(app.web(), &user.user_id, LANGUAGE_PATIENCE).await;
    in_time(lang, &metadata, register(app, user, view, &metadata, lang)).await
}

async fn register<P: Ports>(
    app: &SlackApp<P>,
    user: &SlackUser,
    view: &View,
    metadata: &preview::Metadata,
    lang: Lang,
) -> anyhow::Result<Value> {
    if let Some(words) = not_a_changer(app, user, lang).await? {
        return Ok(told(lang, words));
    }
    let (device, mut wanted) = match wanted::wanted(app, lang, metadata).await? {
        Ok(found) => found,
        // The fields are below, in the form.
        Err(Unwanted::Errors(found)) => return Ok(told(lang, &wanted::listed(&found))),
        Err(Unwanted::Told(words)) => return Ok(told(lang, &words)),
    };
    let key = match &metadata.source {
        Source::Form { key, .. } => key.clone(),
        Source::Again(_) | Source::Before(_) => {
            let why = Form::read_why(&view.values());
            if !why.was_read() {
                return Ok(errors(&why.errors(None, lang)));
            }
            (wanted.reason, wanted.ticket) = (why.reason, why.ticket);
            key(view)
        }
    };
    let channel = &app.settings().channel_id;
    if let Some(change) = app.ports().registered(user, &key).await? {
        return Ok(updated(&notice::registered(lang, &metadata.thing, &change, channel)));
    }
    if metadata.seen != preview::seen(&device) {
        return Ok(updated(&outdated(lang, &device, metadata, wanted)));
    }
    let wish = LanWish {
        thing: metadata.thing.clone(),
        lan: wanted.after.into(),
        share: wanted.share.map(|share| share.after),
        probe: device.probe,
        window: wanted.window,
        reason: wanted.reason,
        ticket: wanted.ticket,
        replaces: wanted.replaces.map(|story| story.change_id),
    };
    Ok(match app.ports().change_lan(user, wish, &key).await {
        Ok(change) => {
            tracing::info!(thing.name = %metadata.thing, change.id = %change, slack.user_id = %user.user_id,
                "a change was registered from Slack");
            updated(&notice::registered(lang, &metadata.thing, &change, channel))
        }
        // Somebody was faster, just now.
        Err(Refusal::Outdated | Refusal::ChangeOpen(_)) => match wanted::wanted(app, lang, metadata).await? {
            Ok((device, wanted)) => updated(&outdated(lang, &device, metadata, wanted)),
            Err(_) => told(lang, lang.words().preview_outdated),
        },
        Err(Refusal::Internal(error)) => return Err(error),
        Err(refusal) => told(lang, &notice::refusal(lang, &refusal)),
    })
}

/// The preview as it is now, since what was submitted is not true any more.
fn outdated(lang: Lang, device: &BoxView, metadata: &preview::Metadata, mut wanted: Wanted) -> Block {
    wanted.remark = Some(lang.words().preview_outdated);
    preview::preview(lang, device, metadata.source.clone(), &wanted)
}

/// Why the user may change nothing, if so.
async fn not_a_changer<P: Ports>(
    app: &SlackApp<P>,
    user: &SlackUser,
    lang: Lang,
) -> anyhow::Result<Option<&'static str>> {
    Ok(match app.ports().role_of(user).await? {
        Some(role) if role.may_change() => None,
        Some(_) => Some(lang.words().not_allowed),
        None => Some(lang.words().no_role),
    })
}

async fn in_time(
    lang: Lang,
    metadata: &preview::Metadata,
    work: impl Future<Output = anyhow::Result<Value>>,
) -> Result<Value, Turned> {
    Ok(match tokio::time::timeout(PATIENCE, work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::error!(error = format!("{error:#}"), thing.name = %metadata.thing, "could not take a submission");
            failed(lang, metadata)
        }
        Err(_) => {
            tracing::error!(thing.name = %metadata.thing, "a submission took too long");
            failed(lang, metadata)
        }
    })
}

/// A submission that is repeated, by Slack or by an impatient hand, has the same view with the same
/// values. One that was mended after a failure is another wish.
fn key(view: &View) -> String {
    let mut hasher = Sha256::new();
    for (name, value) in &view.values() {
        // No field holds a NUL, so none can run into its neighbour.
        hasher.update(format!("{name}\0{value}\0"));
    }
    format!("view:{}:{}", view.id, hex::encode(hasher.finalize()))
}

pub fn errors(errors: &Map<String, Value>) -> Value {
    json!({"response_action": "errors", "errors": errors})
}

/// One error, so that what was typed stays in the modal.
pub fn try_again(lang: Lang) -> Value {
    at(field::REASON, lang.words().failed)
}

pub fn at(name: &str, text: &str) -> Value {
    json!({"response_action": "errors", "errors": {name: text}})
}

/// A preview without a field has no place for an error: then it says so and the form below keeps all.
fn failed(lang: Lang, metadata: &preview::Metadata) -> Value {
    match &metadata.source {
        Source::Form { .. } if !metadata.seen.is_empty() => {
            json!({"response_action": "push", "view": notice::failed(lang)})
        }
        _ => try_again(lang),
    }
}

pub fn told(lang: Lang, text: &str) -> Value {
    updated(&notice::notice(lang, text))
}

fn updated(view: &Block) -> Value {
    json!({"response_action": "update", "view": view})
}
