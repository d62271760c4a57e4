//! What is told in words: modals without a field, answers that only the asker sees, the menu.

use device_model::{change_id::ChangeId, thing_name::ThingName};
use serde_json::{Value, json};

use crate::{
    blocks::{Block, Field, Modal, actions, button, code, escape, fallback, section},
    i18n::{Lang, fill},
    lan_view::field,
    model::{ChangeStory, Refusal},
    settings_text::difference,
    verb,
};

/// The modal in which a rejection is given its reason.
pub const REJECT: &str = "reject";

/// Stands in the modal while the real one is being made.
pub fn loading(lang: Lang) -> Block {
    let words = lang.words();
    showing(lang, words.loading_title, &[section(words.loading)])
}

pub fn notice(lang: Lang, text: &str) -> Block {
    showing(lang, lang.words().notice_title, &[section(text)])
}

/// Something went wrong; what is below keeps what was typed.
pub fn failed(lang: Lang) -> Block {
    let words = lang.words();
    let mut view = showing(lang, words.notice_title, &[section(words.failed)]);
    view["clear_on_close"] = false.into();
    view
}

/// A modal that only shows.
pub fn showing(lang: Lang, title: &str, blocks: &[Block]) -> Block {
    let close = lang.words().close;
    Modal { callback: "shown", title, submit: None, close, metadata: String::new(), clears: true }
        .with(blocks)
}

pub fn registered(lang: Lang, thing: &ThingName, change: &ChangeId, channel: &str) -> Block {
    let words = lang.words();
    let values = [("thing", thing.as_str()), ("change", change.as_str()), ("channel", channel)];
    showing(lang, words.registered_title, &[section(&fill(words.registered, &values))])
}

/// Asks why a change is not to be.
pub fn rejecting(lang: Lang, story: &ChangeStory) -> Block {
    let words = lang.words();
    let change = difference(words, story.before.as_ref(), &story.after, story.share.as_ref());
    let reason = Field {
        name: field::REASON,
        label: words.reject_reason,
        hint: Some(words.reason_hint),
        optional: false,
        tells: false,
    };
    Modal {
        callback: REJECT,
        title: words.reject_title,
        submit: Some(words.reject),
        close: words.back,
        metadata: story.change_id.to_string(),
        clears: false,
    }
    .with(&[section(&format!("`{}`\n{change}", story.thing)), reason.text(None, 500, true)])
}

/// An answer to a command that only its user sees.
pub fn ephemeral(text: &str) -> Value {
    answer(text, &[section(text)])
}

/// The same with blocks of any kind. A message that was pressed in stays as it is.
pub fn answer(text: &str, blocks: &[Block]) -> Value {
    json!({"response_type": "ephemeral", "replace_original": false, "text": fallback(text), "blocks": blocks})
}

/// What `/rece` by itself offers.
pub fn menu(lang: Lang) -> Vec<Block> {
    let words = lang.words();
    let open = |verb: &str, words: &str| button(verb, "", words);
    let mut blocks = vec![section(words.menu)];
    blocks.extend(actions(&[
        open(verb::LAN, words.menu_lan),
        open(verb::STATUS, words.menu_status),
        open(verb::HISTORY, words.menu_history),
    ]));
    blocks.extend(actions(&[
        open(verb::PENDING, words.menu_pending),
        open(verb::APPROVALS, words.menu_approvals),
        open(verb::ROLLBACK, words.rollback),
        open(verb::HELP, words.menu_help),
    ]));
    blocks
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

pub fn change_open(lang: Lang, change: &ChangeId) -> String {
    fill(lang.words().change_open, &[("change", change.as_str())])
}

/// Why something was not done, for whoever wanted it.
pub fn refusal(lang: Lang, refusal: &Refusal) -> String {
    let words = lang.words();
    match refusal {
        Refusal::UnknownThing(thing) => unknown_box(lang, thing.as_str()),
        Refusal::UnknownChange => words.unknown_change.to_owned(),
        Refusal::ChangeOpen(change) => change_open(lang, change),
        Refusal::Outdated => words.preview_outdated.to_owned(),
        Refusal::ChangeClosed(state) => fill(words.change_closed, &[("state", words.state(*state, None))]),
        Refusal::NotWaiting { approved_by: Some(by) } => {
            let who = crate::message::who(words, by);
            fill(words.approved_already, &[("who", &who)])
        }
        Refusal::NotWaiting { approved_by: None } => words.not_waiting.to_owned(),
        Refusal::OwnChange => words.own_change.to_owned(),
        Refusal::NothingToChange => words.nothing_to_change.to_owned(),
        Refusal::NoSealingKey => words.no_sealing_key.to_owned(),
        Refusal::PageGone => words.page_gone_short.to_owned(),
        Refusal::Settings(faults) => fill(words.unusable, &[("faults", &code(&faults.to_string()))]),
        Refusal::Internal(_) => words.failed.to_owned(),
    }
}
