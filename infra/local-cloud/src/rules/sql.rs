//! The rules' SQL: SELECT fields FROM 'filter' WHERE condition, as a parser and an evaluator without I/O.

mod eval;
mod parse;

use bytes::Bytes;
use serde_json::{Map, Value};

pub use eval::Scope;

/// A statement that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Sql {
    items: Vec<Item>,
    /// The topic filter.
    pub from: String,
    condition: Option<Expr>,
}

/// The text is no statement that is known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SqlError(pub String);

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Everything,
    Field { value: Expr, name: String },
}

#[derive(Debug, Clone, PartialEq)]
enum Expr {
    Literal(Value),
    /// `*` inside a function or a template: the whole payload.
    Payload,
    Field(String),
    Inside(Box<Expr>, String),
    Call(String, Vec<Expr>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Binary(Box<Expr>, Op, Box<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Or,
    And,
    Equal,
    Differs,
    Less,
    AtMost,
    More,
    AtLeast,
    Plus,
    Minus,
    Times,
    Over,
    Modulo,
}

impl Sql {
    pub fn parse(text: &str) -> Result<Self, SqlError> {
        parse::statement(text)
    }

    /// What the statement makes of a message; None if its condition does not hold.
    pub fn apply(&self, scope: &Scope<'_>) -> Option<Bytes> {
        if let Some(condition) = &self.condition
            && scope.value(condition) != Some(Value::Bool(true))
        {
            return None;
        }
        if self.items == [Item::Everything] && !matches!(scope.json(), Some(Value::Object(_))) {
            return Some(scope.payload.clone());
        }
        let mut out = Map::new();
        for item in &self.items {
            match item {
                Item::Everything => {
                    if let Some(Value::Object(payload)) = scope.json() {
                        out.extend(payload.clone());
                    }
                }
                Item::Field { value, name } => {
                    // What is undefined leaves no field behind.
                    if let Some(value) = scope.value(value) {
                        out.insert(name.clone(), value);
                    }
                }
            }
        }
        Some(Value::Object(out).to_string().into())
    }
}

/// Replaces each `${expression}` of a template by its value.
pub fn substitute(template: &str, scope: &Scope<'_>) -> Result<String, SqlError> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, after) = after
            .split_once('}')
            .ok_or_else(|| SqlError("a substitution template is not closed".to_owned()))?;
        out.push_str(before);
        match scope.value(&parse::expression(inside)?) {
            Some(Value::String(text)) => out.push_str(&text),
            Some(value) => out.push_str(&value.to_string()),
            None => out.push_str("Undefined"),
        }
        rest = after;
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use serde_json::json;

    fn apply(sql: &str, topic: &str, payload: &Value) -> Option<Value> {
        let payload = Bytes::from(payload.to_string());
        let scope = Scope::new(
            topic,
            &payload,
            Some("box-1"),
            "cert",
            DateTime::from_timestamp_millis(5).unwrap(),
            "1",
        );
        Sql::parse(sql).unwrap().apply(&scope).map(|out| serde_json::from_slice(&out).unwrap())
    }

    #[test]
    fn everything_and_levels_of_the_topic_under_names() {
        let out = apply(
            "SELECT *, topic(3) AS thing, topic(6) AS shadow FROM '$aws/things/+/shadow/name/+/update/documents'",
            "$aws/things/t-1/shadow/name/lan/update/documents",
            &json!({"current": {"version": 1}}),
        );

        assert_eq!(out, Some(json!({"current": {"version": 1}, "thing": "t-1", "shadow": "lan"})));
    }

    #[test]
    fn named_fields_functions_and_arithmetic() {
        let out = apply(
            "select a.b, a.b * 2 + 1 as c, timestamp() as t, clientid() as id, upper('x') as u, missing as m, \
             list[1] as second from 'x'",
            "x",
            &json!({"a": {"b": 2}, "list": [7, 8]}),
        );

        assert_eq!(out, Some(json!({"b": 2, "c": 5, "t": 5, "id": "box-1", "u": "X", "second": 8})));
    }

    #[test]
    fn conditions_choose() {
        let payload = json!({"n": 5, "s": "on", "flag": true, "text": "5.5", "yes": "True", "no": "FALSE"});
        for (condition, holds) in [
            ("n > 4", true),
            ("n >= 6", false),
            ("n = 5 AND s = 'on'", true),
            ("n < 5 OR s <> 'off'", true),
            ("NOT (n = 5)", false),
            ("flag", true),
            ("flag = true and not isUndefined(n)", true),
            ("missing = 1", false),
            ("missing <> 1", false),
            ("s = 5", false),
            ("s <> 5", true),
            ("text > 4 AND text <= '5.5'", true),
            ("s > 4", false),
            ("yes AND NOT (no)", true),
            // What is undefined makes all of it undefined.
            ("flag OR missing", false),
            ("flag OR s", false),
            ("isNull(missing)", false),
            ("n / 2 = 2", true),
            ("n / 2.5 = 2", true),
            ("text / 2 = 2.75", true),
            ("n / 0 = 1", false),
            ("clientid() = 'box-1'", true),
            ("startswith(s, 'o')", true),
            ("n - 1 = 4.0", true),
        ] {
            let out = apply(&format!("SELECT * FROM 'x' WHERE {condition}"), "x", &payload);
            assert_eq!(out.is_some(), holds, "{condition}");
        }
    }

    #[test]
    fn functions_convert_as_their_tables_say() {
        let payload = Bytes::from_static(br#"{"list":[1,2],"null":null,"s":"abc"}"#);
        let scope = Scope::new("x", &payload, None, "", DateTime::UNIX_EPOCH, "1");
        for (call, value) in [
            ("clientid()", "n/a"),
            ("concat(list, 3)", "[1,2,3]"),
            ("concat('a', 1)", "a1"),
            ("concat()", "Undefined"),
            ("get(s, 1)", "b"),
            ("get(list, '1')", "2"),
            ("startswith(null, 'n')", "Undefined"),
            ("length(s)", "3"),
        ] {
            assert_eq!(substitute(&format!("${{{call}}}"), &scope).unwrap(), value, "{call}");
        }
    }

    #[test]
    fn what_is_too_long_or_too_deep_to_be_worked_out_is_refused() {
        let condition = |text: String| Sql::parse(&format!("SELECT * FROM 'x' WHERE {text}"));
        let long = |part: &str| part.repeat(100_000);
        for text in [
            format!("1{}", long("+1")),
            format!("a{}", long(".b")),
            format!("a{}", long("[0]")),
            format!("a{}", long(" AND a")),
            format!("{}a", long("NOT ")),
            format!("{}1", long("-")),
            format!("{}1", long("(")),
            format!("{}1", long("f(")),
        ] {
            assert!(condition(text).is_err());
        }
        assert!(condition(format!("1{} = 51", "+1".repeat(50))).is_ok());
    }

    #[test]
    fn what_is_no_statement_is_refused_in_words() {
        for text in [
            "",
            "SELECT",
            "SELECT * FROM x",
            "SELECT * FROM 'x' WHERE",
            "SELECT a b FROM 'x'",
            "SELECT * FROM 'a/#/b'",
            "SELECT f( FROM 'x'",
            "SELECT * FROM 'x' WHERE a = 'b",
        ] {
            assert!(Sql::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn templates_are_filled_in() {
        let payload = Bytes::from_static(br#"{"a":1}"#);
        let scope = Scope::new("x/y", &payload, None, "", DateTime::UNIX_EPOCH, "1");
        assert_eq!(substitute("seen/${topic(2)}/${a}", &scope).unwrap(), "seen/y/1");
        assert!(substitute("${", &scope).is_err());
    }

    #[test]
    fn a_payload_that_is_no_json_passes_through_a_star() {
        let payload = Bytes::from_static(b"\xff\xfe");
        let scope = Scope::new("x", &payload, None, "", DateTime::UNIX_EPOCH, "1");
        assert_eq!(Sql::parse("SELECT * FROM 'x'").unwrap().apply(&scope).unwrap(), payload);
        assert_eq!(
            Sql::parse("SELECT topic() AS t FROM 'x'").unwrap().apply(&scope).unwrap(),
            r#"{"t":"x"}"#
        );
    }

    #[test]
    fn whatever_is_put_together_from_its_words_is_parsed_or_refused_and_never_panics() {
        use rand::rngs::StdRng;
        use rand::{SeedableRng as _, seq::IndexedRandom as _};
        let words = [
            "SELECT",
            "*",
            ",",
            "FROM",
            "'x'",
            "WHERE",
            "a",
            ".b",
            "(",
            ")",
            "[",
            "]",
            "1",
            "2.5",
            "-",
            "NOT",
            "AND",
            "=",
            "<>",
            "+",
            "%",
            "0",
            "topic(",
            "get(",
            "'",
            "AS",
            "é",
            "9999999999999999999999",
        ];
        let mut random = StdRng::seed_from_u64(1);
        let payload = Bytes::from_static(br#"{"a":{"b":[1]},"n":0}"#);
        let scope = Scope::new("x", &payload, None, "", DateTime::UNIX_EPOCH, "1");
        let mut parsed = 0;
        for round in 0..20_000 {
            let middle: Vec<_> = (0..round % 9).map(|_| *words.choose(&mut random).unwrap()).collect();
            for text in [middle.join(" "), format!("SELECT * FROM 'x' WHERE {}", middle.join(" "))] {
                if let Ok(sql) = Sql::parse(&text) {
                    parsed += 1;
                    sql.apply(&scope);
                }
            }
        }
        assert!(parsed > 100, "some of it is SQL: {parsed}");
    }
}
