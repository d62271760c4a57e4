//! Small makers of Block Kit, so that views and messages read like what they show.

use slack_morphism::prelude::*;

/// Slack's limits, in characters.
const MAX_SECTION: usize = 3000;
const MAX_FALLBACK: usize = 300;

/// A paragraph. What people typed must have gone through [`escape`].
pub fn section(text: &str) -> SlackBlock {
    SlackSectionBlock::new().with_text(markdown(text)).into()
}

/// A paragraph that can be found again by its name.
pub fn named_section(name: &str, text: &str) -> SlackBlock {
    SlackSectionBlock::new().with_block_id(name.into()).with_text(markdown(text)).into()
}

/// Small print.
pub fn context(text: &str) -> SlackBlock {
    let text = SlackBlockMarkDownText::new(cut(text, MAX_SECTION));
    SlackContextBlock::new(vec![text.into()]).into()
}

pub fn divider() -> SlackBlock {
    SlackDividerBlock::new().into()
}

/// A labelled field. Its block and its action have the same name: that of the field.
pub struct Field<'a> {
    pub name: &'a str,
    pub label: &'a str,
    pub hint: Option<&'a str>,
    pub optional: bool,
}

impl Field<'_> {
    pub fn text(self, value: Option<String>, max: u64, multiline: bool) -> SlackBlock {
        let input = SlackBlockPlainTextInputElement::new()
            .with_action_id(self.name.into())
            .with_max_length(max)
            .with_multiline(multiline)
            .opt_initial_value(value.filter(|value| !value.is_empty()));
        self.block(input.into())
    }

    /// One of some choices, each a value and its words.
    pub fn choice(self, choices: &[(&str, &str)], chosen: Option<&str>) -> SlackBlock {
        let item = |(value, words): &(&str, &str)| {
            SlackBlockChoiceItem::new(SlackBlockPlainTextOnly::from(*words), (*value).to_owned())
        };
        let initial = choices.iter().find(|(value, _)| Some(*value) == chosen).map(item);
        let select = SlackBlockStaticSelectElement::new()
            .with_action_id(self.name.into())
            .with_options(choices.iter().map(item).collect())
            .opt_initial_option(initial);
        self.block(select.into())
    }

    fn block(self, element: SlackInputBlockElement) -> SlackBlock {
        SlackInputBlock::new(self.label.into(), element)
            .with_block_id(self.name.into())
            .with_optional(self.optional)
            .opt_hint(self.hint.map(Into::into))
            .into()
    }
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

fn markdown(text: &str) -> SlackBlockText {
    SlackBlockMarkDownText::new(cut(text, MAX_SECTION)).into()
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
