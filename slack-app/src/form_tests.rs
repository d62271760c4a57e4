//! What is typed into the modal, and what comes back at its fields.

use serde_json::json;

use super::*;

const NOW: &str = "2026-11-22T05:00:00Z";

fn form(fields: &[(&str, &str)]) -> Form {
    let values = fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Form::read(&values.collect(), None, None, NOW.parse().unwrap())
}

/// The errors as the modal shows them, judged by the model itself.
fn errors(fields: &[(&str, &str)]) -> Value {
    let form = form(fields);
    let judged = LanSettings::parse(form.draft.clone(), &device_model::lan::ReservedRanges::default());
    Value::Object(form.errors(judged.err().as_ref(), Lang::En))
}

#[test]
fn a_form_filled_in_with_a_japanese_keyboard_is_read() {
    let form = form(&[
        ("mode", "static"),
        ("address", "１９２．１６８．１０．９"),
        ("mask", "２５５。２５５。２５５。０"),
        ("gateway", "192.168.10.1"),
        ("dns", "192.168.10.1、192.168.10.2"),
        ("routes", "192.168.20.0/24 192.168.10.1\n\n192.168.30.0/255.255.255.0 → 192.168.10.2"),
        ("reason", " ルーター交換 "),
    ]);

    assert!(form.was_read());
    assert_eq!(form.reason, "ルーター交換");
    assert_eq!(form.ticket, None);
    assert_eq!(
        serde_json::to_value(&form.draft).unwrap(),
        json!({"mode": "static", "address": "192.168.10.9/24", "gateway": "192.168.10.1",
            "dns": ["192.168.10.1", "192.168.10.2"],
            "routes": [{"to": "192.168.20.0/24", "via": "192.168.10.1"},
                {"to": "192.168.30.0/24", "via": "192.168.10.2"}]})
    );
}

#[test]
fn an_address_with_its_prefix_needs_no_mask() {
    let form = form(&[("mode", "static"), ("address", "192.168.10.9/24"), ("reason", "x")]);

    assert_eq!(form.draft.address.as_deref(), Some("192.168.10.9/24"));
}

#[test]
fn with_dhcp_what_is_left_of_a_static_address_is_not_used() {
    let form = form(&[
        ("mode", "dhcp"),
        ("address", "192.168.10.9"),
        ("mask", "/24"),
        ("gateway", "192.168.10.1"),
        ("reason", "x"),
    ]);

    assert!(form.was_read());
    assert_eq!((form.draft.address, form.draft.gateway), (None, None));
}

#[test]
fn what_the_form_does_not_ask_for_stays_as_it_is() {
    let today = serde_json::from_value(json!({"mode": "dhcp", "mtu": 1400})).unwrap();

    let form = Form::read(
        &Values::from([("mode".to_owned(), "dhcp".to_owned())]),
        Some(&today),
        None,
        NOW.parse().unwrap(),
    );

    assert_eq!(form.draft.mtu, Some(1400));
}

#[test]
fn every_field_tells_its_own_fault_at_once() {
    let errors = errors(&[
        ("mode", "static"),
        ("address", "8.8.8.8"),
        ("mask", "255.0.255.0"),
        ("gateway", "router"),
        ("dns", "192.168.10.1 192.168.10.1"),
        ("routes", "192.168.20.0/24 192.168.10.1\n0.0.0.0/0 192.168.10.1\nsomewhere"),
        ("reason", "  "),
    ]);

    let fields: Vec<_> = errors.as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["address", "dns", "gateway", "mask", "reason", "routes"]);
    assert!(errors["address"].as_str().unwrap().contains("private"));
    let routes = errors["routes"].as_str().unwrap();
    assert!(routes.contains("Line 2: The default route") && routes.contains("Line 3: "), "{routes}");
}

#[test]
fn a_bad_address_and_a_bad_mask_are_told_apart() {
    let bad_address = errors(&[("mode", "static"), ("address", "x"), ("mask", "/24"), ("reason", "r")]);
    let bad_mask =
        errors(&[("mode", "static"), ("address", "192.168.1.5"), ("mask", "/31"), ("reason", "r")]);
    let both = errors(&[("mode", "static"), ("address", "8.8.8.8"), ("mask", "/31"), ("reason", "r")]);
    let neither = errors(&[("mode", "static"), ("reason", "r")]);

    assert_eq!(bad_address, json!({"address": "This is not an IP address. E.g. 192.168.10.9"}));
    assert_eq!(bad_mask, json!({"mask": "Please give a mask from /8 to /30. E.g. 255.255.255.0"}));
    assert_eq!(both.as_object().unwrap().len(), 2, "{both}");
    assert_eq!(neither.as_object().unwrap().len(), 2);
}

#[test]
fn a_gateway_elsewhere_is_told_at_the_gateway() {
    let errors = errors(&[
        ("mode", "static"),
        ("address", "192.168.10.9"),
        ("mask", "/24"),
        ("gateway", "192.168.11.1"),
        ("reason", "r"),
    ]);

    let fields: Vec<_> = errors.as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["gateway"]);
}

#[test]
fn control_characters_in_what_people_wrote_are_told_at_their_field() {
    let errors = errors(&[("mode", "dhcp"), ("reason", "new\0router"), ("ticket", "R-1\u{1b}")]);

    let told = "This holds a character that cannot be used. Please remove it.";
    assert_eq!(errors, json!({"reason": told, "ticket": told}));
    assert_eq!(self::errors(&[("mode", "dhcp"), ("reason", "two\nlines")]), json!({}));
}

#[test]
fn a_reserved_time_is_one_to_come() {
    let reserved = |start: &str| {
        form(&[("mode", "dhcp"), ("reason", "x"), ("when", "later"), ("start", start), ("hours", "2")])
    };
    // 2026-11-22T05:00:00Z and an hour later.
    let (now, later) = ("1795323600", "1795327200");

    let window = reserved(later).window.unwrap();
    assert_eq!(window.not_before.unwrap().to_rfc3339(), "2026-11-22T06:00:00+00:00");
    assert_eq!(window.not_after.unwrap().to_rfc3339(), "2026-11-22T08:00:00+00:00");
    assert!(reserved(later).was_read());
    assert!(reserved(now).errors(None, Lang::En)["start"].as_str().unwrap().contains("gone by"));
    assert!(reserved("").errors(None, Lang::En)["start"].as_str().unwrap().contains("fill this in"));
    let at_once = form(&[("mode", "dhcp"), ("reason", "x"), ("when", "now"), ("start", now), ("hours", "2")]);
    assert!(at_once.was_read() && at_once.window.is_none());
}

fn share_of(fields: &[(&str, &str)]) -> (Form, Value) {
    let today = ShareSettings {
        name: "rx".to_owned(),
        user: "rece".to_owned(),
        workgroup: "HANA".to_owned(),
        password_sealed: Some("c2VhbGVk".to_owned()),
    };
    let mut values: Values =
        [("mode", "dhcp"), ("reason", "x")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    values.extend(fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
    let form = Form::read(&values, None, Some(&today), NOW.parse().unwrap());
    let errors = Value::Object(form.errors(None, Lang::Ja));
    (form, errors)
}

#[test]
fn a_share_is_read_as_it_was_typed_and_keeps_what_is_not_asked_for() {
    let (form, errors) = share_of(&[("share", " 処方データ "), ("share_user", "ｒｅｃｅ２")]);

    let share = form.share.unwrap().after;
    assert_eq!(errors, json!({}));
    assert_eq!((&*share.name, &*share.user, &*share.workgroup), ("処方データ", "rece2", "HANA"));
    assert_eq!(share.password_sealed, None, "whoever seals it keeps it");
}

#[test]
fn a_share_that_stays_the_same_is_no_wish() {
    assert_eq!(share_of(&[("share", "rx"), ("share_user", "rece")]).0.share, None);
    assert_eq!(share_of(&[]).0.share, None);
}

#[test]
fn names_that_a_file_server_cannot_use_are_told_at_their_fields() {
    let (form, errors) = share_of(&[("share", "homes"), ("share_user", "レセ")]);

    assert!(!form.was_read());
    assert_eq!(errors["share"], "ファイルサーバーが別の意味で使う名前です。ほかの名前を入力してください。");
    assert_eq!(errors["share_user"], "使えない文字が入っています。消してください。");
}
