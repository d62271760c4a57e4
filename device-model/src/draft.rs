//! Reads what was typed out of any JSON there is: a value of another kind than its field takes, and
//! a field that nobody knows, are faults at that field and never an end of the reading.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::fault::{FaultCode, Faults};

/// The fields of an object, each to be taken once. `null` is as good as not given.
#[derive(Debug, Default)]
pub struct Fields {
    fields: Map<String, Value>,
    faults: Faults,
}

impl Fields {
    /// What is no object has no fields, and one fault of its own.
    pub fn of(value: Value) -> Self {
        let mut faults = Faults::default();
        let fields = if let Value::Object(fields) = value {
            fields
        } else {
            faults.add("", FaultCode::NotAnObject);
            Map::new()
        };
        Self { fields, faults }
    }

    pub fn text(&mut self, name: &str) -> Option<String> {
        let value = self.given(name)?;
        self.faults.take(name, text(value))
    }

    pub fn whole_number(&mut self, name: &str) -> Option<i64> {
        let value = self.given(name)?;
        self.faults.take(name, value.as_i64().ok_or(FaultCode::NotANumber))
    }

    pub fn truth(&mut self, name: &str) -> Option<bool> {
        let value = self.given(name)?;
        self.faults.take(name, value.as_bool().ok_or(FaultCode::NotABoolean))
    }

    pub fn moment(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        self.faults.take(name, text.parse().map_err(|_| FaultCode::NotATimestamp))
    }

    /// Texts that could not be read stay in their places, empty, so that the others keep theirs.
    pub fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        self.list(name, |value, faults| faults.take("", text(value)).unwrap_or_default())
    }

    /// A list of objects, each read by `read`, which hands back what was wrong with it.
    pub fn objects<T>(&mut self, name: &str, read: impl Fn(&mut Fields) -> T) -> Option<Vec<T>> {
        self.list(name, |value, faults| {
            let mut fields = Self::of(value);
            let item = read(&mut fields);
            faults.extend(fields.finish());
            item
        })
    }

    /// What stands in a field, to be read by another draft.
    pub fn given(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    pub fn fault(&mut self, name: &str, code: FaultCode) {
        self.faults.add(name, code);
    }

    /// What was wrong, with a fault for each field that nobody took.
    pub fn finish(self) -> Faults {
        let mut faults = self.faults;
        for name in self.fields.keys() {
            faults.add(name, FaultCode::UnknownField);
        }
        faults
    }

    fn list<T>(&mut self, name: &str, read: impl Fn(Value, &mut Faults) -> T) -> Option<Vec<T>> {
        let value = self.given(name)?;
        let Value::Array(values) = value else {
            self.faults.add(name, FaultCode::NotAList);
            return None;
        };
        let mut items = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            let mut faults = Faults::default();
            items.push(read(value, &mut faults));
            self.faults.extend(faults.under(&format!("{name}[{index}]")));
        }
        Some(items)
    }
}

/// True if people can have written this for people: control characters come from somewhere else, and
/// some of them no database takes.
pub fn is_prose(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

fn text(value: Value) -> Result<String, FaultCode> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(FaultCode::NotText),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_misfit_is_a_fault_at_its_own_field() {
        let mut fields = Fields::of(
            json!({"text": 1, "number": "x", "half": 1.5, "truth": "yes", "moment": "now",
            "texts": ["a", 2], "objects": [{"a": "b", "more": 1}, 3], "list": {}, "null": null, "strange": 0}),
        );

        fields.text("text");
        fields.whole_number("number");
        fields.whole_number("half");
        fields.truth("truth");
        fields.moment("moment");
        assert_eq!(fields.texts("texts").unwrap(), ["a", ""]);
        assert_eq!(fields.objects("objects", |item| item.text("a")).unwrap(), [Some("b".to_owned()), None]);
        fields.texts("list");
        assert_eq!(fields.text("null"), None);

        let faults = fields.finish();
        let found: Vec<_> = faults.iter().map(|fault| (fault.field.as_str(), fault.code.name())).collect();
        assert_eq!(
            found,
            [
                ("text", "NOT_TEXT"),
                ("number", "NOT_A_NUMBER"),
                ("half", "NOT_A_NUMBER"),
                ("truth", "NOT_A_BOOLEAN"),
                ("moment", "NOT_A_TIMESTAMP"),
                ("texts[1]", "NOT_TEXT"),
                ("objects[0].more", "UNKNOWN_FIELD"),
                ("objects[1]", "NOT_AN_OBJECT"),
                ("list", "NOT_A_LIST"),
                ("strange", "UNKNOWN_FIELD"),
            ]
        );
    }

    #[test]
    fn prose_has_lines_and_no_other_control_characters() {
        assert!(is_prose("ルーター交換\r\n\t予備機へ"));
        for text in ["a\0b", "\u{1b}[2J", "\u{85}", "\u{7f}"] {
            assert!(!is_prose(text), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_object_has_one_fault_above_all_fields() {
        let faults = Fields::of(json!([1])).finish().under("lan");

        assert_eq!(faults.to_string(), "lan must be an object");
    }
}
