//! What Slack refuses, each thing at its place; what it takes, it takes here too.

use serde_json::json;

use super::*;

fn text(text: &str) -> Value {
    json!({"type": "plain_text", "text": text})
}

fn input(id: &str, label: &str) -> Value {
    json!({"type": "input", "block_id": id, "label": text(label), "element": {"type": "plain_text_input", "action_id": "a"}})
}

fn modal(blocks: &Value) -> Value {
    json!({"type": "modal", "title": text("T"), "submit": text("OK"), "blocks": blocks})
}

fn faults(given: &Value) -> String {
    match view(given, "modal", &|file| file == "F1") {
        Ok(_) => String::new(),
        Err(refusal) => refusal.messages.join("\n"),
    }
}

#[test]
fn a_modal_as_slack_wants_it_passes() {
    let image = json!({"type": "image", "slack_file": {"id": "F1"}, "alt_text": "map"});
    assert_eq!(faults(&modal(&json!([input("b", "Address"), image, {"type": "divider"}]))), "");
}

#[test]
fn what_slack_refuses_is_refused_with_its_place() {
    let mut long_title = modal(&json!([]));
    long_title["title"] = text(&"あ".repeat(25));
    let mut no_submit = modal(&json!([input("b", "L")]));
    no_submit["submit"] = Value::Null;
    let mut odd = modal(&json!([]));
    odd["colour"] = json!("red");
    let cases = [
        (long_title, "must be less than 25 characters [json-pointer:/view/title/text]"),
        (no_submit, "missing required field: submit"),
        (odd, "invalid additional property: colour [json-pointer:/view]"),
        (
            modal(&json!([{"type": "carousel9"}])),
            "unsupported type: carousel9 [json-pointer:/view/blocks/0/type]",
        ),
        (modal(&json!([input("b", "L"), input("b", "M")])), "block_id `b` already exists"),
        (modal(&json!([{"type": "section"}])), "must define either `text` or `fields`"),
        (
            modal(&json!([{"type": "section", "text": text(&"x".repeat(3001))}])),
            "must be less than 3001 characters",
        ),
        (modal(&json!([{"type": "section", "text": text("")}])), "must be more than 0 characters"),
        (modal(&json!([{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}])), "must be plain_text"),
        (
            modal(&json!([{"type": "image", "slack_file": {"id": "F2"}, "alt_text": "x"}])),
            "invalid slack file",
        ),
        (modal(&Value::Array(vec![json!({"type": "divider"}); 101])), "no more than 100 items allowed"),
    ];
    for (view, expected) in cases {
        let found = faults(&view);
        assert!(found.contains(expected), "{expected} not in: {found}");
    }
}

#[test]
fn elements_are_checked_to_their_last_option() {
    let option = |value: &str| json!({"text": text("O"), "value": value});
    let with = |element: &Value| modal(&json!([{"type": "actions", "block_id": "b", "elements": [element]}]));
    let button = json!({"type": "button", "action_id": "a", "text": text(&"x".repeat(76))});
    let style = json!({"type": "button", "action_id": "a", "text": text("x"), "style": "red"});
    let select = json!({"type": "static_select", "action_id": "a", "options": [option("x"), option("y")],
        "initial_option": option("z")});
    let none = json!({"type": "static_select", "action_id": "a", "options": []});
    let twin = modal(&json!([{"type": "actions", "block_id": "b", "elements": [
        {"type": "button", "action_id": "a", "text": text("x")}, {"type": "button", "action_id": "a", "text": text("y")}]}]));
    let cases = [
        (with(&button), "must be less than 76 characters"),
        (with(&style), "must be primary or danger"),
        (with(&select), "initial_option must be one of the options"),
        (with(&none), "no fewer than 1 items allowed"),
        (
            with(&json!({"type": "plain_text_input", "action_id": "a"})),
            "may not stand in a block of type actions",
        ),
        (twin, "action_id `a` already exists in this block"),
    ];
    for (view, expected) in cases {
        let found = faults(&view);
        assert!(found.contains(expected), "{expected} not in: {found}");
    }
}

#[test]
fn no_input_may_ask_for_a_password() {
    for label in ["共有フォルダのパスワード", "Share Password", "暗証番号"] {
        assert!(faults(&modal(&json!([input("b", label)]))).contains("asks for a password"), "{label}");
    }
    let hinted = with(input("b", "新しい値"), "hint", text("8文字以上のパスワード"));
    let mut named = input("share_password", "新しい値");
    assert!(faults(&modal(&json!([hinted]))).contains("asks for a password"));
    assert!(faults(&modal(&json!([named.clone()]))).contains("asks for a password"));
    named["block_id"] = json!("share");
    assert_eq!(faults(&modal(&json!([named]))), "");
    let told = json!({"type": "section", "text": text("ユーザー名とパスワードを確認してください。")});
    assert_eq!(faults(&modal(&json!([told]))), "");
}

#[test]
fn suggested_options_are_checked_too() {
    assert!(suggested_options(&json!({"options": [{"text": text("A"), "value": "a"}]})).is_empty());
    assert!(suggested_options(&json!({"options": []})).is_empty());
    assert!(!suggested_options(&json!({"options": [{"text": "A", "value": "a"}]})).is_empty());
    assert!(!suggested_options(&json!({})).is_empty());
}

/// A modal with what the limit is about as large as is said, and the largest that Slack takes.
type Limit = (&'static str, usize, Box<dyn Fn(usize) -> Value>);

fn limit(name: &'static str, most: usize, of: impl Fn(usize) -> Value + 'static) -> Limit {
    (name, most, Box::new(of))
}

/// A limit of a block, in a modal of its own.
fn of_block(name: &'static str, most: usize, block: impl Fn(usize) -> Value + 'static) -> Limit {
    limit(name, most, move |size| modal(&json!([block(size)])))
}

/// A limit of an element, in a row of buttons or in a field.
fn of_element(name: &'static str, most: usize, element: impl Fn(usize) -> Value + 'static) -> Limit {
    of_block(name, most, move |size| {
        let element = element(size);
        if element["type"].as_str().unwrap().ends_with("text_input") {
            json!({"type": "input", "label": text("L"), "element": element})
        } else {
            json!({"type": "actions", "elements": [element]})
        }
    })
}

fn option(number: usize) -> Value {
    json!({"text": text("O"), "value": number.to_string()})
}

fn options(many: usize) -> Vec<Value> {
    (0..many).map(option).collect()
}

fn long(size: usize) -> String {
    "薬".repeat(size)
}

fn with(mut element: Value, key: &str, value: impl Into<Value>) -> Value {
    element[key] = value.into();
    element
}

fn limits_of_views() -> Vec<Limit> {
    let set = |key: &'static str| move |size| with(modal(&json!([])), key, text(&long(size)));
    let say = |key: &'static str| move |size| with(modal(&json!([])), key, long(size));
    vec![
        limit("blocks", 100, |many| modal(&json!(vec![json!({"type": "divider"}); many]))),
        limit("title", 24, set("title")),
        limit("submit", 24, set("submit")),
        limit("close", 24, set("close")),
        limit("private_metadata", 3000, say("private_metadata")),
        limit("callback_id", 255, say("callback_id")),
        limit("external_id", 255, say("external_id")),
    ]
}

fn limits_of_blocks() -> Vec<Limit> {
    let field = || input("b", "L");
    vec![
        of_block("block_id", 255, |size| json!({"type": "divider", "block_id": long(size)})),
        of_block("section text", 3000, |size| json!({"type": "section", "text": text(&long(size))})),
        of_block("section fields", 10, |many| json!({"type": "section", "fields": vec![text("F"); many]})),
        of_block("field text", 2000, |size| json!({"type": "section", "fields": [text(&long(size))]})),
        of_block("header", 150, |size| json!({"type": "header", "text": text(&long(size))})),
        of_block("context", 10, |many| json!({"type": "context", "elements": vec![text("C"); many]})),
        of_block("actions", 25, |many| {
            let button =
                |at: usize| json!({"type": "button", "action_id": at.to_string(), "text": text("B")});
            json!({"type": "actions", "elements": (0..many).map(button).collect::<Vec<_>>()})
        }),
        of_block(
            "image title",
            2000,
            |size| json!({"type": "image", "slack_file": {"id": "F1"}, "alt_text": "A", "title": text(&long(size))}),
        ),
        of_block(
            "image alt_text",
            2000,
            |size| json!({"type": "image", "slack_file": {"id": "F1"}, "alt_text": long(size)}),
        ),
        of_block(
            "image_url",
            3000,
            |size| json!({"type": "image", "image_url": long(size), "alt_text": "A"}),
        ),
        of_block("input label", 2000, move |size| with(field(), "label", text(&long(size)))),
        of_block("input hint", 2000, move |size| with(field(), "hint", text(&long(size)))),
    ]
}

fn limits_of_elements() -> Vec<Limit> {
    let button = || json!({"type": "button", "action_id": "a", "text": text("B")});
    let select = |offered: Vec<Value>| json!({"type": "static_select", "action_id": "a", "options": offered});
    let line = || json!({"type": "plain_text_input", "action_id": "a"});
    let asks = move |key: &str, size: usize| {
        let dialog = json!({"title": text("T"), "text": text("T"), "confirm": text("C"), "deny": text("D")});
        with(button(), "confirm", with(dialog, key, text(&long(size))))
    };
    let offer = move |key: &str, value: Value| select(vec![with(option(1), key, value)]);
    vec![
        of_element("action_id", 255, move |size| with(button(), "action_id", long(size))),
        of_element("button text", 75, move |size| with(button(), "text", text(&long(size)))),
        of_element("button value", 2000, move |size| with(button(), "value", long(size))),
        of_element("button url", 3000, move |size| with(button(), "url", long(size))),
        of_element("accessibility_label", 75, move |size| with(button(), "accessibility_label", long(size))),
        of_element("confirm title", 100, move |size| asks("title", size)),
        of_element("confirm text", 300, move |size| asks("text", size)),
        of_element("confirm confirm", 30, move |size| asks("confirm", size)),
        of_element("confirm deny", 30, move |size| asks("deny", size)),
        of_element("select options", 100, move |many| select(options(many))),
        of_element("option text", 75, move |size| offer("text", text(&long(size)))),
        of_element("option description", 75, move |size| offer("description", text(&long(size)))),
        of_element("option value", 150, move |size| offer("value", long(size).into())),
        of_element("option groups", 100, |many| {
            let group = |at| json!({"label": text("G"), "options": [option(at)]});
            let groups: Vec<_> = (0..many).map(group).collect();
            json!({"type": "static_select", "action_id": "a", "option_groups": groups})
        }),
        of_element("group label", 75, |size| {
            let group = json!({"label": text(&long(size)), "options": [option(1)]});
            json!({"type": "static_select", "action_id": "a", "option_groups": [group]})
        }),
        of_element(
            "overflow options",
            5,
            |many| json!({"type": "overflow", "action_id": "a", "options": options(many)}),
        ),
        of_element(
            "checkboxes",
            10,
            |many| json!({"type": "checkboxes", "action_id": "a", "options": options(many)}),
        ),
        of_element(
            "radio buttons",
            10,
            |many| json!({"type": "radio_buttons", "action_id": "a", "options": options(many)}),
        ),
        of_element("placeholder", 150, move |size| with(line(), "placeholder", text(&long(size)))),
        of_element("initial_value", 3000, move |size| with(line(), "initial_value", long(size))),
        of_element("max_length", 3000, move |size| with(line(), "max_length", size)),
        of_element("min_length", 3000, move |size| with(line(), "min_length", size)),
    ]
}

#[test]
fn each_of_slacks_limits_holds_to_the_character() {
    let limits = [limits_of_views(), limits_of_blocks(), limits_of_elements()];
    for (name, most, of) in limits.into_iter().flatten() {
        assert_eq!(faults(&of(most)), "", "{name}");
        let found = faults(&of(most + 1));
        assert!(found.contains("[json-pointer:/view"), "{name} of {}: {found}", most + 1);
    }
}

#[test]
fn a_message_holds_fifty_blocks_and_some_kinds_that_no_view_does() {
    let blocks = |many: usize| json!(vec![json!({"type": "divider"}); many]);
    let table = json!([{"type": "table", "rows": [[{"type": "raw_text", "text": "A"}]]}]);
    let markdown = |size: usize| json!([{"type": "markdown", "text": "x".repeat(size)}]);

    assert!(message(&blocks(50), &|_| false).is_ok());
    let refused = message(&blocks(51), &|_| false).unwrap_err();
    assert_eq!(refused.error, "invalid_blocks");
    assert!(message(&table, &|_| false).is_ok());
    assert!(faults(&modal(&table)).contains("unsupported type: table"));
    assert!(message(&markdown(12_000), &|_| false).is_ok());
    assert!(message(&markdown(12_001), &|_| false).is_err());
}

#[test]
fn a_view_of_more_than_a_quarter_of_a_megabyte_is_too_large() {
    let section = |_| json!({"type": "section", "text": text(&"x".repeat(3000))});
    let many = |blocks: usize| modal(&Value::Array((0..blocks).map(section).collect()));

    assert!(view(&many(80), "modal", &|_| false).is_ok());
    assert_eq!(view(&many(90), "modal", &|_| false).unwrap_err().error, "view_too_large");
}

#[test]
fn what_is_given_beforehand_must_be_something_the_field_can_hold() {
    let field = |element: Value| modal(&json!([{"type": "input", "label": text("L"), "element": element}]));
    let number = |key: &str, value: Value| {
        let number = json!({"type": "number_input", "action_id": "a", "is_decimal_allowed": false,
            "min_value": "1", "max_value": "9"});
        field(with(number, key, value))
    };
    let moment =
        |at: Value| field(json!({"type": "datetimepicker", "action_id": "a", "initial_date_time": at}));
    let outside = |key: &str, value: Value| {
        field(with(json!({"type": "external_select", "action_id": "a"}), key, value))
    };
    let line = |triggers: Value| {
        let config = json!({"trigger_actions_on": triggers});
        field(json!({"type": "plain_text_input", "action_id": "a", "dispatch_action_config": config}))
    };
    let date = |day: &str| field(json!({"type": "datepicker", "action_id": "a", "initial_date": day}));
    let good = [
        number("initial_value", json!("5")),
        moment(json!(1_800_000_000)),
        outside("initial_option", option(1)),
        outside("min_query_length", json!(0)),
        line(json!(["on_character_entered"])),
        date("2026-11-26"),
    ];
    let bad = [
        (number("initial_value", json!("10")), "must lie between"),
        (number("min_value", json!("10")), "must lie between"),
        (number("max_value", json!(9)), "must be a number in a string"),
        (moment(json!("2026-11-26")), "must be a whole number"),
        (moment(json!(1_800_000_000_000_u64)), "must be a whole number"),
        (outside("initial_option", json!({"value": "x"})), "missing required field: text"),
        (outside("min_query_length", json!("1")), "must be a whole number"),
        (outside("options", json!([option(1)])), "invalid additional property: options"),
        (line(json!(["on_blur"])), "must be one of"),
        (line(json!([])), "no fewer than 1"),
        (date("26/11/2026"), "must look like"),
    ];

    for view in good {
        assert_eq!(faults(&view), "", "{view}");
    }
    for (view, expected) in bad {
        let found = faults(&view);
        assert!(found.contains(expected), "{expected} not in: {found}");
    }
}

#[test]
fn options_are_plain_in_menus_and_links_in_an_overflow_alone() {
    let element = |kind: &str, option: Value| {
        let element = json!({"type": kind, "action_id": "a", "options": [option]});
        faults(&modal(&json!([{"type": "actions", "elements": [element]}])))
    };
    let marked = with(option(1), "text", json!({"type": "mrkdwn", "text": "*O*"}));
    let link = with(option(1), "url", "https://example.com");

    assert_eq!(element("checkboxes", marked.clone()), "");
    assert_eq!(element("overflow", link.clone()), "");
    assert!(element("static_select", marked.clone()).contains("must be plain_text"));
    assert!(element("overflow", marked).contains("must be plain_text"));
    assert!(element("static_select", link).contains("invalid additional property: url"));
    let suggested = json!({"options": options(101)});
    assert!(suggested_options(&suggested)[0].contains("no more than 100"));
}

#[test]
fn an_empty_id_and_two_fields_in_focus_are_refused() {
    let focused = |id: &str| {
        json!({"type": "input", "block_id": id, "label": text("L"),
            "element": {"type": "plain_text_input", "action_id": "a", "focus_on_load": true}})
    };
    let empty = json!({"type": "divider", "block_id": ""});

    assert_eq!(faults(&modal(&json!([focused("b")]))), "");
    assert!(faults(&modal(&json!([focused("b"), focused("c")]))).contains("focus_on_load"));
    assert!(faults(&modal(&json!([empty]))).contains("must be more than 0 characters"));
    assert!(faults(&modal(&json!([input("b", "L")]))).is_empty());
}
