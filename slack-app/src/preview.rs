//! What a change would do, before anybody registers it: 変更前 → 変更後, the risk, and when.

use device_model::{change_id::ChangeId, lan::LanSettings, thing_name::ThingName, window::WindowDraft};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    blocks::{Block, Modal, context, divider, escape, section},
    form::Values,
    i18n::{Lang, Words, fill, jst_minute},
    lan_view::why_fields,
    model::{BoxView, ChangeStory, ShareChange},
    settings_text::{difference, open, risk, whose},
};

pub const CALLBACK: &str = "lan_preview";

/// What is to become of the box, and where that comes from: ids and what was typed, nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    pub thing: ThingName,
    pub source: Source,
    /// What ran and what was open when the preview was made: if that has changed since, it shows
    /// something untrue.
    pub seen: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The form, as typed; `key` names that submission.
    Form { key: String, values: Values },
    /// The settings that a change was to bring.
    Again(ChangeId),
    /// The settings that ran before a change.
    Before(ChangeId),
}

/// The settings of a preview, worked out.
pub struct Wanted {
    pub after: LanSettings,
    pub share: Option<ShareChange>,
    pub window: Option<WindowDraft>,
    pub reason: String,
    pub ticket: Option<String>,
    pub needs_approval: bool,
    /// The open change whose place it would take.
    pub replaces: Option<ChangeStory>,
    /// Something to be said first, e.g. that the preview is a new one.
    pub remark: Option<&'static str>,
}

pub fn preview(lang: Lang, device: &BoxView, source: Source, wanted: &Wanted) -> Block {
    let words = lang.words();
    let asks = !matches!(source, Source::Form { .. });
    let title = match source {
        Source::Before(_) => words.rollback_title,
        Source::Form { .. } | Source::Again(_) => words.preview_title,
    };
    let mut blocks = Vec::new();
    blocks.extend(wanted.remark.map(section));
    blocks.push(section(&format!("{}\n{}", whose(words, device), connection(words, device))));
    if let Some(story) = &wanted.replaces {
        blocks.push(section(&format!("{}\n{}", open(words, story), words.open_preview)));
    }
    blocks.push(divider());
    let share = wanted.share.as_ref();
    let difference = difference(words, device.lan.as_ref(), &wanted.after, share);
    blocks.push(section(&format!("{}\n{difference}", words.change_before_after)));
    let risk = risk(words, device, &wanted.after, share);
    blocks.push(section(&format!("{}\n{risk}", words.risk_heading)));
    blocks.push(section(&when(words, wanted.window.as_ref())));
    if wanted.needs_approval {
        blocks.push(section(words.approval_needed));
    }
    blocks.push(divider());
    if asks {
        blocks.extend(why_fields(words, &Values::new()));
    } else {
        let mut why = fill(words.change_reason, &[("reason", &escape(&wanted.reason))]);
        if let Some(ticket) = &wanted.ticket {
            why.push_str(" · ");
            why.push_str(&fill(words.change_ticket, &[("ticket", &escape(ticket))]));
        }
        blocks.push(context(&why));
    }
    blocks.push(context(words.preview_safety));
    let metadata = Metadata { thing: device.thing.clone(), source, seen: seen(device) };
    Modal {
        callback: CALLBACK,
        title,
        submit: Some(words.lan_submit),
        close: if asks { words.close } else { words.back },
        metadata: serde_json::to_string(&metadata).unwrap_or_default(),
        clears: false,
    }
    .with(&blocks)
}

/// Names what runs on a box and which change of it is open.
pub fn seen(device: &BoxView) -> String {
    let open = device.open_change.as_ref().map(|(change, _)| change);
    let seen = serde_json::json!([device.lan, device.share, open]);
    hex::encode(&Sha256::digest(seen.to_string())[..8])
}

/// When it is to happen.
pub fn when(words: &Words, window: Option<&WindowDraft>) -> String {
    let text = window.and_then(|window| {
        let (start, end) = (window.not_before?, window.not_after?);
        Some(fill(words.when_window, &[("start", &jst_minute(start)), ("end", &jst_minute(end))]))
    });
    text.unwrap_or_else(|| words.when_at_once.to_owned())
}

fn connection(words: &Words, device: &BoxView) -> &'static str {
    match device.online {
        Some(true) => words.preview_online,
        Some(false) => words.preview_offline,
        None => words.preview_unknown,
    }
}
