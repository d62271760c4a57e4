//! The policy evaluator: what holds, case by case, and that no input makes it panic.

use local_cloud::policy::{Context, Decision, Document, Request, evaluate};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Value, json};

fn document(statements: impl Into<Value>) -> Document {
    Document::from_value(&json!({ "Version": "2012-10-17", "Statement": statements.into() })).unwrap()
}

fn decide(document: &Document, action: &str, resource: &str, context: &Context) -> Decision {
    evaluate([document], &Request { action, resource, context })
}

/// Whether a condition block holds.
fn holds(block: impl Into<Value>, context: &Context) -> bool {
    let document =
        document(json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": block.into() }));
    decide(&document, "a:b", "c", context).is_allowed()
}

#[test]
fn an_explicit_deny_beats_any_allow_wherever_it_stands() {
    let allow = document(json!({ "Effect": "Allow", "Action": "s3:*", "Resource": "*" }));
    let deny =
        document(json!([{ "Effect": "Deny", "Action": "s3:Delete*", "Resource": "arn:aws:s3:::b/*" }]));
    let context = Context::new();
    for documents in [[&allow, &deny], [&deny, &allow]] {
        let ask = |action: &str| {
            evaluate(documents, &Request { action, resource: "arn:aws:s3:::b/k", context: &context })
        };
        assert_eq!(ask("s3:DeleteObject"), Decision::ExplicitDeny);
        assert_eq!(ask("s3:PutObject"), Decision::Allow);
        assert_eq!(ask("iot:Connect"), Decision::ImplicitDeny);
    }
}

#[test]
fn actions_ignore_case_and_resources_do_not() {
    let allow =
        document(json!({ "Effect": "Allow", "Action": "S3:getobject", "Resource": "arn:aws:s3:::b/K" }));
    let context = Context::new();
    assert_eq!(decide(&allow, "s3:GetObject", "arn:aws:s3:::b/K", &context), Decision::Allow);
    assert_eq!(decide(&allow, "s3:GetObject", "arn:aws:s3:::b/k", &context), Decision::ImplicitDeny);
}

#[test]
fn not_action_and_not_resource_turn_the_match_round() {
    let document = document(json!([
        { "Effect": "Allow", "NotAction": "iot:*", "Resource": "*" },
        { "Effect": "Deny", "Action": "*", "NotResource": ["b/own/*", "c"] },
    ]));
    let context = Context::new();
    assert_eq!(decide(&document, "s3:GetObject", "b/own/1", &context), Decision::Allow);
    assert_eq!(decide(&document, "iot:Connect", "c", &context), Decision::ImplicitDeny);
    assert_eq!(decide(&document, "s3:GetObject", "b/other", &context), Decision::ExplicitDeny);
}

#[test]
fn variables_are_filled_in_from_the_context_and_only_in_the_newer_version() {
    let statement =
        json!({ "Effect": "Allow", "Action": "*", "Resource": "box/${credentials-iot:ThingName}/*" });
    let newer = document(statement.clone());
    let older = Document::from_value(&json!({ "Version": "2008-10-17", "Statement": statement })).unwrap();
    let own = Context::new().with("credentials-iot:ThingName", "a");

    assert_eq!(decide(&newer, "x:Y", "box/a/1", &own), Decision::Allow);
    assert_eq!(decide(&newer, "x:Y", "box/b/1", &own), Decision::ImplicitDeny);
    assert_eq!(decide(&newer, "x:Y", "box//1", &Context::new()), Decision::ImplicitDeny);
    assert_eq!(decide(&older, "x:Y", "box/a/1", &own), Decision::ImplicitDeny);
    assert_eq!(decide(&older, "x:Y", "box/${credentials-iot:ThingName}/1", &own), Decision::Allow);
}

#[test]
fn principals_are_matched_by_arn_session_account_and_service() {
    let by = |principal: Value, effect: &str| {
        document(json!([
            { "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*",
              "Condition": { "Bool": { "test:base": "true" } } },
            { "Effect": effect, "Principal": principal, "Action": "*", "Resource": "*" },
        ]))
    };
    let role = Context::new()
        .with("aws:PrincipalArn", "arn:aws:iam::1:role/r")
        .with("aws:PrincipalSessionArn", "arn:aws:sts::1:assumed-role/r/s")
        .with("aws:PrincipalAccount", "1");
    let ask = |document: &Document| decide(document, "a:b", "c", &role);

    assert_eq!(ask(&by(json!({ "AWS": "arn:aws:iam::1:role/r" }), "Allow")), Decision::Allow);
    assert_eq!(ask(&by(json!({ "AWS": ["arn:aws:sts::1:assumed-role/r/s"] }), "Allow")), Decision::Allow);
    assert_eq!(ask(&by(json!({ "AWS": "arn:aws:iam::1:role/other" }), "Allow")), Decision::ImplicitDeny);
    // The account as such delegates to the identity's policies: alone it allows nothing, but it can be denied.
    assert_eq!(ask(&by(json!({ "AWS": "arn:aws:iam::1:root" }), "Allow")), Decision::ImplicitDeny);
    assert_eq!(ask(&by(json!({ "AWS": "1" }), "Deny")), Decision::ExplicitDeny);
    assert_eq!(ask(&by(json!({ "Service": "iot.amazonaws.com" }), "Allow")), Decision::ImplicitDeny);
}

#[test]
fn each_operator_holds_when_it_should() {
    let context = Context::new()
        .with("s", "Value-1")
        .with("n", "10")
        .with("d", "2026-11-22T10:00:00Z")
        .with("b", "true")
        .with("arn", "arn:aws:iam::1:role/a");
    for (operator, key, value, expected) in [
        ("StringEquals", "s", "Value-1", true),
        ("StringEquals", "S", "Value-1", true),
        ("StringEquals", "s", "value-1", false),
        ("StringEquals", "s", "Value-*", false),
        ("StringEqualsIgnoreCase", "s", "vALUE-1", true),
        ("StringNotEquals", "s", "Value-1", false),
        ("StringNotEquals", "s", "x", true),
        ("StringLike", "s", "Val*-?", true),
        ("StringNotLike", "s", "Val*", false),
        ("NumericLessThan", "n", "11", true),
        ("NumericGreaterThanEquals", "n", "10", true),
        ("NumericEquals", "s", "10", false),
        ("DateLessThan", "d", "2026-11-22T19:00:01+09:00", true),
        ("DateGreaterThan", "d", "2026-11-22T10:00:00Z", false),
        ("DateGreaterThan", "d", "2026-11-22", true),
        ("Bool", "b", "true", true),
        ("Bool", "b", "false", false),
        ("ArnLike", "arn", "arn:aws:iam::*:role/*", true),
        ("ArnNotLike", "arn", "arn:aws:iam::1:role/*", false),
        ("Null", "s", "false", true),
        ("Null", "s", "true", false),
        ("Null", "missing", "true", true),
        // A key that is missing: no match for the plain operators, a match for the negated and IfExists ones.
        ("StringEquals", "missing", "x", false),
        ("StringNotEquals", "missing", "x", true),
        ("StringEqualsIfExists", "missing", "x", true),
        ("Bool", "missing", "false", false),
        ("BoolIfExists", "missing", "false", true),
        ("ForAnyValue:StringEquals", "missing", "x", false),
        ("ForAllValues:StringEquals", "missing", "x", true),
    ] {
        assert_eq!(
            holds(json!({ operator: { key: value } }), &context),
            expected,
            "{operator} {key} {value}"
        );
    }
}

#[test]
fn sets_are_judged_value_by_value() {
    let mut context = Context::new();
    context.set_all("tags", vec!["a".to_owned(), "b".to_owned()]);
    for (operator, values, expected) in [
        ("ForAnyValue:StringEquals", json!(["b", "c"]), true),
        ("ForAnyValue:StringEquals", json!(["c"]), false),
        ("ForAllValues:StringEquals", json!(["a", "b", "c"]), true),
        ("ForAllValues:StringEquals", json!(["a"]), false),
        ("ForAnyValue:StringNotEquals", json!(["a"]), true),
        ("ForAllValues:StringNotEquals", json!(["a"]), false),
    ] {
        assert_eq!(holds(json!({ operator: { "tags": values } }), &context), expected, "{operator} {values}");
    }
}

#[test]
fn all_conditions_must_hold_and_one_value_of_each() {
    let context = Context::new().with("a", "1").with("b", "2");
    assert!(holds(json!({ "StringEquals": { "a": ["0", "1"], "b": "2" } }), &context));
    assert!(!holds(json!({ "StringEquals": { "a": "1" }, "StringLike": { "b": "3*" } }), &context));
}

#[test]
fn what_is_not_a_policy_is_refused() {
    let statement = |change: Value| {
        let mut statement = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
        statement.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        statement
    };
    for bad in [
        json!([]),
        json!({ "Version": "2012-10-17" }),
        json!({ "Version": "2012-10-17", "Statement": [] }),
        json!({ "Version": "2020-01-01", "Statement": statement(json!({})) }),
        json!({ "Statement": statement(json!({})), "Extra": 1 }),
        json!({ "Statement": statement(json!({ "Effect": "allow" })) }),
        json!({ "Statement": statement(json!({ "NotAction": "x" })) }),
        json!({ "Statement": statement(json!({ "Resource": 1 })) }),
        json!({ "Statement": statement(json!({ "Condition": { "StringMatches": { "a": "b" } } })) }),
        json!({ "Statement": statement(json!({ "Condition": { "NullIfExists": { "a": "true" } } })) }),
        json!({ "Statement": statement(json!({ "Principal": "someone" })) }),
        json!({ "Statement": { "Effect": "Allow", "Action": "*" } }),
    ] {
        assert!(Document::from_value(&bad).is_err(), "{bad}");
    }
    assert!(Document::parse("{").is_err());
}

/// A glob that tries everything, to hold the quick one against.
fn slow_glob(pattern: &[char], text: &[char]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some('*'), _) => {
            slow_glob(&pattern[1..], text) || (!text.is_empty() && slow_glob(pattern, &text[1..]))
        }
        (Some('?'), Some(_)) => slow_glob(&pattern[1..], &text[1..]),
        (Some(p), Some(t)) if p == t => slow_glob(&pattern[1..], &text[1..]),
        _ => false,
    }
}

#[test]
fn matching_agrees_with_a_slow_model_on_random_patterns() {
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..20_000 {
        let mut word = |letters: &[char]| -> String {
            (0..random.random_range(0..9)).map(|_| *letters.choose(&mut random).unwrap()).collect()
        };
        let (pattern, text) = (word(&['a', 'b', '*', '?', '処']), word(&['a', 'b', '処']));
        let document = document(json!({ "Effect": "Allow", "Action": "*", "Resource": pattern }));

        let quick = decide(&document, "x:y", &text, &Context::new()).is_allowed();

        let slow = slow_glob(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
        assert_eq!(quick, slow, "{pattern} {text}");
    }
}

#[test]
fn no_document_and_no_request_makes_it_panic() {
    const WORDS: [&str; 24] = [
        "",
        "*",
        "?",
        "${",
        "${}",
        "${a",
        "${a}",
        "${a, 'x'}",
        "${*}",
        "$",
        "}",
        "arn:aws:s3:::b/*",
        ":",
        "::::::",
        "2012-10-17",
        "true",
        "1e309",
        "-1",
        "処方箋",
        "StringLike",
        "s3:PutObject",
        "\u{0}",
        "Allow",
        "NaN",
    ];
    const OPERATORS: [&str; 9] = [
        "StringLike",
        "ForAllValues:StringNotLike",
        "ForAnyValue:ArnLike",
        "NumericLessThan",
        "DateGreaterThan",
        "BoolIfExists",
        "Null",
        "StringEquals",
        "Nonsense",
    ];
    let mut random = StdRng::seed_from_u64(2);
    let mut judged = 0;
    for _ in 0..20_000 {
        let mut word = || -> String {
            (0..random.random_range(0..4)).map(|_| *WORDS.choose(&mut random).unwrap()).collect()
        };
        let (action, resource, key, value) = (word(), word(), word(), word());
        let (asked, of, held) = (word(), word(), word());
        let operator = *OPERATORS.choose(&mut random).unwrap();
        let text = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": [action], "NotResource": resource, "Principal": { "AWS": value },
              "Condition": { operator: { &key: [value, key] } } },
            { "Effect": "Deny", "NotAction": resource, "Resource": "*" },
        ]});
        let context = Context::new().with(&key, held).with("a", &of).with("aws:PrincipalArn", &asked);
        if let Ok(document) = Document::from_value(&text) {
            decide(&document, &asked, &of, &context);
            judged += 1;
        }
        // The same document, broken at a random place.
        let text = text.to_string();
        let cut =
            (0..=random.random_range(0..text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        assert!(Document::parse(&text[..cut]).is_err());
    }
    assert!(judged > 10_000);
}
