//! The value of an expression for one message. What is undefined is None, as in AWS's SQL, and undefined is contagious.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{Expr, Op};

/// One message, as a statement sees it.
pub struct Scope<'a> {
    topic: &'a str,
    pub payload: &'a Bytes,
    json: Option<Value>,
    client_id: Option<&'a str>,
    principal: &'a str,
    at: DateTime<Utc>,
    account: &'a str,
}

impl<'a> Scope<'a> {
    pub fn new(
        topic: &'a str,
        payload: &'a Bytes,
        client_id: Option<&'a str>,
        principal: &'a str,
        at: DateTime<Utc>,
        account: &'a str,
    ) -> Self {
        Self { topic, payload, json: serde_json::from_slice(payload).ok(), client_id, principal, at, account }
    }

    pub fn json(&self) -> Option<&Value> {
        self.json.as_ref()
    }

    pub(super) fn value(&self, expr: &Expr) -> Option<Value> {
        match expr {
            Expr::Literal(value) => Some(value.clone()),
            Expr::Payload => self.json.clone(),
            Expr::Field(name) => self.json.as_ref()?.get(name).cloned(),
            Expr::Inside(outer, name) => match self.value(outer)? {
                Value::Object(map) => map.get(name).cloned(),
                Value::Array(items) => items.get(name.parse::<usize>().ok()?).cloned(),
                _ => None,
            },
            Expr::Call(name, arguments) => self.call(name, arguments),
            Expr::Not(inner) => Some(json!(!truth(&self.value(inner)?)?)),
            Expr::Negative(inner) => number(-decimal(&self.value(inner)?)?),
            Expr::Binary(left, op, right) => binary(&self.value(left)?, *op, &self.value(right)?),
        }
    }

    fn call(&self, name: &str, arguments: &[Expr]) -> Option<Value> {
        let argument = |at: usize| arguments.get(at).and_then(|expr| self.value(expr));
        let word = |at: usize| argument(at).filter(|value| !value.is_null()).map(|value| text(&value));
        match name {
            "topic" if arguments.is_empty() => Some(json!(self.topic)),
            "topic" => {
                let level = usize::try_from(argument(0)?.as_u64()?).ok()?.checked_sub(1)?;
                Some(json!(self.topic.split('/').nth(level)?))
            }
            "timestamp" => Some(json!(self.at.timestamp_millis())),
            "clientid" => Some(json!(self.client_id.unwrap_or("n/a"))),
            "principal" => Some(json!(self.principal)),
            "accountid" => Some(json!(self.account)),
            "traceid" | "newuuid" => Some(json!(crate::hub::uuid())),
            "lower" => Some(json!(word(0)?.to_lowercase())),
            "upper" => Some(json!(word(0)?.to_uppercase())),
            "length" => Some(json!(word(0)?.chars().count())),
            "concat" if arguments.is_empty() => None,
            "concat" => Some(concat((0..arguments.len()).map(argument).collect::<Option<_>>()?)),
            "startswith" => Some(json!(word(0)?.starts_with(&word(1)?))),
            "endswith" => Some(json!(word(0)?.ends_with(&word(1)?))),
            "isundefined" => Some(json!(argument(0).is_none())),
            "isnull" => Some(json!(argument(0).is_some_and(|value| value.is_null()))),
            "get" => match (argument(0)?, argument(1)?) {
                (Value::Object(map), Value::String(key)) => map.get(&key).cloned(),
                (Value::Array(items), at) => items.get(usize::try_from(whole(&at)?).ok()?).cloned(),
                (Value::String(text), at) => {
                    text.chars().nth(usize::try_from(whole(&at)?).ok()?).map(|found| json!(found))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// As AWS's tables of operators have it: strings that say a number or a truth count as one, anything else is undefined.
fn binary(left: &Value, op: Op, right: &Value) -> Option<Value> {
    match op {
        Op::And => Some(json!(truth(left)? & truth(right)?)),
        Op::Or => Some(json!(truth(left)? | truth(right)?)),
        Op::Equal => Some(json!(equal(left, right))),
        Op::Differs => Some(json!(!equal(left, right))),
        Op::Less => Some(json!(decimal(left)? < decimal(right)?)),
        Op::AtMost => Some(json!(decimal(left)? <= decimal(right)?)),
        Op::More => Some(json!(decimal(left)? > decimal(right)?)),
        Op::AtLeast => Some(json!(decimal(left)? >= decimal(right)?)),
        Op::Plus if left.is_string() || right.is_string() => Some(json!(text(left) + &text(right))),
        Op::Plus => arithmetic(left, right, i64::checked_add, |left, right| left + right),
        Op::Minus => arithmetic(left, right, i64::checked_sub, |left, right| left - right),
        Op::Times => arithmetic(left, right, i64::checked_mul, |left, right| left * right),
        Op::Over => arithmetic(left, right, i64::checked_div, |left, right| left / right),
        Op::Modulo => arithmetic(left, right, i64::checked_rem, |left, right| left % right),
    }
}

/// Two whole numbers make a whole one.
fn arithmetic(
    left: &Value,
    right: &Value,
    of_whole: fn(i64, i64) -> Option<i64>,
    of_any: fn(f64, f64) -> f64,
) -> Option<Value> {
    if left.is_number()
        && right.is_number()
        && let Some(result) = whole(left).zip(whole(right)).and_then(|(left, right)| of_whole(left, right))
    {
        return Some(json!(result));
    }
    number(of_any(decimal(left)?, decimal(right)?))
}

fn concat(values: Vec<Value>) -> Value {
    if values.iter().any(Value::is_array) {
        let items = values.into_iter().flat_map(|value| match value {
            Value::Array(items) => items,
            one => vec![one],
        });
        return items.collect();
    }
    json!(values.iter().map(text).collect::<String>())
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn decimal(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
        other => other.as_f64(),
    }
}

/// `10.0` is whole as well.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| number(decimal(value)?)?.as_i64())
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        _ => left == right,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whole numbers are written without a fraction.
#[expect(clippy::cast_possible_truncation, reason = "the bounds are checked first")]
fn number(value: f64) -> Option<Value> {
    if !value.is_finite() {
        return None;
    }
    let whole = value.fract() == 0.0 && value.abs() < 9.0e15;
    Some(if whole { json!(value as i64) } else { json!(value) })
}
