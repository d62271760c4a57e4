//! The fields of Block Kit: where they stand, what is in them, and what a press of one sends.

use serde_json::{Map, Value, json};

/// An element a user can work, and where it stands.
#[derive(Debug, Clone)]
pub struct Spot {
    pub block_id: String,
    pub action_id: String,
    pub element: Value,
    pub in_input: bool,
    /// the `input` block must be filled in
    pub required: bool,
}

/// Every element of the blocks that a user can work.
pub fn spots(blocks: &[Value]) -> Vec<Spot> {
    let mut spots = Vec::new();
    for block in blocks {
        let kind = block["type"].as_str().unwrap_or("");
        let elements: Vec<&Value> = match kind {
            "section" => block.get("accessory").into_iter().collect(),
            "input" => block.get("element").into_iter().collect(),
            "actions" | "context_actions" => block["elements"].as_array().into_iter().flatten().collect(),
            _ => Vec::new(),
        };
        for element in elements {
            if let (Some(block_id), Some(action_id)) =
                (block["block_id"].as_str(), element["action_id"].as_str())
            {
                spots.push(Spot {
                    block_id: block_id.to_owned(),
                    action_id: action_id.to_owned(),
                    element: element.clone(),
                    in_input: kind == "input",
                    required: kind == "input" && block["optional"].as_bool() != Some(true),
                });
            }
        }
    }
    spots
}

/// Block and action ids that the app left out are made up by Slack.
pub fn fill_ids(blocks: &mut [Value]) {
    for block in blocks {
        let fresh = || json!(crate::state::fresh_hex(3));
        let Some(block) = block.as_object_mut() else { continue };
        if block.get("block_id").and_then(Value::as_str).unwrap_or("").is_empty() {
            block.insert("block_id".to_owned(), fresh());
        }
        let mut name = |element: &mut Value| {
            let kind = element["type"].as_str().unwrap_or("");
            let worked = !matches!(kind, "" | "image" | "mrkdwn" | "plain_text");
            if let Some(element) = element.as_object_mut()
                && worked
                && !element.contains_key("action_id")
            {
                element.insert("action_id".to_owned(), fresh());
            }
        };
        let kind = block.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
        match kind.as_str() {
            "section" => block.get_mut("accessory").into_iter().for_each(&mut name),
            "input" => block.get_mut("element").into_iter().for_each(&mut name),
            "actions" => block
                .get_mut("elements")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
                .for_each(&mut name),
            _ => {}
        }
    }
}

/// The key under which an element's content stands; none for what has no content, such as a button.
fn content_key(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "plain_text_input" | "number_input" | "email_text_input" | "url_text_input" => "value",
        "static_select" | "external_select" | "radio_buttons" => "selected_option",
        "multi_static_select" | "multi_external_select" | "checkboxes" => "selected_options",
        "datepicker" => "selected_date",
        "timepicker" => "selected_time",
        "datetimepicker" => "selected_date_time",
        "users_select" => "selected_user",
        "multi_users_select" => "selected_users",
        "conversations_select" => "selected_conversation",
        "multi_conversations_select" => "selected_conversations",
        "channels_select" => "selected_channel",
        "multi_channels_select" => "selected_channels",
        "rich_text_input" => "rich_text_value",
        _ => return None,
    })
}

/// The state entry of an element before anybody touched it.
pub fn initial(element: &Value) -> Option<Value> {
    let kind = element["type"].as_str()?;
    let key = content_key(kind)?;
    let given = match key {
        "value" | "rich_text_value" => &element["initial_value"],
        "selected_option" => &element["initial_option"],
        "selected_options" => &element["initial_options"],
        "selected_date" => &element["initial_date"],
        "selected_time" => &element["initial_time"],
        "selected_date_time" => &element["initial_date_time"],
        "selected_user" => &element["initial_user"],
        "selected_users" => &element["initial_users"],
        "selected_conversation" => &element["initial_conversation"],
        "selected_conversations" => &element["initial_conversations"],
        "selected_channel" => &element["initial_channel"],
        _ => &element["initial_channels"],
    };
    let content = match (given, key.ends_with('s')) {
        (Value::Null, true) => json!([]),
        (given, _) => given.clone(),
    };
    Some(json!({"type": kind, key: content}))
}

/// The state entry after a user put `given` in: a text, an option's value, several of them, or the whole
/// entry as Slack writes it. `None` when the element has no such option.
pub fn filled(element: &Value, given: &Value) -> Option<Value> {
    let kind = element["type"].as_str()?;
    let key = content_key(kind)?;
    if let Some(whole) = given.as_object().and_then(|given| given.get(key)) {
        return Some(json!({"type": kind, key: whole}));
    }
    let blank = given.is_null() || given.as_str() == Some("");
    let content = match key {
        _ if blank => {
            return Some(
                json!({"type": kind, key: if key.ends_with('s') { json!([]) } else { Value::Null }}),
            );
        }
        "selected_option" => option(element, given)?,
        "selected_options" => {
            let several = given.as_array().cloned().unwrap_or_else(|| vec![given.clone()]);
            Value::Array(several.iter().map(|one| option(element, one)).collect::<Option<_>>()?)
        }
        "selected_users" | "selected_conversations" | "selected_channels" if !given.is_array() => {
            json!([given])
        }
        "value" if given.is_number() => json!(given.to_string()),
        "selected_date_time" if given.is_string() => json!(given.as_str()?.parse::<i64>().ok()?),
        _ => given.clone(),
    };
    Some(json!({"type": kind, key: content}))
}

/// Whether a state entry is empty.
pub fn is_blank(entry: &Value) -> bool {
    let content =
        entry.as_object().into_iter().flatten().find(|(key, _)| *key != "type").map(|(_, content)| content);
    match content {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(several)) => several.is_empty(),
        Some(_) => false,
    }
}

/// An option of the element by its value, or a whole option as given (an external select's may be anything).
fn option(element: &Value, given: &Value) -> Option<Value> {
    let wanted = if given.is_object() { &given["value"] } else { given };
    let plain = element["options"].as_array().into_iter().flatten();
    let grouped = element["option_groups"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|group| group["options"].as_array());
    let found = plain.chain(grouped.flatten()).find(|option| option["value"] == *wanted).cloned();
    let external = element["type"].as_str().is_some_and(|kind| kind.contains("external"));
    found.or_else(|| match given {
        Value::Object(_) if external => Some(given.clone()),
        Value::String(text) if external => {
            Some(json!({"text": {"type": "plain_text", "text": text, "emoji": true}, "value": text}))
        }
        _ => None,
    })
}

/// What `actions[0]` says about a press of the element.
pub fn acted(spot: &Spot, given: Option<&Value>, ts: &str) -> Option<Value> {
    let element = &spot.element;
    let kind = element["type"].as_str()?;
    let mut action = json!({
        "type": kind, "action_id": spot.action_id, "block_id": spot.block_id, "action_ts": ts,
    });
    let copied: &[&str] = match kind {
        "button" | "workflow_button" => &["text", "value", "style", "url", "confirm"],
        _ => &["placeholder", "initial_option", "confirm"],
    };
    for key in copied {
        if let Some(value) = element.get(*key) {
            action[*key] = value.clone();
        }
    }
    match kind {
        "button" | "workflow_button" => {}
        "overflow" => action["selected_option"] = option(element, given?)?,
        _ => {
            let entry = filled(element, given.unwrap_or(&Value::Null))?;
            for (key, content) in entry.as_object()? {
                action[key] = content.clone();
            }
        }
    }
    Some(action)
}

pub fn put(values: &mut Map<String, Value>, block_id: &str, action_id: &str, entry: Value) {
    let block = values.entry(block_id).or_insert_with(|| json!({}));
    block[action_id] = entry;
}

/// The state of blocks nobody typed into.
pub fn untouched(blocks: &[Value]) -> Map<String, Value> {
    let mut values = Map::new();
    for spot in spots(blocks) {
        if let Some(entry) = initial(&spot.element) {
            put(&mut values, &spot.block_id, &spot.action_id, entry);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select() -> Value {
        let option = |value: &str| json!({"text": {"type": "plain_text", "text": value}, "value": value});
        json!({"type": "static_select", "action_id": "a", "options": [option("x"), option("y")], "initial_option": option("x")})
    }

    #[test]
    fn a_select_is_filled_by_the_value_of_one_of_its_options_only() {
        assert_eq!(initial(&select()).unwrap()["selected_option"]["value"], "x");
        assert_eq!(filled(&select(), &json!("y")).unwrap()["selected_option"]["value"], "y");
        assert_eq!(filled(&select(), &json!("z")), None);
        assert_eq!(filled(&select(), &Value::Null).unwrap()["selected_option"], Value::Null);
    }

    #[test]
    fn slacks_own_form_of_an_entry_is_taken_as_it_is() {
        let element = json!({"type": "plain_text_input", "action_id": "a"});
        let whole = json!({"type": "plain_text_input", "value": "typed"});

        assert_eq!(filled(&element, &whole).unwrap(), whole);
        assert_eq!(filled(&element, &json!("typed")).unwrap(), whole);
        assert!(is_blank(&filled(&element, &json!("")).unwrap()));
    }

    #[test]
    fn ids_the_app_left_out_are_made_up() {
        let mut blocks = vec![json!({"type": "actions", "elements": [{"type": "button", "value": "v"}]})];

        fill_ids(&mut blocks);

        let found = spots(&blocks);
        assert_eq!(found.len(), 1);
        assert!(initial(&found[0].element).is_none());
    }
}
