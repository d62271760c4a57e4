//! The small parts: texts, options, confirm dialogs.

use serde_json::Value;

use super::Check;

/// What options stand in: each kind of list takes a little more or less in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// a select, or what an app suggests for one
    Menu,
    /// a menu behind dots: its options may be links
    Overflow,
    /// checkboxes and radio buttons: their texts may be marked up
    Ticks,
}

impl Check<'_> {
    pub fn plain_text(&mut self, value: &Value, path: &str, most: usize) {
        if value.is_object() && value["type"] != "plain_text" {
            self.fault(&format!("{path}/type"), "must be plain_text");
        }
        self.text(value, path, most);
    }

    /// `plain_text` or `mrkdwn`.
    pub fn text(&mut self, value: &Value, path: &str, most: usize) {
        let optional: &[&str] = if value["type"] == "mrkdwn" { &["verbatim"] } else { &["emoji"] };
        let Some(text) = self.object(value, path, &["type", "text"], optional) else { return };
        if !matches!(text.get("type").and_then(Value::as_str), Some("plain_text" | "mrkdwn")) {
            self.fault(&format!("{path}/type"), "must be plain_text or mrkdwn");
        }
        if text.get("text").and_then(Value::as_str) == Some("") {
            self.fault(&format!("{path}/text"), "must be more than 0 characters");
        }
        self.string(text, "text", path, most);
        self.flags(text, &["emoji", "verbatim"], path);
    }

    pub fn count(&mut self, value: &Value, path: &str, least: usize, most: usize) -> Vec<Value> {
        let Some(items) = value.as_array() else {
            self.fault(path, "must be an array");
            return Vec::new();
        };
        if items.len() < least {
            self.fault(path, &format!("no fewer than {least} items allowed"));
        }
        if items.len() > most {
            self.fault(path, &format!("no more than {most} items allowed"));
        }
        items.clone()
    }

    pub fn options(&mut self, value: &Value, path: &str, least: usize, most: usize, offer: Offer) {
        for (at, option) in self.count(value, path, least, most).iter().enumerate() {
            self.option(option, &format!("{path}/{at}"), offer);
        }
    }

    pub fn option(&mut self, value: &Value, path: &str, offer: Offer) {
        let optional: &[&str] =
            if offer == Offer::Overflow { &["description", "url"] } else { &["description"] };
        let Some(option) = self.object(value, path, &["text", "value"], optional) else {
            return;
        };
        for key in ["text", "description"] {
            match option.get(key) {
                None | Some(Value::Null) => {}
                Some(text) if offer == Offer::Ticks => self.text(text, &format!("{path}/{key}"), 75),
                Some(text) => self.plain_text(text, &format!("{path}/{key}"), 75),
            }
        }
        self.string(option, "value", path, 150);
        self.string(option, "url", path, 3000);
    }

    pub fn option_groups(&mut self, value: &Value, path: &str) {
        for (at, group) in self.count(value, path, 1, 100).iter().enumerate() {
            let path = format!("{path}/{at}");
            let Some(group) = self.object(group, &path, &["label", "options"], &[]) else { continue };
            if let Some(label) = group.get("label") {
                self.plain_text(label, &format!("{path}/label"), 75);
            }
            if let Some(options) = group.get("options") {
                self.options(options, &format!("{path}/options"), 1, 100, Offer::Menu);
            }
        }
    }

    pub fn confirm(&mut self, value: &Value, path: &str) {
        let Some(dialog) = self.object(value, path, &["title", "text", "confirm", "deny"], &["style"]) else {
            return;
        };
        for (key, most) in [("title", 100), ("confirm", 30), ("deny", 30)] {
            if let Some(text) = dialog.get(key) {
                self.plain_text(text, &format!("{path}/{key}"), most);
            }
        }
        if let Some(text) = dialog.get("text") {
            self.text(text, &format!("{path}/text"), 300);
        }
        self.style(dialog.get("style"), path);
    }

    pub fn style(&mut self, style: Option<&Value>, path: &str) {
        if !matches!(style.map(Value::as_str), None | Some(Some("primary" | "danger"))) {
            self.fault(&format!("{path}/style"), "must be primary or danger");
        }
    }
}
