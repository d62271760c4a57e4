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
            Expr::Not(inner) => Some(json!(!self.value(inner)?.as_bool()?)),
            Expr::Negative(inner) => number(-self.value(inner)?.as_f64()?),
            Expr::Binary(left, op, right) => self.binary(left, *op, right),
        }
    }

    fn binary(&self, left: &Expr, op: Op, right: &Expr) -> Option<Value> {
        // AND and OR are decided by one side where one side suffices.
        let left = self.value(left);
        match (op, left.as_ref().and_then(Value::as_bool)) {
            (Op::And, Some(false)) => return Some(json!(false)),
            (Op::Or, Some(true)) => return Some(json!(true)),
            _ => {}
        }
        let right = self.value(right);
        if let Op::And | Op::Or = op {
            let right = right?.as_bool()?;
            let left = left?.as_bool()?;
            return Some(json!(if op == Op::And { left && right } else { left || right }));
        }
        let (left, right) = (left?, right?);
        match op {
            Op::Equal => Some(json!(equal(&left, &right))),
            Op::Differs => Some(json!(!equal(&left, &right))),
            Op::Plus if left.is_string() || right.is_string() => Some(json!(text(&left) + &text(&right))),
            Op::Less | Op::AtMost | Op::More | Op::AtLeast => {
                let order = left.as_f64()?.partial_cmp(&right.as_f64()?)?;
                Some(json!(match op {
                    Op::Less => order.is_lt(),
                    Op::AtMost => order.is_le(),
                    Op::More => order.is_gt(),
                    _ => order.is_ge(),
                }))
            }
            _ => {
                let (left, right) = (left.as_f64()?, right.as_f64()?);
                number(match op {
                    Op::Plus => left + right,
                    Op::Minus => left - right,
                    Op::Times => left * right,
                    Op::Over => left / right,
                    _ => left % right,
                })
            }
        }
    }

    fn call(&self, name: &str, arguments: &[Expr]) -> Option<Value> {
        let argument = |at: usize| arguments.get(at).and_then(|expr| self.value(expr));
        let word = |at: usize| argument(at).map(|value| text(&value));
        match name {
            "topic" if arguments.is_empty() => Some(json!(self.topic)),
            "topic" => {
                let level = usize::try_from(argument(0)?.as_u64()?).ok()?.checked_sub(1)?;
                Some(json!(self.topic.split('/').nth(level)?))
            }
            "timestamp" => Some(json!(self.at.timestamp_millis())),
            "clientid" => Some(json!(self.client_id.unwrap_or("N/A"))),
            "principal" => Some(json!(self.principal)),
            "accountid" => Some(json!(self.account)),
            "traceid" | "newuuid" => Some(json!(crate::hub::uuid())),
            "lower" => Some(json!(word(0)?.to_lowercase())),
            "upper" => Some(json!(word(0)?.to_uppercase())),
            "length" => Some(json!(word(0)?.chars().count())),
            "concat" => Some(json!((0..arguments.len()).map(word).collect::<Option<String>>()?)),
            "startswith" => Some(json!(word(0)?.starts_with(&word(1)?))),
            "endswith" => Some(json!(word(0)?.ends_with(&word(1)?))),
            "isundefined" => Some(json!(argument(0).is_none())),
            "isnull" => Some(json!(argument(0)?.is_null())),
            "get" => match (argument(0)?, argument(1)?) {
                (Value::Object(map), Value::String(key)) => map.get(&key).cloned(),
                (Value::Array(items), index) => items.get(usize::try_from(index.as_u64()?).ok()?).cloned(),
                _ => None,
            },
            _ => None,
        }
    }
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
