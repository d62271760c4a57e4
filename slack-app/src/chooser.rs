//! Which box is meant: a few that were found, and a field that looks for others while one types.

use device_model::thing_name::ThingName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    blocks::{Block, Modal, button, context, escape, option, plain, section, section_with},
    i18n::{Lang, Words, fill},
    model::BoxView,
    verb,
};

pub const CALLBACK: &str = "choose";
/// How many boxes are named when a text means several.
const NAMED: usize = 10;
/// As many as Slack takes.
const SUGGESTED: usize = 100;

/// What the chosen box is wanted for: one of [`verb`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    pub verb: String,
}

/// A modal in which a box is chosen for `verb`.
pub fn modal(lang: Lang, verb: &str, text: &str, found: &[BoxView]) -> Block {
    let words = lang.words();
    let mut blocks = vec![section(&lead(words, text, found))];
    blocks.extend(found.iter().take(NAMED).map(|device| {
        section_with(&name(device), button(verb::CHOOSE, device.thing.as_str(), words.choose))
    }));
    blocks.extend(more(words, found));
    blocks.push(search(words));
    Modal {
        callback: CALLBACK,
        title: words.choose_title,
        submit: None,
        close: words.close,
        metadata: serde_json::to_string(&Metadata { verb: verb.to_owned() }).unwrap_or_default(),
        clears: false,
    }
    .with(&blocks)
}

/// The same as an answer to a command: a button does at once what was asked for.
pub fn answer(lang: Lang, verb: &str, text: &str, found: &[BoxView]) -> Vec<Block> {
    let words = lang.words();
    let mut blocks = vec![section(&lead(words, text, found))];
    let named = found.iter().take(NAMED);
    blocks.extend(
        named.map(|device| section_with(&name(device), button(verb, device.thing.as_str(), words.choose))),
    );
    blocks.extend(more(words, found));
    blocks
}

/// What the field offers for what was typed so far.
pub fn suggestions(found: &[BoxView]) -> Value {
    let options = found.iter().take(SUGGESTED);
    let options: Vec<_> = options.map(|device| option(&label(device), device.thing.as_str())).collect();
    json!({"options": options})
}

/// The box that a button or the field stands for.
pub fn chosen(about: &str) -> Option<ThingName> {
    about.parse().ok()
}

fn lead(words: &Words, text: &str, found: &[BoxView]) -> String {
    let text = escape(text);
    match found.len() {
        _ if text.is_empty() => words.choose_any.to_owned(),
        0 => fill(words.unknown_box, &[("text", &text)]),
        count => fill(words.several_boxes, &[("text", &text), ("count", &count.to_string())]),
    }
}

fn more(words: &Words, found: &[BoxView]) -> Option<Block> {
    let more = found.len().checked_sub(NAMED).filter(|more| *more > 0)?;
    Some(context(&fill(words.more_boxes, &[("count", &more.to_string())])))
}

fn search(words: &Words) -> Block {
    json!({"type": "actions", "elements": [{"type": "external_select", "action_id": verb::CHOOSE,
        "placeholder": plain(words.choose_hint), "min_query_length": 1}]})
}

fn name(device: &BoxView) -> String {
    let pharmacy = device.pharmacy.as_deref().unwrap_or_default();
    format!("*{}* `{}`", escape(pharmacy), device.thing).replace("** ", "")
}

fn label(device: &BoxView) -> String {
    match &device.pharmacy {
        Some(pharmacy) => format!("{pharmacy} {}", device.thing),
        None => device.thing.to_string(),
    }
}
