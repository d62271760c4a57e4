//! Elements: which fields each may have, where it may stand, how much fits in.

use serde_json::{Map, Value};

use super::Check;
use super::object::Offer;

/// An element's type, the fields it must have, those it may have, and the blocks it may stand in.
struct Kind {
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    places: &'static [&'static str],
}

const ANYWHERE: &[&str] = &["section", "actions", "input"];
const FIELD: &[&str] = &["section", "input"];
const INPUT: &[&str] = &["input"];

const KINDS: &[Kind] = &[
    kind(
        "button",
        &["text"],
        &["url", "value", "style", "confirm", "accessibility_label"],
        &["section", "actions"],
    ),
    kind(
        "workflow_button",
        &["text", "workflow"],
        &["style", "accessibility_label"],
        &["section", "actions"],
    ),
    kind("overflow", &["options"], &["confirm"], &["section", "actions"]),
    kind("image", &["alt_text"], &["image_url", "slack_file"], &["section"]),
    kind(
        "static_select",
        &[],
        &["options", "option_groups", "initial_option", "confirm", "focus_on_load", "placeholder"],
        ANYWHERE,
    ),
    kind(
        "external_select",
        &[],
        &["initial_option", "min_query_length", "confirm", "focus_on_load", "placeholder"],
        ANYWHERE,
    ),
    kind("users_select", &[], &["initial_user", "confirm", "focus_on_load", "placeholder"], ANYWHERE),
    kind(
        "conversations_select",
        &[],
        &[
            "initial_conversation",
            "default_to_current_conversation",
            "confirm",
            "response_url_enabled",
            "filter",
            "focus_on_load",
            "placeholder",
        ],
        ANYWHERE,
    ),
    kind(
        "channels_select",
        &[],
        &["initial_channel", "confirm", "response_url_enabled", "focus_on_load", "placeholder"],
        ANYWHERE,
    ),
    kind(
        "multi_static_select",
        &[],
        &[
            "options",
            "option_groups",
            "initial_options",
            "confirm",
            "max_selected_items",
            "focus_on_load",
            "placeholder",
        ],
        FIELD,
    ),
    kind(
        "multi_external_select",
        &[],
        &[
            "min_query_length",
            "initial_options",
            "confirm",
            "max_selected_items",
            "focus_on_load",
            "placeholder",
        ],
        FIELD,
    ),
    kind(
        "multi_users_select",
        &[],
        &["initial_users", "confirm", "max_selected_items", "focus_on_load", "placeholder"],
        FIELD,
    ),
    kind(
        "multi_conversations_select",
        &[],
        &[
            "initial_conversations",
            "default_to_current_conversation",
            "confirm",
            "max_selected_items",
            "filter",
            "focus_on_load",
            "placeholder",
        ],
        FIELD,
    ),
    kind(
        "multi_channels_select",
        &[],
        &["initial_channels", "confirm", "max_selected_items", "focus_on_load", "placeholder"],
        FIELD,
    ),
    kind("checkboxes", &["options"], &["initial_options", "confirm", "focus_on_load"], ANYWHERE),
    kind("radio_buttons", &["options"], &["initial_option", "confirm", "focus_on_load"], ANYWHERE),
    kind("datepicker", &[], &["initial_date", "confirm", "focus_on_load", "placeholder"], ANYWHERE),
    kind(
        "timepicker",
        &[],
        &["initial_time", "confirm", "focus_on_load", "placeholder", "timezone"],
        ANYWHERE,
    ),
    kind("datetimepicker", &[], &["initial_date_time", "confirm", "focus_on_load"], &["actions", "input"]),
    kind(
        "plain_text_input",
        &[],
        &[
            "initial_value",
            "multiline",
            "min_length",
            "max_length",
            "dispatch_action_config",
            "focus_on_load",
            "placeholder",
        ],
        INPUT,
    ),
    kind(
        "number_input",
        &["is_decimal_allowed"],
        &[
            "initial_value",
            "min_value",
            "max_value",
            "dispatch_action_config",
            "focus_on_load",
            "placeholder",
        ],
        INPUT,
    ),
    kind(
        "email_text_input",
        &[],
        &["initial_value", "dispatch_action_config", "focus_on_load", "placeholder"],
        INPUT,
    ),
    kind(
        "url_text_input",
        &[],
        &["initial_value", "dispatch_action_config", "focus_on_load", "placeholder"],
        INPUT,
    ),
    kind(
        "rich_text_input",
        &[],
        &["initial_value", "dispatch_action_config", "focus_on_load", "placeholder"],
        INPUT,
    ),
    kind("file_input", &[], &["filetypes", "max_files"], INPUT),
];

const fn kind(
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    places: &'static [&'static str],
) -> Kind {
    Kind { name, required, optional, places }
}

impl Check<'_> {
    pub fn element(&mut self, value: &Value, path: &str, place: &str) {
        let name = value["type"].as_str().unwrap_or("");
        let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
            return self.fault(&format!("{path}/type"), &format!("unsupported type: {name}"));
        };
        if !kind.places.contains(&place) {
            return self.fault(path, &format!("{name} may not stand in a block of type {place}"));
        }
        let required: Vec<&str> = [&["type"][..], kind.required].concat();
        let optional: Vec<&str> = [&["action_id"][..], kind.optional].concat();
        let Some(element) = self.object(value, path, &required, &optional) else { return };
        self.id(element, "action_id", path);
        self.flags(
            element,
            &["multiline", "focus_on_load", "is_decimal_allowed", "response_url_enabled"],
            path,
        );
        if let Some(confirm) = element.get("confirm").filter(|given| !given.is_null()) {
            self.confirm(confirm, &format!("{path}/confirm"));
        }
        if let Some(placeholder) = element.get("placeholder").filter(|given| !given.is_null()) {
            self.plain_text(placeholder, &format!("{path}/placeholder"), 150);
        }
        self.dispatch(element, path);
        self.integer(element, "max_selected_items", path, 1, u64::MAX);
        match name {
            "button" | "workflow_button" => self.button(element, path),
            "overflow" => {
                self.options(&element["options"], &format!("{path}/options"), 1, 5, Offer::Overflow);
            }
            "checkboxes" | "radio_buttons" => self.choices(element, path, 10, Offer::Ticks),
            "static_select" | "multi_static_select" => self.choices(element, path, 100, Offer::Menu),
            "external_select" | "multi_external_select" => self.outside_choice(element, path),
            "image" => self.image_source(element, path),
            "plain_text_input" => self.text_input(element, path),
            "datepicker" => self.shaped(element, "initial_date", path, "0000-00-00"),
            "timepicker" => self.shaped(element, "initial_time", path, "00:00"),
            "datetimepicker" => self.moment(element, path),
            "number_input" => self.number_input(element, path),
            _ => {}
        }
    }

    fn button(&mut self, button: &Map<String, Value>, path: &str) {
        if let Some(text) = button.get("text") {
            self.plain_text(text, &format!("{path}/text"), 75);
        }
        self.string(button, "value", path, 2000);
        self.string(button, "url", path, 3000);
        self.string(button, "accessibility_label", path, 75);
        self.style(button.get("style"), path);
    }

    fn choices(&mut self, element: &Map<String, Value>, path: &str, most: usize, offer: Offer) {
        let mut offered: Vec<Value> = Vec::new();
        match (element.get("options"), element.get("option_groups")) {
            (Some(options), None) => {
                self.options(options, &format!("{path}/options"), 1, most, offer);
                offered.extend(options.as_array().into_iter().flatten().cloned());
            }
            (None, Some(groups)) => {
                self.option_groups(groups, &format!("{path}/option_groups"));
                let groups = groups.as_array().into_iter().flatten();
                offered.extend(groups.filter_map(|group| group["options"].as_array()).flatten().cloned());
            }
            _ => self.fault(path, "must define either `options` or `option_groups`"),
        }
        let first = element.get("initial_option").filter(|given| !given.is_null());
        if first.is_some_and(|first| !offered.contains(first)) {
            self.fault(path, "initial_option must be one of the options");
        }
        if let Some(several) = element.get("initial_options").and_then(Value::as_array)
            && (several.is_empty() || several.iter().any(|one| !offered.contains(one)))
        {
            self.fault(path, "initial_options must be some of the options");
        }
    }

    pub fn image_source(&mut self, image: &Map<String, Value>, path: &str) {
        self.string(image, "alt_text", path, 2000);
        self.string(image, "image_url", path, 3000);
        match (image.get("image_url"), image.get("slack_file")) {
            (Some(_), None) => {}
            (None, Some(file)) => {
                let path = format!("{path}/slack_file");
                self.object(file, &path, &[], &["id", "url"]);
                let known = match (file["id"].as_str(), file["url"].as_str()) {
                    (Some(id), None) => (self.has_file)(id),
                    (id, url) => id.is_none() && url.is_some(),
                };
                if !known {
                    self.fault(&path, "invalid slack file");
                }
            }
            _ => self.fault(path, "must define either `image_url` or `slack_file`"),
        }
    }
}
