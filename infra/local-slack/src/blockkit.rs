//! Block Kit as Slack checks it: what the real one would refuse is refused here too, before anybody
//! meets it in production. One rule is stricter than Slack: no input may ask for a password, since
//! Slack has no masked field and keeps what is typed.

mod block;
mod element;
mod input;
mod object;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use self::object::Offer;
use crate::elements;
use crate::state::Refusal;

const VIEW_BYTES: usize = 250_000;
const VIEW_BLOCKS: usize = 100;
const MESSAGE_BLOCKS: usize = 50;

/// Where blocks are shown: some are for messages only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    Message,
    Modal,
    Home,
}

/// What is wrong, one sentence a fault, with the place in Slack's notation.
pub(crate) struct Check<'a> {
    pub faults: Vec<String>,
    pub surface: Surface,
    /// Whether a file was uploaded and may be shown.
    pub has_file: &'a dyn Fn(&str) -> bool,
}

/// Checks a view that must be of the kind (`modal` or `home`), and fills in ids left out.
pub fn view(
    given: &Value,
    kind: &str,
    has_file: &dyn Fn(&str) -> bool,
) -> Result<Map<String, Value>, Refusal> {
    let surface = if kind == "home" { Surface::Home } else { Surface::Modal };
    let mut check = Check { faults: Vec::new(), surface, has_file };
    check.view(given, kind);
    if given.to_string().len() > VIEW_BYTES {
        return Err(Refusal::new("view_too_large"));
    }
    let Some(view) = given.as_object().filter(|_| check.faults.is_empty()) else {
        return Err(Refusal::with("invalid_arguments", check.faults));
    };
    let mut view = view.clone();
    if let Some(blocks) = view.get_mut("blocks").and_then(Value::as_array_mut) {
        elements::fill_ids(blocks);
    }
    Ok(view)
}

/// Checks the blocks of a message, and fills in ids left out.
pub fn message(blocks: &Value, has_file: &dyn Fn(&str) -> bool) -> Result<Value, Refusal> {
    let mut check = Check { faults: Vec::new(), surface: Surface::Message, has_file };
    check.blocks(blocks, "/blocks", MESSAGE_BLOCKS);
    if !check.faults.is_empty() {
        return Err(Refusal::with("invalid_blocks", check.faults));
    }
    let mut blocks = blocks.clone();
    if let Some(blocks) = blocks.as_array_mut() {
        elements::fill_ids(blocks);
    }
    Ok(blocks)
}

/// What is wrong with the options an app suggests.
pub fn suggested_options(answer: &Value) -> Vec<String> {
    let mut check = Check { faults: Vec::new(), surface: Surface::Modal, has_file: &|_| false };
    let Some(answer) = check.object(answer, "", &["options", "option_groups"], &[]) else {
        return check.faults;
    };
    match (answer.get("options"), answer.get("option_groups")) {
        (Some(options), None) => check.options(options, "/options", 0, 100, Offer::Menu),
        (None, Some(groups)) => check.option_groups(groups, "/option_groups"),
        _ => check.fault("", "must define either `options` or `option_groups`"),
    }
    check.faults
}

impl Check<'_> {
    pub fn fault(&mut self, path: &str, text: &str) {
        self.faults.push(format!("[ERROR] {text} [json-pointer:{path}]"));
    }

    /// An object with these fields and no others.
    pub fn object<'v>(
        &mut self,
        value: &'v Value,
        path: &str,
        required: &[&str],
        optional: &[&str],
    ) -> Option<&'v Map<String, Value>> {
        // With nothing else allowed, `required` is a list to choose from.
        let all_needed = !(optional.is_empty() && path.is_empty());
        let Some(object) = value.as_object() else {
            self.fault(path, "must be an object");
            return None;
        };
        for key in object.keys() {
            if !required.contains(&key.as_str()) && !optional.contains(&key.as_str()) {
                self.fault(path, &format!("invalid additional property: {key}"));
            }
        }
        for key in required.iter().filter(|_| all_needed) {
            if object.get(*key).is_none_or(Value::is_null) {
                self.fault(path, &format!("missing required field: {key}"));
            }
        }
        Some(object)
    }

    /// A string field of at most so many characters, when it is there.
    pub fn string(&mut self, object: &Map<String, Value>, key: &str, path: &str, most: usize) {
        match object.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.chars().count() <= most => {}
            Some(Value::String(_)) => {
                self.fault(&format!("{path}/{key}"), &format!("must be less than {} characters", most + 1));
            }
            Some(_) => self.fault(&format!("{path}/{key}"), "must be a string"),
        }
    }

    /// A name that an app gives; an empty one is none.
    pub fn id(&mut self, object: &Map<String, Value>, key: &str, path: &str) {
        if object.get(key).and_then(Value::as_str) == Some("") {
            self.fault(&format!("{path}/{key}"), "must be more than 0 characters");
        }
        self.string(object, key, path, 255);
    }

    pub fn flags(&mut self, object: &Map<String, Value>, keys: &[&str], path: &str) {
        for key in keys {
            if object.get(*key).is_some_and(|flag| !flag.is_boolean() && !flag.is_null()) {
                self.fault(&format!("{path}/{key}"), "must be a boolean");
            }
        }
    }

    fn view(&mut self, given: &Value, kind: &str) {
        let (required, optional): (&[&str], &[&str]) = match self.surface {
            Surface::Home => (&["type", "blocks"], &["private_metadata", "callback_id", "external_id"]),
            _ => (
                &["type", "title", "blocks"],
                &[
                    "close",
                    "submit",
                    "private_metadata",
                    "callback_id",
                    "clear_on_close",
                    "notify_on_close",
                    "external_id",
                ],
            ),
        };
        let Some(view) = self.object(given, "/view", required, optional) else { return };
        if view.get("type").and_then(Value::as_str) != Some(kind) {
            self.fault("/view/type", &format!("must be {kind}"));
        }
        for key in ["title", "submit", "close"] {
            if let Some(text) = view.get(key).filter(|text| !text.is_null()) {
                self.plain_text(text, &format!("/view/{key}"), 24);
            }
        }
        self.string(view, "private_metadata", "/view", 3000);
        self.string(view, "callback_id", "/view", 255);
        self.string(view, "external_id", "/view", 255);
        self.flags(view, &["clear_on_close", "notify_on_close"], "/view");
        let Some(blocks) = view.get("blocks") else { return };
        self.blocks(blocks, "/view/blocks", VIEW_BLOCKS);
        let asks = blocks.as_array().into_iter().flatten().any(|block| block["type"] == "input");
        if asks && self.surface == Surface::Modal && view.get("submit").is_none_or(Value::is_null) {
            self.fault("/view", "missing required field: submit (a view with input blocks needs one)");
        }
        let focused = elements::spots(blocks.as_array().map_or(&[], Vec::as_slice))
            .iter()
            .filter(|spot| spot.element["focus_on_load"] == true)
            .count();
        if focused > 1 {
            self.fault("/view/blocks", "only one element may have focus_on_load");
        }
    }
}
