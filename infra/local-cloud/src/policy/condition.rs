//! The Condition block of a statement.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{Context, document::PolicyError, pattern::Pattern};

/// One operator applied to one key. A block holds when all of its conditions do.
#[derive(Debug, Clone)]
pub struct Condition {
    operator: Operator,
    quantifier: Quantifier,
    if_exists: bool,
    key: String,
    values: Vec<Pattern>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    One,
    Any,
    All,
}

#[derive(Debug, Clone, Copy)]
struct Operator {
    compare: Compare,
    negated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    Null,
    Bool,
    String,
    StringIgnoreCase,
    StringLike,
    Arn,
    Number(Order),
    Date(Order),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equals,
    Less,
    LessOrEquals,
    Greater,
    GreaterOrEquals,
}

/// Reads `{"StringLike": {"s3:prefix": ["rx/*"]}, ...}`.
pub fn parse(block: &Map<String, Value>, variables: bool) -> Result<Vec<Condition>, PolicyError> {
    let mut conditions = Vec::new();
    for (name, keys) in block {
        let (quantifier, rest) = if let Some(rest) = name.strip_prefix("ForAnyValue:") {
            (Quantifier::Any, rest)
        } else if let Some(rest) = name.strip_prefix("ForAllValues:") {
            (Quantifier::All, rest)
        } else {
            (Quantifier::One, name.as_str())
        };
        let (rest, if_exists) = match rest.strip_suffix("IfExists") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let operator = operator(rest)
            .filter(|operator| !(if_exists && operator.compare == Compare::Null))
            .ok_or_else(|| PolicyError(format!("unknown condition operator {name}")))?;
        let keys = keys.as_object().ok_or_else(|| PolicyError(format!("{name} must hold an object")))?;
        for (key, values) in keys {
            let values = texts(values)
                .filter(|values| !values.is_empty())
                .ok_or_else(|| PolicyError(format!("{name} of {key} must hold text")))?;
            let values = values.iter().map(|value| Pattern::parse(value, variables)).collect();
            conditions.push(Condition { operator, quantifier, if_exists, key: key.clone(), values });
        }
    }
    Ok(conditions)
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(values) => {
            values.iter().map(|value| texts(value).and_then(|mut one| one.pop())).collect()
        }
        Value::String(text) => Some(vec![text.clone()]),
        Value::Bool(value) => Some(vec![value.to_string()]),
        Value::Number(value) => Some(vec![value.to_string()]),
        _ => None,
    }
}

fn operator(name: &str) -> Option<Operator> {
    use Order::{Equals, Greater, GreaterOrEquals, Less, LessOrEquals};
    let order = |name: &str| match name {
        "Equals" => Some((Equals, false)),
        "NotEquals" => Some((Equals, true)),
        "LessThan" => Some((Less, false)),
        "LessThanEquals" => Some((LessOrEquals, false)),
        "GreaterThan" => Some((Greater, false)),
        "GreaterThanEquals" => Some((GreaterOrEquals, false)),
        _ => None,
    };
    let (compare, negated) = match name {
        "Null" => (Compare::Null, false),
        "Bool" => (Compare::Bool, false),
        "StringEquals" => (Compare::String, false),
        "StringNotEquals" => (Compare::String, true),
        "StringEqualsIgnoreCase" => (Compare::StringIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (Compare::StringIgnoreCase, true),
        "StringLike" => (Compare::StringLike, false),
        "StringNotLike" => (Compare::StringLike, true),
        "ArnEquals" | "ArnLike" => (Compare::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Compare::Arn, true),
        _ => {
            if let Some(rest) = name.strip_prefix("Numeric") {
                let (order, negated) = order(rest)?;
                (Compare::Number(order), negated)
            } else {
                let (order, negated) = order(name.strip_prefix("Date")?)?;
                (Compare::Date(order), negated)
            }
        }
    };
    Some(Operator { compare, negated })
}

impl Condition {
    pub fn holds(&self, context: &Context) -> bool {
        let present = context.all(&self.key);
        if self.operator.compare == Compare::Null {
            let missing = if present.is_empty() { "true" } else { "false" };
            return self
                .values
                .iter()
                .any(|v| v.text(context).is_some_and(|v| v.eq_ignore_ascii_case(missing)));
        }
        if present.is_empty() {
            return match self.quantifier {
                _ if self.if_exists => true,
                Quantifier::All => true,
                Quantifier::Any => false,
                Quantifier::One => self.operator.negated,
            };
        }
        // A negated operator asks that no value of the policy matches.
        let satisfied = |value: &String| {
            self.values.iter().any(|pattern| self.compare(pattern, value, context)) != self.operator.negated
        };
        match self.quantifier {
            Quantifier::All => present.iter().all(satisfied),
            Quantifier::One if self.operator.negated => present.iter().all(satisfied),
            Quantifier::One | Quantifier::Any => present.iter().any(satisfied),
        }
    }

    fn compare(&self, pattern: &Pattern, value: &str, context: &Context) -> bool {
        let text = || pattern.text(context);
        match self.operator.compare {
            Compare::Null => false,
            Compare::Bool | Compare::StringIgnoreCase => {
                text().is_some_and(|t| t.eq_ignore_ascii_case(value))
            }
            Compare::String => text().is_some_and(|text| text == value),
            Compare::StringLike => pattern.matches(value, context),
            Compare::Arn => pattern.matches_arn(value, context),
            Compare::Number(order) => {
                let numbers = (value.parse::<f64>(), text().map(|text| text.parse::<f64>()));
                matches!(numbers, (Ok(left), Some(Ok(right))) if order.of(&left, &right))
            }
            Compare::Date(order) => {
                let dates = (date(value), text().and_then(|text| date(&text)));
                matches!(dates, (Some(left), Some(right)) if order.of(&left, &right))
            }
        }
    }
}

impl Order {
    fn of<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equals => left == right,
            Self::Less => left < right,
            Self::LessOrEquals => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEquals => left >= right,
        }
    }
}

/// RFC 3339, a date alone, or seconds since 1970, as AWS takes them.
fn date(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Some(date.to_utc());
    }
    if let Ok(day) = text.parse::<chrono::NaiveDate>() {
        return Some(day.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    DateTime::from_timestamp(text.parse().ok()?, 0)
}
