//! Every view and message as Slack gets it, kept as JSON beside this file, in both languages.
//!
//! With `RECEHUB_WRITE_SNAPSHOTS=1` the files are written anew.

use std::{fs, io::Write, path::PathBuf};

use device_model::{
    change::ChangeState,
    outcome::{Clock, code},
};
use serde::Serialize;
use serde_json::{Value, json};
use slack_app::{
    fleet::{ChangeStory, Sight},
    i18n::Lang,
    lan_view::lan_modal,
    message::message,
    notice,
};

use crate::support::{device, story};

const BOTH: [(Lang, &str); 2] = [(Lang::Ja, "ja"), (Lang::En, "en")];

fn is_as_kept(name: &str, made: &impl Serialize) {
    let made = serde_json::to_value(made).unwrap();
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/snapshots/{name}.json"));
    if std::env::var_os("RECEHUB_WRITE_SNAPSHOTS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut text = serde_json::to_string_pretty(&made).unwrap();
        text.push('\n');
        fs::File::create(&file).unwrap().write_all(text.as_bytes()).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_else(|_| panic!("{name} is not kept yet"));
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(made, kept, "{name}");
    keeps_slacks_limits(name, &made);
    asks_for_no_password(name, &made);
}

fn keeps_slacks_limits(name: &str, value: &Value) {
    let blocks = value["blocks"].as_array().expect("blocks");
    let view = value.get("type").is_some();
    assert!(blocks.len() <= if view { 100 } else { 50 }, "{name}");
    for part in ["title", "submit", "close"] {
        let text = value[part]["text"].as_str().unwrap_or_default();
        assert!(text.chars().count() <= 24, "{name}: {text}");
    }
    let inputs = blocks.iter().filter(|block| block["type"] == "input").count();
    assert_eq!(inputs > 0, value.get("submit").is_some(), "{name}");
    assert!(value["private_metadata"].as_str().unwrap_or_default().len() <= 3000);
}

fn asks_for_no_password(name: &str, value: &Value) {
    let text = value.to_string();
    assert!(!text.contains("sealed") && !text.contains("c2VhbGVk"), "{name}");
    let inputs = value["blocks"].as_array().unwrap().iter().filter(|block| block["type"] == "input");
    for input in inputs {
        let text = input.to_string().to_lowercase();
        assert!(!text.contains("password") && !text.contains("パスワード"), "{name}: {text}");
    }
}

#[test]
fn the_lan_modal_is_as_kept() {
    let whole = device("tenpo-0001", Some("ひまわり薬局 <本店>"));
    let mut fresh = device("tenpo-0002", None);
    fresh.lan = None;
    for (lang, suffix) in BOTH {
        is_as_kept(&format!("lan_{suffix}"), &lan_modal(lang, &whole));
        is_as_kept(&format!("lan_never_reported_{suffix}"), &lan_modal(lang, &fresh));
    }
}

#[test]
fn notices_are_as_kept() {
    let thing = "tenpo-0001".parse().unwrap();
    let change = "01JCHANGE".parse().unwrap();
    let boxes: Vec<_> =
        (1..=12).map(|number| device(&format!("tenpo-{number:04}"), Some("ひまわり薬局"))).collect();
    for (lang, suffix) in BOTH {
        is_as_kept(&format!("loading_{suffix}"), &notice::loading(lang));
        is_as_kept(&format!("registered_{suffix}"), &notice::registered(lang, &thing, &change, "COPS"));
        let open = notice::change_open(lang, &change);
        is_as_kept(&format!("change_open_{suffix}"), &notice::notice(lang, &open));
        let several = notice::several_boxes(lang, "ひまわり", &boxes);
        is_as_kept(&format!("several_boxes_{suffix}"), &notice::notice(lang, &several));
    }
}

#[test]
fn answers_are_as_kept() {
    let mut waiting = device("tenpo-0001", Some("ひまわり薬局"));
    waiting.online = Some(false);
    waiting.open_change = Some(("01JCHANGE".parse().unwrap(), ChangeState::Sent));
    let mut drifting = device("tenpo-0001", Some("ひまわり薬局"));
    drifting.drift_since = Some("2026-11-22T04:00:00Z".parse().unwrap());
    for (lang, suffix) in BOTH {
        is_as_kept(&format!("help_{suffix}"), &notice::ephemeral(&notice::help(lang)));
        let status = notice::status(lang, &waiting);
        is_as_kept(&format!("status_{suffix}"), &notice::ephemeral(&status));
        let status = notice::status(lang, &drifting);
        is_as_kept(&format!("status_drift_{suffix}"), &notice::ephemeral(&status));
    }
}

#[test]
fn the_message_of_a_change_is_as_kept_in_each_state() {
    for (lang, suffix) in BOTH {
        for state in ChangeState::ALL {
            let message = message(lang, &story(state));
            let made = json!({"text": message.text, "blocks": message.blocks});
            is_as_kept(&format!("change_{state}_{suffix}"), &made);
        }
    }
}

#[test]
fn whether_the_receipt_computer_has_found_the_box_is_as_kept() {
    let seen = "2026-11-22T06:30:00Z".parse().unwrap();
    for (lang, suffix) in BOTH {
        for (name, sight) in [("unconfirmed", Sight::Unconfirmed), ("confirmed", Sight::Confirmed(seen))] {
            let mut story = story(ChangeState::Applied);
            story.sight = Some(sight);
            let message = message(lang, &story);
            let made = json!({"text": message.text, "blocks": message.blocks});
            is_as_kept(&format!("change_applied_{name}_{suffix}"), &made);
        }
    }
}

#[test]
fn why_a_change_did_not_go_well_is_as_kept() {
    for (lang, suffix) in BOTH {
        let message = message(lang, &rolled_back());
        let made = json!({"text": message.text, "blocks": message.blocks});
        is_as_kept(&format!("change_gateway_silent_{suffix}"), &made);
    }
}

#[test]
fn nobody_is_mentioned_by_what_was_typed() {
    let message = message(Lang::Ja, &rolled_back());
    let blocks = serde_json::to_string(&message.blocks).unwrap();

    assert!(!blocks.contains("<!channel>") && !blocks.contains("<本店>"), "{blocks}");
    assert!(blocks.contains("<@UOPERATOR>"));
}

#[test]
fn a_box_that_is_offline_is_waited_for() {
    let mut waiting = story(ChangeState::Sent);
    waiting.online = Some(false);

    assert!(message(Lang::Ja, &waiting).text.contains("反映待ち(オフライン)"));
}

fn rolled_back() -> ChangeStory {
    let mut story = story(ChangeState::RolledBack);
    let last = story.steps.last_mut().unwrap();
    last.clock = Some(Clock::Estimated);
    last.code = Some(code::GATEWAY_SILENT.to_owned());
    last.detail = Some("arp: no reply in 3 s `<!here>`".to_owned());
    story
}
