//! Every view and message as Slack gets it, kept as JSON beside this file, in both languages.
//!
//! With `RECEHUB_WRITE_SNAPSHOTS=1` the files are written anew.

use std::{fs, io::Write, path::PathBuf};

use device_model::{
    change::ChangeState,
    lan::LanSettings,
    outcome::{Clock, code},
    share::ShareSettings,
};
use serde::Serialize;
use serde_json::{Value, json};
use slack_app::{
    chooser,
    fleet::PasswordPage,
    home::home,
    i18n::Lang,
    lan_view::{chosen, lan_modal},
    lists,
    message::{message, milestones},
    model::{Approval, ChangeStory, Look, Overview, ShareChange, Sight, Square, Step, Withdrawing},
    notice, password_view,
    preview::{Source, Wanted, preview},
    status_view, verb,
};

use crate::support::{device, lan, now, story};

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
    assert!(inputs == 0 || value.get("submit").is_some(), "{name}");
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
    let mut dhcp = device("tenpo-0001", Some("ひまわり薬局 <本店>"));
    dhcp.lan = Some(LanSettings::dhcp());
    for (lang, suffix) in BOTH {
        is_as_kept(&format!("lan_{suffix}"), &lan_modal(lang, &whole, None));
        is_as_kept(&format!("lan_never_reported_{suffix}"), &lan_modal(lang, &fresh, None));
        is_as_kept(&format!("lan_opens_at_dhcp_{suffix}"), &lan_modal(lang, &dhcp, None));
        let open = story(ChangeState::Sent);
        is_as_kept(&format!("lan_open_{suffix}"), &lan_modal(lang, &whole, Some(&open)));
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
        let several = chooser::modal(lang, verb::LAN, "ひまわり", &boxes);
        is_as_kept(&format!("several_boxes_{suffix}"), &several);
        is_as_kept(&format!("choose_{suffix}"), &chooser::modal(lang, verb::STATUS, "", &[]));
        is_as_kept(&format!("menu_{suffix}"), &notice::answer("menu", &notice::menu(lang)));
        is_as_kept(&format!("reject_{suffix}"), &notice::rejecting(lang, &story(ChangeState::Scheduled)));
        let page = PasswordPage { id: "page-1".to_owned(), url: "https://recehub.example.com/1".to_owned() };
        is_as_kept(&format!("password_page_{suffix}"), &password_view::modal(lang, &boxes[0], &page));
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
        let answer = |blocks: Vec<Value>| notice::answer("answer", &blocks);
        is_as_kept(&format!("status_{suffix}"), &answer(status_view::status(lang, &waiting)));
        is_as_kept(&format!("status_drift_{suffix}"), &answer(status_view::status(lang, &drifting)));
        let mut applied = story(ChangeState::Applied);
        applied.steps.last_mut().unwrap().at += chrono::TimeDelta::minutes(5);
        let changes = [rolled_back(), applied, unapproved()];
        is_as_kept(&format!("history_{suffix}"), &answer(lists::history(lang, &waiting, &changes)));
        is_as_kept(&format!("history_none_{suffix}"), &answer(lists::history(lang, &waiting, &[])));
        is_as_kept(&format!("pending_{suffix}"), &answer(lists::pending(lang, &changes)));
        is_as_kept(&format!("approvals_{suffix}"), &answer(lists::approvals(lang, &[unapproved()])));
    }
}

#[test]
fn what_a_choice_leaves_of_the_form_is_as_kept() {
    let device = device("tenpo-0001", Some("ひまわり薬局"));
    let choose = |choices: &[(&str, &str)]| {
        choices.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    for (lang, suffix) in BOTH {
        is_as_kept(&format!("lan_dhcp_{suffix}"), &chosen(lang, &device, None, &choose(&[("mode", "dhcp")])));
        let later = choose(&[("when", "later"), ("start", "1795329000"), ("reason", "移転")]);
        is_as_kept(&format!("lan_later_{suffix}"), &chosen(lang, &device, None, &later));
    }
}

#[test]
fn previews_are_as_kept() {
    let mut offline = device("tenpo-0001", Some("ひまわり薬局 <本店>"));
    offline.online = Some(false);
    let moved = lan(json!({"mode": "static", "address": "192.168.11.9/24", "gateway": "192.168.11.1"}));
    let dhcp = lan(json!({"mode": "dhcp"}));
    let wanted = |after, needs_approval| Wanted {
        after,
        share: None,
        window: None,
        reason: "ルーター交換 <!channel>".to_owned(),
        ticket: Some("R-100".to_owned()),
        needs_approval,
        replaces: None,
        remark: None,
    };
    let change = || "01JCHANGE".parse().unwrap();
    for (lang, suffix) in BOTH {
        let form = Source::Form { key: "k".to_owned(), values: [].into() };
        is_as_kept(
            &format!("preview_{suffix}"),
            &preview(lang, &offline, form, &wanted(moved.clone(), true)),
        );
        let form = Source::Form { key: "k".to_owned(), values: [].into() };
        let replacing = Wanted { replaces: Some(story(ChangeState::Trying)), ..wanted(moved.clone(), false) };
        is_as_kept(&format!("preview_replacing_{suffix}"), &preview(lang, &offline, form, &replacing));
        let form = Source::Form { key: "k".to_owned(), values: [].into() };
        let renamed = Wanted { share: Some(renamed()), ..wanted(offline.lan.clone().unwrap(), false) };
        is_as_kept(&format!("preview_share_{suffix}"), &preview(lang, &offline, form, &renamed));
        let again = preview(lang, &offline, Source::Again(change()), &wanted(moved.clone(), false));
        is_as_kept(&format!("preview_again_{suffix}"), &again);
        let back = preview(lang, &offline, Source::Before(change()), &wanted(dhcp.clone(), false));
        is_as_kept(&format!("preview_back_{suffix}"), &back);
    }
}

#[test]
fn the_home_is_as_kept() {
    let square = |label: &str, look| Square { label: label.to_owned(), look };
    let overview = Overview {
        squares: vec![
            square("HIMAWARI", Look::Online),
            square("SAKURA", Look::Failed),
            square("tenpo-0003", Look::Offline),
        ],
        certificates_due: 1,
        attention: vec![rolled_back(), unapproved()],
        drifted: vec![device("tenpo-0001", Some("ひまわり薬局"))],
        mine: vec![story(ChangeState::Sent)],
    };
    for (lang, suffix) in BOTH {
        is_as_kept(&format!("home_{suffix}"), &home(lang, &overview, Some("F1"), now()));
        is_as_kept(&format!("home_without_map_{suffix}"), &home(lang, &overview, None, now()));
        is_as_kept(&format!("home_of_nothing_{suffix}"), &home(lang, &Overview::default(), None, now()));
    }
}

#[test]
fn what_a_thread_tells_only_grows() {
    for (lang, _) in BOTH {
        let mut told: Vec<String> = Vec::new();
        for state in [ChangeState::Queued, ChangeState::Sent, ChangeState::Trying, ChangeState::Applied] {
            let now = milestones(lang, &story(state));
            assert_eq!(now[..told.len()], told[..], "{state}");
            told = now;
        }
        assert_eq!(told.len(), 2);
    }
}

#[test]
fn a_change_that_waits_for_approval_is_as_kept() {
    for (lang, suffix) in BOTH {
        for (name, story) in [
            ("unapproved", unapproved()),
            ("approved", approved()),
            ("withdrawing", withdrawing(Withdrawing::Cancel)),
            ("expiring", withdrawing(Withdrawing::Expire)),
            ("replacing", withdrawing(Withdrawing::Supersede)),
        ] {
            let message = message(lang, &story);
            let made = json!({"text": message.text, "blocks": message.blocks});
            is_as_kept(&format!("change_{name}_{suffix}"), &made);
        }
    }
    assert!(milestones(Lang::Ja, &approved())[0].contains("<@UAPPROVER>"));
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
fn what_becomes_of_the_share_is_as_kept() {
    let password = ShareChange { before: Some(renamed().after), new_password: true, ..renamed() };
    for (lang, suffix) in BOTH {
        for (name, share) in [("renamed", renamed()), ("new_password", password.clone())] {
            let story = ChangeStory { share: Some(share), ..story(ChangeState::Applied) };
            let message = message(lang, &story);
            let made = json!({"text": message.text, "blocks": message.blocks});
            is_as_kept(&format!("change_share_{name}_{suffix}"), &made);
        }
        let too_old = message(lang, &too_old());
        is_as_kept(
            &format!("change_too_old_{suffix}"),
            &json!({"text": too_old.text, "blocks": too_old.blocks}),
        );
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

fn renamed() -> ShareChange {
    let before = device("tenpo-0001", None).share.unwrap();
    let after =
        ShareSettings { name: "処方データ".to_owned(), user: "rece2".to_owned(), ..before.clone() };
    ShareChange::between(Some(&before), &after).unwrap()
}

/// Never sent, since its box did not say that it knows such settings.
fn too_old() -> ChangeStory {
    let mut story = story(ChangeState::Refused);
    story.steps.truncate(1);
    let refused = story.steps[0].clone();
    story.steps.push(Step {
        state: ChangeState::Refused,
        code: Some(code::AGENT_TOO_OLD.to_owned()),
        ..refused
    });
    story
}

fn unapproved() -> ChangeStory {
    let mut story = story(ChangeState::Queued);
    story.state = ChangeState::Scheduled;
    story.approval = Approval::Waiting;
    story.steps[0].state = ChangeState::Scheduled;
    story
}

fn approved() -> ChangeStory {
    let mut approved = story(ChangeState::Sent);
    approved.steps.insert(0, unapproved().steps.remove(0));
    approved.approval = Approval::Given("slack:UAPPROVER".to_owned());
    approved
}

fn withdrawing(why: Withdrawing) -> ChangeStory {
    ChangeStory { withdrawing: Some(why), ..story(ChangeState::Trying) }
}
