//! The whole policy evaluator against a slow model that reads the documents word by word, on random documents and
//! requests. A disagreement prints the seed that leads to it.

use std::collections::BTreeMap;

use local_cloud::policy::{Context, Decision, Document, Request, evaluate};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Map, Value, json};

const CASES: u64 = 40_000;

/// What is asked, as the model holds it; the keys in lower case.
struct Asked {
    action: &'static str,
    resource: &'static str,
    context: BTreeMap<String, Vec<String>>,
}

#[test]
fn the_evaluator_agrees_with_a_slow_model_on_random_policies_and_requests() {
    let mut decided = BTreeMap::new();
    let mut conditions: BTreeMap<String, [u32; 2]> = BTreeMap::new();
    for seed in 0..CASES {
        let mut random = StdRng::seed_from_u64(seed);
        let documents: Vec<Value> = (0..random.random_range(1..4)).map(|_| document(&mut random)).collect();
        let asked = asked(&mut random);

        let expected = model::decide(&documents, &asked);

        let parsed: Vec<Document> = documents.iter().map(|it| Document::from_value(it).unwrap()).collect();
        let mut context = Context::new();
        for (key, values) in &asked.context {
            context.set_all(key, values.clone());
        }
        let request = Request { action: asked.action, resource: asked.resource, context: &context };
        let actual = evaluate(&parsed, &request);
        assert_eq!(
            actual,
            expected,
            "seed {seed}\n{}\n{} {} {:#?}",
            json!(documents),
            asked.action,
            asked.resource,
            asked.context
        );
        *decided.entry(format!("{actual:?}")).or_insert(0_u64) += 1;
        for (operator, held) in model::conditions(&documents, &asked) {
            conditions.entry(operator).or_default()[usize::from(held)] += 1;
        }
    }
    // What never happens is not tested.
    assert_eq!(decided.len(), 3, "{decided:?}");
    assert!(decided.values().all(|&count| count > CASES / 20), "{decided:?}");
    for operator in OPERATORS {
        let sorts = conditions.iter().filter(|(name, _)| name.contains(operator.0));
        let both = sorts.fold([0, 0], |[no, yes], (_, [n, y])| [no + n, yes + y]);
        assert!(both.iter().all(|&count| count > 100), "{}: {both:?}", operator.0);
    }
}

/// An operator, and the keys and values that suit it.
const OPERATORS: [(&str, &[&str], &[&str]); 24] = [
    ("StringEquals", TEXT_KEYS, TEXTS),
    ("StringNotEquals", TEXT_KEYS, TEXTS),
    ("StringEqualsIgnoreCase", TEXT_KEYS, TEXTS),
    ("StringNotEqualsIgnoreCase", TEXT_KEYS, TEXTS),
    ("StringLike", TEXT_KEYS, TEXTS),
    ("StringNotLike", TEXT_KEYS, TEXTS),
    ("NumericEquals", &["t:Num"], NUMBERS),
    ("NumericNotEquals", &["t:Num"], NUMBERS),
    ("NumericLessThan", &["t:Num"], NUMBERS),
    ("NumericLessThanEquals", &["t:Num"], NUMBERS),
    ("NumericGreaterThan", &["t:Num"], NUMBERS),
    ("NumericGreaterThanEquals", &["t:Num"], NUMBERS),
    ("DateEquals", &["t:Date"], DATES),
    ("DateNotEquals", &["t:Date"], DATES),
    ("DateLessThan", &["t:Date"], DATES),
    ("DateLessThanEquals", &["t:Date"], DATES),
    ("DateGreaterThan", &["t:Date"], DATES),
    ("DateGreaterThanEquals", &["t:Date"], DATES),
    ("Bool", &["t:Flag"], FLAGS),
    ("ArnEquals", &["t:Arn"], ARNS),
    ("ArnLike", &["t:Arn"], ARNS),
    ("ArnNotEquals", &["t:Arn"], ARNS),
    ("ArnNotLike", &["t:Arn"], ARNS),
    ("Null", ALL_KEYS, &["true", "false", "TRUE"]),
];
const TEXT_KEYS: &[&str] = &["t:Name", "t:Other", "t:Tags", "T:NAME"];
const ALL_KEYS: &[&str] = &["t:Name", "t:Other", "t:Tags", "t:Num", "t:Date", "t:Flag", "t:Arn", "t:Missing"];
const TEXTS: &[&str] =
    &["a", "b", "A", "ab", "*", "?", "a*", "${t:Name}", "${t:Other, 'b'}", "${*}", "${t:Missing}"];
const NUMBERS: &[&str] = &["1", "10", "10.5", "-3", "2", "x"];
const FLAGS: &[&str] = &["true", "false", "True", "yes"];
const ARNS: &[&str] = &[
    "arn:aws:iam::1:role/a",
    "arn:aws:iam::1:role/b:c",
    "arn:aws:iam::*:role/*",
    "arn:aws:*:role/a",
    "arn:*",
    "arn:aws:iam::1:role/${t:Name}",
    "arn:aws:i?m::1:*",
    "a",
];
/// Texts and the second that each means.
const MOMENTS: [(&str, Option<i64>); 7] = [
    ("2026-01-01T00:00:00Z", Some(1_767_225_600)),
    ("2026-01-01T09:00:00+09:00", Some(1_767_225_600)),
    ("2026-01-01", Some(1_767_225_600)),
    ("1767225600", Some(1_767_225_600)),
    ("2026-01-01T00:00:01Z", Some(1_767_225_601)),
    ("2025-12-31T23:59:59Z", Some(1_767_225_599)),
    ("yesterday", None),
];
const DATES: &[&str] =
    &[MOMENTS[0].0, MOMENTS[1].0, MOMENTS[2].0, MOMENTS[3].0, MOMENTS[4].0, MOMENTS[5].0, MOMENTS[6].0];
const ACTIONS: [&str; 5] = ["iot:Connect", "iot:Publish", "s3:GetObject", "s3:PutObject", "sts:AssumeRole"];
const ACTION_PATTERNS: [&str; 9] =
    ["*", "iot:*", "IOT:publish", "s3:?etObject", "s3:*object", "iot:Connect", "s*", "s3:PutObject", "x:Y"];
const RESOURCES: [&str; 7] = [
    "arn:aws:s3:::b/a/1",
    "arn:aws:s3:::b/b/1",
    "arn:aws:s3:::b/*",
    "arn:aws:iot:r:1:topic/a",
    "arn:aws:iot:r:1:topic/${t:Name}",
    "arn:aws:iot:r:1:client/a",
    "",
];
const RESOURCE_PATTERNS: [&str; 12] = [
    "*",
    "arn:aws:s3:::b/*",
    "arn:aws:s3:::b/${t:Name}/*",
    "arn:aws:s3:::b/${T:name}/1",
    "arn:aws:s3:::b/${*}",
    "arn:aws:s3:::b/${t:Other, 'a'}/1",
    "arn:aws:s3:::B/*",
    "arn:aws:iot:r:1:topic/${t:Name}",
    "arn:aws:iot:*:topic/?",
    "arn:aws:iot:r:1:client/${t:Tags}",
    "*${t:Missing}*",
    "arn:aws:iot:r:1:*",
];
const GLUE: [&str; 10] =
    ["*", "?", "a", "b", "/", "arn:aws:s3:::b/", "${t:Name}", "${?}", "${t:Other, 'b'}", "${"];
const PRINCIPALS: [&str; 6] = [
    "*",
    "arn:aws:iam::1:role/a",
    "arn:aws:sts::1:assumed-role/a/s",
    "arn:aws:iam::1:root",
    "1",
    "arn:aws:iam::1:role/b",
];

fn pick<'a>(random: &mut StdRng, from: &[&'a str]) -> &'a str {
    from.choose(random).unwrap()
}

/// One, as text or as a list, or several.
fn some(random: &mut StdRng, mut one: impl FnMut(&mut StdRng) -> Value) -> Value {
    match random.random_range(0..4) {
        0 | 1 => one(random),
        count => Value::Array((1..count).map(|_| one(random)).collect()),
    }
}

fn document(random: &mut StdRng) -> Value {
    let statement = |random: &mut StdRng| statement(random);
    let mut document = json!({ "Statement": some(random, statement) });
    match random.random_range(0..6) {
        0 => {}
        1 => document["Version"] = json!("2008-10-17"),
        _ => document["Version"] = json!("2012-10-17"),
    }
    document
}

fn statement(random: &mut StdRng) -> Value {
    let mut statement = Map::new();
    let effect = if random.random_bool(0.7) { "Allow" } else { "Deny" };
    statement.insert("Effect".to_owned(), json!(effect));
    let not = |random: &mut StdRng, name: &str| {
        if random.random_bool(0.2) { format!("Not{name}") } else { name.to_owned() }
    };
    let action = some(random, |random| json!(pick(random, &ACTION_PATTERNS)));
    statement.insert(not(random, "Action"), action);
    let with_principal = random.random_bool(0.3);
    if with_principal {
        let principal = principal(random);
        statement.insert(not(random, "Principal"), principal);
    }
    if !with_principal || random.random_bool(0.7) {
        let resource = some(random, |random| {
            if random.random_bool(0.8) {
                return json!(pick(random, &RESOURCE_PATTERNS));
            }
            json!((0..random.random_range(0..5)).map(|_| pick(random, &GLUE)).collect::<String>())
        });
        statement.insert(not(random, "Resource"), resource);
    }
    if random.random_bool(0.6) {
        statement.insert("Condition".to_owned(), condition(random));
    }
    Value::Object(statement)
}

fn principal(random: &mut StdRng) -> Value {
    match random.random_range(0..5) {
        0 => json!("*"),
        1 => {
            json!({ "Service": some(random, |r| json!(pick(r, &["iot.amazonaws.com", "s3.amazonaws.com"]))) })
        }
        2 => {
            json!({ "Federated": "someone", "AWS": some(random, |random| json!(pick(random, &PRINCIPALS))) })
        }
        _ => json!({ "AWS": some(random, |random| json!(pick(random, &PRINCIPALS))) }),
    }
}

fn condition(random: &mut StdRng) -> Value {
    let mut block = Map::new();
    for _ in 0..random.random_range(1..3) {
        let (operator, keys, values) = OPERATORS.choose(random).unwrap();
        let quantifier =
            if random.random_bool(0.7) { "" } else { pick(random, &["ForAnyValue:", "ForAllValues:"]) };
        let if_exists = if *operator != "Null" && random.random_bool(0.2) { "IfExists" } else { "" };
        let mut tests = Map::new();
        for _ in 0..random.random_range(1..3) {
            let key = if random.random_bool(0.9) { pick(random, keys) } else { pick(random, ALL_KEYS) };
            let value = some(random, |random| match pick(random, values) {
                // JSON's own kinds are taken as well.
                "true" if random.random_bool(0.3) => json!(true),
                "10" if random.random_bool(0.3) => json!(10),
                text => json!(text),
            });
            tests.insert(key.to_owned(), value);
        }
        block.insert(format!("{quantifier}{operator}{if_exists}"), Value::Object(tests));
    }
    Value::Object(block)
}

fn asked(random: &mut StdRng) -> Asked {
    let mut context = BTreeMap::new();
    let single: [(&str, &[&str]); 9] = [
        ("t:name", &["a", "b", "*", "A", "a:b"]),
        ("t:other", &["a", "b", "ab"]),
        ("t:num", NUMBERS),
        ("t:date", DATES),
        ("t:flag", FLAGS),
        ("t:arn", ARNS),
        ("aws:principalarn", &["arn:aws:iam::1:role/a", "arn:aws:iam::1:role/b"]),
        ("aws:principalsessionarn", &["arn:aws:sts::1:assumed-role/a/s"]),
        ("aws:principalaccount", &["1", "2"]),
    ];
    for (key, values) in single {
        if random.random_bool(0.8) {
            context.insert(key.to_owned(), vec![pick(random, values).to_owned()]);
        }
    }
    if random.random_bool(0.2) {
        context.insert("aws:principalservicename".to_owned(), vec!["iot.amazonaws.com".to_owned()]);
    }
    let tags = (0..random.random_range(0..4)).map(|_| pick(random, &["a", "b", "A"]).to_owned()).collect();
    context.insert("t:tags".to_owned(), tags);
    Asked { action: pick(random, &ACTIONS), resource: pick(random, &RESOURCES), context }
}

/// AWS's evaluation logic, written down as its documentation tells it, with no thought of speed.
mod model {
    use super::{Asked, BTreeMap, Decision, MOMENTS, Value};

    /// Stand for the wildcards of a pattern once its variables are filled in, so that a variable brings none along.
    const MANY: char = '\u{e000}';
    const ONE: char = '\u{e001}';

    pub fn decide(documents: &[Value], asked: &Asked) -> Decision {
        let effects: Vec<&str> = statements(documents)
            .filter(|(statement, variables)| applies(statement, *variables, asked))
            .map(|(statement, _)| statement["Effect"].as_str().unwrap())
            .collect();
        if effects.contains(&"Deny") {
            Decision::ExplicitDeny
        } else if effects.contains(&"Allow") {
            Decision::Allow
        } else {
            Decision::ImplicitDeny
        }
    }

    /// Each condition with whether it holds, to count what was tried.
    pub fn conditions(documents: &[Value], asked: &Asked) -> Vec<(String, bool)> {
        let mut all = Vec::new();
        for (statement, variables) in statements(documents) {
            for (operator, tests) in statement["Condition"].as_object().into_iter().flatten() {
                for (key, values) in tests.as_object().unwrap() {
                    all.push((operator.clone(), condition(operator, key, &texts(values), variables, asked)));
                }
            }
        }
        all
    }

    /// Every statement, and whether its document is of the version that has variables.
    fn statements(documents: &[Value]) -> impl Iterator<Item = (&Value, bool)> {
        documents.iter().flat_map(|document| {
            let variables = document["Version"] == "2012-10-17";
            list(&document["Statement"]).into_iter().map(move |statement| (statement, variables))
        })
    }

    fn applies(statement: &Value, variables: bool, asked: &Asked) -> bool {
        let action = |pattern: &String| {
            let filled = fill(pattern, variables, &asked.context);
            filled.is_some_and(|it| matches(&it.to_ascii_lowercase(), &asked.action.to_ascii_lowercase()))
        };
        let resource = |pattern: &String| {
            fill(pattern, variables, &asked.context).is_some_and(|it| matches(&it, asked.resource))
        };
        let denies = statement["Effect"] == "Deny";
        element(statement, "Action", |it| texts(it).iter().any(action))
            && element(statement, "Resource", |it| texts(it).iter().any(resource))
            && match (&statement["Principal"], &statement["NotPrincipal"]) {
                (Value::Null, Value::Null) => true,
                (it, Value::Null) => principal(it, denies, asked),
                (_, it) => !principal(it, true, asked),
            }
            && statement["Condition"].as_object().into_iter().flatten().all(|(operator, tests)| {
                let mut tests = tests.as_object().unwrap().iter();
                tests.all(|(key, values)| condition(operator, key, &texts(values), variables, asked))
            })
    }

    /// An element holds if it matches, its `Not` form if it does not, and one that is missing always.
    fn element(statement: &Value, name: &str, matches: impl Fn(&Value) -> bool) -> bool {
        match (&statement[name], &statement[format!("Not{name}")]) {
            (Value::Null, Value::Null) => true,
            (it, Value::Null) => matches(it),
            (_, it) => !matches(it),
        }
    }

    /// The account as such stands for its members only where nothing is granted by that.
    fn principal(it: &Value, account_counts: bool, asked: &Asked) -> bool {
        let has = |key: &str, value: &str| asked.context.get(key).is_some_and(|it| it.as_slice() == [value]);
        let aws = |name: &String| {
            name == "*"
                || has("aws:principalarn", name)
                || has("aws:principalsessionarn", name)
                || account_counts
                    && asked.context.get("aws:principalaccount").is_some_and(|account| {
                        *name == account[0] || *name == format!("arn:aws:iam::{}:root", account[0])
                    })
        };
        it == "*"
            || texts(&it["AWS"]).iter().any(aws)
            || texts(&it["Service"]).iter().any(|name| has("aws:principalservicename", name))
    }

    fn condition(operator: &str, key: &str, values: &[String], variables: bool, asked: &Asked) -> bool {
        let none = Vec::new();
        let present = asked.context.get(&key.to_ascii_lowercase()).unwrap_or(&none);
        let (quantifier, name) = operator.split_once(':').unwrap_or(("", operator));
        let (name, if_exists) = name.strip_suffix("IfExists").map_or((name, false), |name| (name, true));
        let negated = name.contains("Not");
        if name == "Null" {
            let is = present.is_empty().to_string();
            return values.iter().any(|value| value.to_ascii_lowercase() == is);
        }
        if present.is_empty() {
            return if_exists || quantifier == "ForAllValues" || quantifier.is_empty() && negated;
        }
        // One value of the policy is enough; of a negated operator none may match.
        let fits = |given: &String| {
            let matched = values.iter().any(|value| {
                fill(value, variables, &asked.context)
                    .is_some_and(|it| compare(&name.replace("Not", ""), given, &it))
            });
            matched != negated
        };
        match quantifier {
            "ForAllValues" => present.iter().all(fits),
            "" if negated => present.iter().all(fits),
            _ => present.iter().any(fits),
        }
    }

    fn compare(name: &str, given: &str, filled: &str) -> bool {
        let plain = filled.replace(MANY, "*").replace(ONE, "?");
        let ordered = |name: &str, order: Option<std::cmp::Ordering>| match name {
            "Equals" => order.is_some_and(std::cmp::Ordering::is_eq),
            "LessThan" => order.is_some_and(std::cmp::Ordering::is_lt),
            "LessThanEquals" => order.is_some_and(std::cmp::Ordering::is_le),
            "GreaterThan" => order.is_some_and(std::cmp::Ordering::is_gt),
            "GreaterThanEquals" => order.is_some_and(std::cmp::Ordering::is_ge),
            _ => panic!("{name}"),
        };
        match name {
            "StringEquals" => given == plain,
            "StringEqualsIgnoreCase" | "Bool" => given.eq_ignore_ascii_case(&plain),
            "StringLike" => matches(filled, given),
            "ArnEquals" | "ArnLike" => {
                let (given, wanted): (Vec<_>, Vec<_>) =
                    (given.splitn(6, ':').collect(), filled.splitn(6, ':').collect());
                given.len() == 6
                    && wanted.len() == 6
                    && wanted.iter().zip(given).all(|(wanted, given)| matches(wanted, given))
            }
            _ => match (name.strip_prefix("Numeric"), name.strip_prefix("Date")) {
                (Some(order), _) => ordered(order, tenths(given).zip(tenths(&plain)).map(|(a, b)| a.cmp(&b))),
                (_, Some(order)) => ordered(order, moment(given).zip(moment(&plain)).map(|(a, b)| a.cmp(&b))),
                _ => panic!("{name}"),
            },
        }
    }

    /// A number with at most one digit behind its point.
    fn tenths(text: &str) -> Option<i64> {
        let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
        Some(whole.parse::<i64>().ok()? * 10 + tenth.parse::<i64>().ok()?)
    }

    /// A whole number is a moment too: so many seconds after 1970.
    fn moment(text: &str) -> Option<i64> {
        text.parse().ok().or_else(|| MOMENTS.iter().find(|(known, _)| *known == text)?.1)
    }

    /// The pattern with its variables filled in and its own wildcards marked; None if one has no value.
    fn fill(pattern: &str, variables: bool, context: &BTreeMap<String, Vec<String>>) -> Option<String> {
        let marked = |text: &str| text.replace('*', &MANY.to_string()).replace('?', &ONE.to_string());
        let Some((before, rest)) = pattern.split_once("${").filter(|_| variables) else {
            return Some(marked(pattern));
        };
        let Some((inside, after)) = rest.split_once('}') else { return Some(marked(pattern)) };
        let value = match inside {
            "*" | "?" | "$" => inside.to_owned(),
            _ => {
                let (name, default) = inside.split_once(", ").map_or((inside, None), |(n, d)| (n, Some(d)));
                match context.get(&name.to_ascii_lowercase()).map(Vec::as_slice) {
                    Some([one]) => one.clone(),
                    _ => default?.trim_matches('\'').to_owned(),
                }
            }
        };
        Some(marked(before) + &value + &fill(after, variables, context)?)
    }

    /// Tries everything that a wildcard may stand for.
    fn matches(filled: &str, text: &str) -> bool {
        let mut rest = text.chars();
        let Some(first) = filled.chars().next() else { return text.is_empty() };
        let after = &filled[first.len_utf8()..];
        match (first, rest.next()) {
            (MANY, None) => matches(after, text),
            (MANY, Some(_)) => matches(after, text) || matches(filled, rest.as_str()),
            (_, None) => false,
            (ONE, Some(_)) => matches(after, rest.as_str()),
            (wanted, Some(given)) => wanted == given && matches(after, rest.as_str()),
        }
    }

    fn list(value: &Value) -> Vec<&Value> {
        match value {
            Value::Null => Vec::new(),
            Value::Array(all) => all.iter().collect(),
            one => vec![one],
        }
    }

    fn texts(value: &Value) -> Vec<String> {
        list(value).into_iter().map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned)).collect()
    }
}
