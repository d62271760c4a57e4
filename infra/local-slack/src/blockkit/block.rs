//! Blocks: which there are, what each may hold, and that no id stands twice.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Check, Surface};

const PASSWORD_WORDS: &[&str] = &["password", "passwd", "passphrase", "パスワード", "パスフレーズ", "暗証"];

impl Check<'_> {
    pub fn blocks(&mut self, value: &Value, path: &str, most: usize) {
        let mut seen = BTreeSet::new();
        for (at, block) in self.count(value, path, 0, most).iter().enumerate() {
            let path = format!("{path}/{at}");
            if let Some(id) = block["block_id"].as_str()
                && !seen.insert(id.to_owned())
            {
                self.fault(&path, &format!("block_id `{id}` already exists"));
            }
            self.block(block, &path);
        }
    }

    fn block(&mut self, block: &Value, path: &str) {
        let kind = block["type"].as_str().unwrap_or("");
        let (required, optional): (&[&str], &[&str]) = match kind {
            "section" => (&[], &["text", "fields", "accessory", "expand"]),
            "divider" => (&[], &[]),
            "header" => (&["text"], &["level"]),
            "context" | "actions" | "rich_text" => (&["elements"], &[]),
            "input" => (&["label", "element"], &["dispatch_action", "hint", "optional"]),
            "image" => (&["alt_text"], &["image_url", "slack_file", "title"]),
            "video" => (
                &["alt_text", "title", "video_url", "thumbnail_url"],
                &["author_name", "description", "provider_icon_url", "provider_name", "title_url"],
            ),
            "markdown" if self.surface == Surface::Message => (&["text"], &[]),
            "table" if self.surface == Surface::Message => (&["rows"], &["column_settings"]),
            "file" if self.surface == Surface::Message => (&["external_id", "source"], &[]),
            _ => return self.fault(&format!("{path}/type"), &format!("unsupported type: {kind}")),
        };
        let required: Vec<&str> = [&["type"][..], required].concat();
        let optional: Vec<&str> = [&["block_id"][..], optional].concat();
        let Some(fields) = self.object(block, path, &required, &optional) else { return };
        self.id(fields, "block_id", path);
        match kind {
            "section" => self.section(fields, path),
            "header" => self.plain_text(&block["text"], &format!("{path}/text"), 150),
            "context" => self.context(&block["elements"], &format!("{path}/elements")),
            "actions" => self.actions(&block["elements"], &format!("{path}/elements")),
            "input" => self.input(fields, path),
            "markdown" => self.string(fields, "text", path, 12_000),
            "rich_text" => self.rich_text(&block["elements"], &format!("{path}/elements")),
            "image" => {
                self.image_source(fields, path);
                if let Some(title) = fields.get("title").filter(|given| !given.is_null()) {
                    self.plain_text(title, &format!("{path}/title"), 2000);
                }
            }
            "table" => {
                for (at, row) in
                    self.count(&block["rows"], &format!("{path}/rows"), 1, 100).iter().enumerate()
                {
                    self.count(row, &format!("{path}/rows/{at}"), 1, 20);
                }
            }
            _ => {}
        }
    }

    fn section(&mut self, section: &Map<String, Value>, path: &str) {
        let given = |key: &str| section.get(key).filter(|given| !given.is_null());
        if given("text").is_none() && given("fields").is_none() {
            self.fault(path, "must define either `text` or `fields`");
        }
        if let Some(text) = given("text") {
            self.text(text, &format!("{path}/text"), 3000);
        }
        if let Some(fields) = given("fields") {
            for (at, field) in self.count(fields, &format!("{path}/fields"), 1, 10).iter().enumerate() {
                self.text(field, &format!("{path}/fields/{at}"), 2000);
            }
        }
        if let Some(accessory) = given("accessory") {
            self.element(accessory, &format!("{path}/accessory"), "section");
        }
    }

    fn context(&mut self, elements: &Value, path: &str) {
        for (at, element) in self.count(elements, path, 1, 10).iter().enumerate() {
            let path = format!("{path}/{at}");
            if element["type"] == "image" {
                self.element(element, &path, "section");
            } else {
                self.text(element, &path, 3000);
            }
        }
    }

    fn rich_text(&mut self, elements: &Value, path: &str) {
        for (at, element) in self.count(elements, path, 0, usize::MAX).iter().enumerate() {
            let kind = element["type"].as_str().unwrap_or("").strip_prefix("rich_text_");
            if !matches!(kind, Some("section" | "list" | "preformatted" | "quote")) {
                self.fault(&format!("{path}/{at}/type"), "unsupported type in rich_text");
            }
        }
    }

    fn actions(&mut self, elements: &Value, path: &str) {
        let mut seen = BTreeSet::new();
        for (at, element) in self.count(elements, path, 1, 25).iter().enumerate() {
            let path = format!("{path}/{at}");
            if let Some(id) = element["action_id"].as_str()
                && !seen.insert(id.to_owned())
            {
                self.fault(&path, &format!("action_id `{id}` already exists in this block"));
            }
            self.element(element, &path, "actions");
        }
    }

    fn input(&mut self, input: &Map<String, Value>, path: &str) {
        self.flags(input, &["optional", "dispatch_action"], path);
        let (label, element) = (&input.get("label"), &input.get("element"));
        if let Some(label) = label {
            self.plain_text(label, &format!("{path}/label"), 2000);
        }
        if let Some(hint) = input.get("hint").filter(|given| !given.is_null()) {
            self.plain_text(hint, &format!("{path}/hint"), 2000);
        }
        if let Some(element) = element {
            self.element(element, &format!("{path}/element"), "input");
            let typed = element["type"]
                .as_str()
                .is_some_and(|kind| kind.ends_with("text_input") || kind == "number_input");
            // What is read beside the field, and what its makers call it.
            let words = [
                label.map(|label| &label["text"]),
                input.get("hint").map(|hint| &hint["text"]),
                Some(&element["placeholder"]["text"]),
                input.get("block_id"),
                Some(&element["action_id"]),
            ];
            if typed && words.into_iter().flatten().filter_map(Value::as_str).any(names_a_password) {
                self.fault(
                    path,
                    "this input asks for a password: Slack has no masked field and keeps what is typed",
                );
            }
        }
    }
}

fn names_a_password(text: &str) -> bool {
    let text = text.to_lowercase();
    PASSWORD_WORDS.iter().any(|word| text.contains(word))
}
