//! What is told in words: modals without a field, and answers that only the asker sees.

use device_model::{change_id::ChangeId, thing_name::ThingName};
use serde_json::{Value, json};
use slack_morphism::prelude::*;

use crate::{
    blocks::{code, escape, fallback, section},
    fleet::BoxView,
    i18n::{Lang, fill, jst},
    lan_view,
};

/// How many boxes are named when a text means several.
const NAMED_BOXES: usize = 10;

/// Stands in the modal while the real one is being made.
pub fn loading(lang: Lang) -> SlackView {
    let words = lang.words();
    modal(lang, words.loading_title, words.loading)
}

pub fn notice(lang: Lang, text: &str) -> SlackView {
    modal(lang, lang.words().notice_title, text)
}

pub fn registered(lang: Lang, thing: &ThingName, change: &ChangeId, channel: &str) -> SlackView {
    let words = lang.words();
    let values = [("thing", thing.as_str()), ("change", change.as_str()), ("channel", channel)];
    modal(lang, words.registered_title, &fill(words.registered, &values))
}

/// An answer to a command that only its user sees.
pub fn ephemeral(text: &str) -> Value {
    json!({"response_type": "ephemeral", "text": fallback(text), "blocks": [section(text)]})
}

pub fn help(lang: Lang) -> String {
    lang.words().help.to_owned()
}

pub fn unknown_command(lang: Lang, text: &str) -> String {
    let words = lang.words();
    let unknown = fill(words.unknown_command, &[("text", &escape(text))]);
    format!("{unknown}\n{}", words.help)
}

pub fn unknown_box(lang: Lang, text: &str) -> String {
    fill(lang.words().unknown_box, &[("text", &escape(text))])
}

pub fn several_boxes(lang: Lang, text: &str, found: &[BoxView]) -> String {
    let words = lang.words();
    let count = found.len().to_string();
    let values = [("text", escape(text)), ("count", count)];
    let mut lines = vec![fill(words.several_boxes, &values.each_ref().map(|(k, v)| (*k, v.as_str())))];
    let name = |device: &BoxView| {
        let pharmacy = device.pharmacy.as_deref().unwrap_or_default();
        format!("• `{}` {}", device.thing, escape(pharmacy))
    };
    lines.extend(found.iter().take(NAMED_BOXES).map(name));
    if let Some(more) = found.len().checked_sub(NAMED_BOXES).filter(|more| *more > 0) {
        lines.push(fill(words.more_boxes, &[("count", &more.to_string())]));
    }
    lines.join("\n")
}

pub fn change_open(lang: Lang, change: &ChangeId) -> String {
    fill(lang.words().change_open, &[("change", change.as_str())])
}

/// How a box is, in a few lines.
pub fn status(lang: Lang, device: &BoxView) -> String {
    let words = lang.words();
    let pharmacy = escape(device.pharmacy.as_deref().unwrap_or_default());
    let heading = [("thing", device.thing.as_str()), ("pharmacy", pharmacy.as_str())];
    let mut lines = vec![fill(words.status_title, &heading).trim_end().to_owned()];
    let mut line = match device.online {
        Some(true) => words.status_online,
        Some(false) => words.status_offline,
        None => words.status_unknown,
    }
    .to_owned();
    if let Some(at) = device.seen_at {
        line.push_str(" · ");
        line.push_str(&fill(words.status_seen, &[("at", &jst(at))]));
    }
    lines.push(line);
    lines.extend(device.drift_since.map(|at| fill(words.status_drift, &[("at", &jst(at))])));
    match &device.lan {
        Some(lan) => {
            lines.push(words.status_lan.to_owned());
            lines.push(lan_view::text(words, lan));
        }
        None => lines.push(words.status_never_reported.to_owned()),
    }
    if let Some(address) = device.effective.as_ref().and_then(|now| now.address.as_deref()) {
        lines.push(fill(words.status_effective, &[("address", &escape(address))]));
    }
    if let Some(share) = &device.share {
        lines.push(fill(words.status_share, &[("name", &format!("`{}`", code(&share.name)))]));
    }
    lines.push(device.open_change.as_ref().map_or_else(
        || words.status_no_open.to_owned(),
        |(change, state)| {
            let state = words.state(*state, device.online);
            fill(words.status_open, &[("change", change.as_str()), ("state", state)])
        },
    ));
    lines.join("\n")
}

fn modal(lang: Lang, title: &str, text: &str) -> SlackView {
    let view = SlackModalView::new(title.into(), vec![section(text)]);
    SlackView::Modal(view.with_close(lang.words().close.into()))
}
