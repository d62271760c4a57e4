//! Both languages say the same things.

use std::collections::BTreeSet;

use device_model::{fault::FaultCode, lan::LanSettings, outcome::code, status::Alarm};

use super::*;

/// Every text of a language with its field's name. A new field does not compile until it stands here.
macro_rules! texts {
    ($words:expr, $($field:ident)*) => {{
        let Words { $($field),*, hours: _, csv_columns: _ } = $words;
        vec![$((stringify!($field), *$field)),*]
    }};
}

fn texts(words: &Words) -> Vec<(&'static str, &'static str)> {
    texts!(words, help unknown_command loading_title loading close notice_title lan_title lan_submit lan_box
        lan_box_without_pharmacy lan_unknown_settings mode mode_hint mode_dhcp mode_static address mask
        mask_hint gateway dns dns_hint routes routes_hint mtu share share_user share_note share_workgroup share_password share_password_new reason reason_hint ticket none registered_title
        registered no_role not_allowed unknown_box several_boxes more_boxes change_open
        nothing_to_change failed too_late line status_title status_online status_offline status_unknown
        status_seen status_drift status_lan status_effective status_share status_open status_no_open status_never_reported
        change_heading change_state change_before_after change_by change_by_api change_reason change_ticket
        change_timeline change_device_clock change_device_clock_estimated change_receipt_computer_seen change_detail change_fallback
        state_scheduled state_queued state_sent state_sent_offline state_trying state_applied state_applied_unconfirmed
        state_rolled_back state_refused state_superseded state_cancelled state_expired
        menu_title menu menu_lan menu_status menu_history menu_pending menu_approvals menu_help back refresh unknown
        choose choose_title choose_any choose_hint lan_check lan_next when when_now when_later start length
        length_hint when_at_once when_window preview_title preview_online preview_offline preview_unknown
        preview_outdated preview_safety open_told open_form open_preview risk_heading risk_address risk_dhcp risk_user risk_none approval_needed rollback
        rollback_title nothing_before runs_already cancel cancel_sure cancelled_done retry approve approve_sure
        approved_done reject reject_title reject_reason rejected rejected_done not_approver own_change
        approved_already not_waiting change_closed unknown_change unusable wrong_channel history_heading history_none
        pending_heading pending_none approvals_heading approvals_none more_changes csv csv_sent password_page
        password_open password_page_text no_sealing_key status_applied status_sight status_no_sight status_last_upload
        status_backlog status_quarantined status_certificate status_agent status_no_health change_approved_by
        change_by_system change_withdrawing change_expiring change_replacing milestone_approved state_unapproved home_title home_boxes
        home_certificates home_updated home_no_map home_all_well home_attention home_no_attention home_mine
        home_no_mine look_failed look_pending look_unknown map_total
        password_title password_number password_confirm password_confirmed password_wrong password_reason page_gone_short page_number page_waits page_ready page_show page_shown page_share page_user page_password page_held page_once page_gone)
}

fn places(text: &str) -> BTreeSet<&str> {
    let ends = text.split('{').skip(1).filter_map(|part| part.split_once('}'));
    ends.map(|(name, _)| name).collect()
}

fn is_japanese(text: &str) -> bool {
    text.chars().any(|c| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}'))
}

fn same(name: &str, ja: &str, en: &str) {
    assert!(!ja.trim().is_empty() && !en.trim().is_empty(), "{name} is empty");
    assert_eq!(places(ja), places(en), "{name}");
    assert!(!is_japanese(en), "{name}: `{en}` is not English");
}

#[test]
fn both_languages_are_complete_and_name_the_same_things() {
    let pairs = texts(&ja::WORDS).into_iter().zip(texts(&en::WORDS));
    let lists = |words: &'static Words| words.hours.iter().chain(&words.csv_columns);
    for (ja, en) in lists(&ja::WORDS).zip(lists(&en::WORDS)) {
        same("lists", ja, en);
        assert!(is_japanese(ja), "`{ja}` is not Japanese");
    }
    for ((name, ja), (_, en)) in pairs {
        same(name, ja, en);
        let international = matches!(name, "mtu" | "change_by_api");
        assert!(international || is_japanese(ja), "{name}: `{ja}` is not Japanese");
    }
}

#[test]
fn every_fault_has_words_in_both_languages() {
    use FaultCode as F;
    let faults = [
        F::Required,
        F::NotAllowedHere,
        F::UnknownField,
        F::UnknownValue { allowed: "dhcp, static" },
        F::NotAnIpv4Address,
        F::NotACidr,
        F::PrefixOutOfRange { min: 8, max: 30 },
        F::NotPrivate,
        F::NetworkAddress,
        F::BroadcastAddress,
        F::OutsideSubnet,
        F::OwnAddress,
        F::OverlapsWan,
        F::DefaultRoute,
        F::HostBits,
        F::Duplicate,
        F::OutOfRange { min: 576, max: 1500 },
        F::TooMany { max: 3 },
        F::TooLong { max: 80 },
        F::BadCharacter,
        F::ReservedName,
        F::NotAfterStart,
        F::InThePast,
        F::NotATime,
        F::NotATimestamp,
        F::NotText,
        F::NotANumber,
        F::NotABoolean,
        F::NotAList,
        F::NotAnObject,
    ];
    for code in faults {
        let (ja, en) = codes::fault_words(&code);
        same(code.name(), ja, en);
        for lang in [Lang::Ja, Lang::En] {
            let text = fault(lang, &code);
            assert!(!text.contains(['{', '}']), "{text}");
        }
    }
    assert!(fault(Lang::Ja, &F::PrefixOutOfRange { min: 8, max: 30 }).starts_with("/8 から /30"));
}

#[test]
fn every_verdict_says_the_fact_and_the_next_step() {
    for name in code::ALL {
        let (ja, en) = codes::verdict_words(name).unwrap_or_else(|| panic!("{name} has no words"));
        same(name, ja, en);
        assert!(ja.matches('。').count() >= 2, "{name} names no next step: {ja}");
        assert!(en.contains("Please"), "{name} names no next step: {en}");
    }
    let tried: LanSettings = serde_json::from_value(serde_json::json!({"mode": "static",
        "address": "192.168.10.9/24", "gateway": "192.168.10.1"}))
    .unwrap();
    assert!(verdict(Lang::Ja, code::GATEWAY_SILENT, &tried).contains("(192.168.10.1)から応答がありません"));
    assert_eq!(verdict(Lang::Ja, "SOMETHING_NEWER", &tried), "SOMETHING_NEWER");
}

#[test]
fn every_alarm_says_the_fact_and_the_next_step() {
    let mut said = BTreeSet::new();
    for raised in Alarm::ALL {
        let (ja, en) = codes::alarm_words(raised);
        let name = format!("{raised:?}");
        same(&name, ja, en);
        assert!(is_japanese(ja), "{name}: `{ja}` is not Japanese");
        assert!(ja.matches('。').count() >= 2, "{name} names no next step: {ja}");
        assert!(en.contains("Please"), "{name} names no next step: {en}");
        assert_eq!((alarm(Lang::Ja, raised), alarm(Lang::En, raised)), (ja, en));
        assert!(said.insert(ja) && said.insert(en), "{name} says what another says");
    }
}

#[test]
fn limits_of_slack_are_kept() {
    for words in [&ja::WORDS, &en::WORDS] {
        for title in [
            words.loading_title,
            words.notice_title,
            words.lan_title,
            words.registered_title,
            words.lan_check,
            words.preview_title,
            words.rollback_title,
            words.reject_title,
            words.reject,
            words.back,
            words.choose_title,
            words.menu_status,
            words.menu_history,
            words.menu_pending,
            words.menu_approvals,
            words.menu_title,
            words.password_title,
            words.password_confirm,
            words.close,
            words.lan_submit,
        ] {
            assert!(title.chars().count() <= 24, "{title}");
        }
    }
}

#[test]
fn a_value_is_never_read_as_a_place() {
    assert_eq!(fill("{a} {b} {c", &[("a", "{b}"), ("b", "x")]), "{b} x {c");
}

#[test]
fn whoever_reads_no_japanese_reads_english() {
    assert_eq!(Lang::of_locale("ja-JP"), Lang::Ja);
    assert_eq!(Lang::of_locale("en-US"), Lang::En);
    assert_eq!(Lang::of_locale("de-DE"), Lang::En);
    assert_eq!(Lang::of_locale(""), Lang::Ja);
}

#[test]
fn screens_show_japans_time() {
    assert_eq!(jst("2026-11-22T15:00:01Z".parse().unwrap()), "2026/11/23 00:00:01");
}
