//! Small makers of Block Kit, so that views and messages read like what they show.

use serde_json::{Value, json};

/// A block, or a view, as Slack takes it.
pub type Block = Value;

/// Slack's limits, in characters.
const MAX_SECTION: usize = 3000;
const MAX_FALLBACK: usize = 300;
const MAX_OPTION: usize = 75;
const MAX_METADATA: usize = 3000;

/// A paragraph. What people typed must have gone through [`escape`].
pub fn section(text: &str) -> Block {
    json!({"type": "section", "text": markdown(text)})
}

/// A paragraph that can be found again by its name.
pub fn named_section(name: &str, text: &str) -> Block {
    json!({"type": "section", "block_id": name, "text": markdown(text)})
}

/// A paragraph with a button beside it.
pub fn section_with(text: &str, beside: Value) -> Block {
    let mut block = section(text);
    block["accessory"] = beside;
    block
}

/// Small print.
pub fn context(text: &str) -> Block {
    json!({"type": "context", "elements": [markdown(text)]})
}

pub fn heading(text: &str) -> Block {
    json!({"type": "header", "text": plain(&cut(text, 150))})
}

pub fn divider() -> Block {
    json!({"type": "divider"})
}

/// A row of buttons; none at all if there are none.
pub fn actions(buttons: &[Value]) -> Option<Block> {
    (!buttons.is_empty()).then(|| json!({"type": "actions", "elements": buttons}))
}

pub fn picture(file_id: &str, alt: &str) -> Block {
    json!({"type": "image", "slack_file": {"id": file_id}, "alt_text": cut(alt, 2000)})
}

/// A button: what it does, and the id of what it does it to.
pub fn button(verb: &str, about: &str, words: &str) -> Value {
    let mut button = json!({"type": "button", "action_id": verb, "text": plain(words)});
    if !about.is_empty() {
        button["value"] = about.into();
    }
    button
}

/// A button that asks once more before it does something.
pub fn asking(mut button: Value, title: &str, text: &str, yes: &str, no: &str) -> Value {
    button["confirm"] = json!({"title": plain(title), "text": {"type": "mrkdwn", "text": cut(text, MAX_FALLBACK)},
        "confirm": plain(yes), "deny": plain(no)});
    button
}

pub fn styled(mut button: Value, style: &str) -> Value {
    button["style"] = style.into();
    button
}

pub fn option(words: &str, value: &str) -> Value {
    json!({"text": plain(&cut(words, MAX_OPTION)), "value": value})
}

/// A modal's frame. Without `submit` it only shows.
pub struct Modal<'a> {
    pub callback: &'a str,
    pub title: &'a str,
    pub submit: Option<&'a str>,
    pub close: &'a str,
    /// Ids, and what was typed; nothing secret.
    pub metadata: String,
    /// Closing this closes those below it too.
    pub clears: bool,
}

impl Modal<'_> {
    pub fn with(self, blocks: &[Block]) -> Block {
        debug_assert!(self.metadata.chars().count() <= MAX_METADATA);
        let mut view = json!({"type": "modal", "callback_id": self.callback, "title": plain(self.title),
            "close": plain(self.close), "private_metadata": self.metadata, "blocks": blocks});
        if let Some(submit) = self.submit {
            view["submit"] = plain(submit);
        }
        if self.clears {
            view["clear_on_close"] = true.into();
        }
        view
    }
}

/// A labelled field. Its block and its action have the same name: that of the field.
pub struct Field<'a> {
    pub name: &'a str,
    pub label: &'a str,
    pub hint: Option<&'a str>,
    pub optional: bool,
    /// A choice in it changes the view.
    pub tells: bool,
}

impl Field<'_> {
    pub fn text(self, value: Option<String>, max: u64, multiline: bool) -> Block {
        let mut input = json!({"type": "plain_text_input", "action_id": self.name, "max_length": max,
            "multiline": multiline});
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            input["initial_value"] = value.into();
        }
        self.block(&input)
    }

    /// One of some choices, each a value and its words.
    pub fn choice(self, choices: &[(&str, &str)], chosen: Option<&str>) -> Block {
        let options: Vec<_> = choices.iter().map(|(value, words)| option(words, value)).collect();
        let mut select = json!({"type": "static_select", "action_id": self.name, "options": options});
        if let Some(first) = choices.iter().position(|(value, _)| Some(*value) == chosen) {
            select["initial_option"] = options[first].clone();
        }
        self.block(&select)
    }

    pub fn moment(self, seconds: Option<i64>) -> Block {
        let mut picker = json!({"type": "datetimepicker", "action_id": self.name});
        if let Some(seconds) = seconds {
            picker["initial_date_time"] = seconds.into();
        }
        self.block(&picker)
    }

    fn block(&self, element: &Value) -> Block {
        let mut block = json!({"type": "input", "block_id": self.name, "label": plain(self.label),
            "element": element, "optional": self.optional});
        if self.tells {
            block["dispatch_action"] = true.into();
        }
        if let Some(hint) = self.hint {
            block["hint"] = plain(hint);
        }
        block
    }
}

pub fn plain(text: &str) -> Value {
    json!({"type": "plain_text", "text": text})
}

/// What people typed must not become a mention, a link or a channel.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A value in a box of its own: no formatting is read in it, and it ends where it should.
pub fn code(text: &str) -> String {
    escape(&text.replace('`', "'"))
}

/// The line that notifications and screen readers show.
pub fn fallback(text: &str) -> String {
    cut(text, MAX_FALLBACK)
}

fn markdown(text: &str) -> Value {
    json!({"type": "mrkdwn", "text": cut(text, MAX_SECTION)})
}

fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_text_mentions_nobody() {
        assert_eq!(escape("<!channel> & co"), "&lt;!channel&gt; &amp; co");
        assert_eq!(code("a`<b"), "a'&lt;b");
    }

    #[test]
    fn a_long_text_is_cut_where_slack_would_refuse_it() {
        assert_eq!(cut(&"あ".repeat(3001), MAX_SECTION).chars().count(), 3000);
        assert_eq!(cut("短い", MAX_SECTION), "短い");
    }
}
