//! What a preview stands for, worked out anew each time: from the form as typed, or from a change.

use anyhow::Context;
use serde_json::{Map, Value};

use crate::{
    SlackApp,
    fleet::Ports,
    form::Form,
    i18n::Lang,
    lan_view::field,
    model::{BoxView, ChangeStory, ShareChange},
    notice,
    preview::{Metadata, Source, Wanted},
};

/// Why there is nothing to preview.
pub enum Unwanted {
    /// At the fields of the form.
    Errors(Map<String, Value>),
    Told(String),
}

/// The box, and what is to become of it.
pub async fn wanted<P: Ports>(
    app: &SlackApp<P>,
    lang: Lang,
    metadata: &Metadata,
) -> anyhow::Result<Result<(BoxView, Wanted), Unwanted>> {
    let told = |words: &str| Ok(Err(Unwanted::Told(words.to_owned())));
    let words = lang.words();
    let Some(device) = app.ports().device(&metadata.thing).await? else {
        return told(&notice::unknown_box(lang, metadata.thing.as_str()));
    };
    let mut wanted = match &metadata.source {
        Source::Form { values, .. } => {
            let form = Form::read(values, device.lan.as_ref(), device.share.as_ref(), app.now());
            match app.ports().judge(form.draft.clone()) {
                // What somebody changed on site may be asked for, to make it the wish.
                Ok(after)
                    if device.lan.as_ref() == Some(&after)
                        && form.share.is_none()
                        && form.was_read()
                        && device.drift_since.is_none() =>
                {
                    let mut errors = form.errors(None, lang);
                    errors.insert(field::MODE.to_owned(), words.nothing_to_change.into());
                    return Ok(Err(Unwanted::Errors(errors)));
                }
                Ok(after) if form.was_read() => Wanted {
                    after,
                    share: form.share,
                    window: form.window,
                    reason: form.reason,
                    ticket: form.ticket,
                    needs_approval: false,
                    replaces: None,
                    remark: None,
                },
                judged => return Ok(Err(Unwanted::Errors(form.errors(judged.err().as_ref(), lang)))),
            }
        }
        Source::Again(change) | Source::Before(change) => {
            let Some(story) = app.ports().change(change).await? else {
                return told(words.unknown_change);
            };
            let (after, share) = match &metadata.source {
                Source::Before(_) => (story.before, story.share.and_then(|share| share.before)),
                _ => (Some(story.after), story.share.map(|share| share.after)),
            };
            let share = share.and_then(|share| ShareChange::between(device.share.as_ref(), &share));
            let Some(after) = after else {
                return told(words.nothing_before);
            };
            Wanted {
                after,
                share,
                window: None,
                reason: String::new(),
                ticket: None,
                needs_approval: false,
                replaces: None,
                remark: None,
            }
        }
    };
    wanted.replaces = open(app, &device).await?;
    wanted.needs_approval = app.ports().needs_approval(&device, &wanted.after);
    Ok(Ok((device, wanted)))
}

/// The change that is open on a box.
pub async fn open<P: Ports>(app: &SlackApp<P>, device: &BoxView) -> anyhow::Result<Option<ChangeStory>> {
    let Some((change, _)) = &device.open_change else {
        return Ok(None);
    };
    Ok(Some(app.ports().change(change).await?.context("an open change cannot be found")?))
}

/// Errors in one text, where their fields are out of sight.
pub fn listed(errors: &Map<String, Value>) -> String {
    errors.values().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}
