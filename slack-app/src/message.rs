//! The one message of a change: what was asked for, how far it is, and how it ended.

use device_model::{change::ChangeState, change_id::ChangeId, lan::LanSettings, outcome::Clock};
use slack_morphism::prelude::SlackBlock;

use crate::{
    blocks::{code, context, escape, fallback, named_section, section},
    fleet::{ChangeStory, Sight, Step},
    i18n::{Lang, Words, fill, jst, verdict},
    lan_view,
};

/// What the outbox posts: a line for notifications, and the blocks.
pub struct Message {
    pub text: String,
    pub blocks: Vec<SlackBlock>,
}

/// The name of a message's first block, by which it is found again.
pub fn name(change: &ChangeId) -> String {
    format!("change:{change}")
}

pub fn message(lang: Lang, story: &ChangeStory) -> Message {
    let words = lang.words();
    let thing = story.thing.as_str();
    let state = match (story.state, story.sight) {
        (ChangeState::Applied, Some(Sight::Unconfirmed)) => words.state_applied_unconfirmed,
        (state, _) => words.state(state, story.online),
    };
    let pharmacy = escape(story.pharmacy.as_deref().unwrap_or_default());
    let heading = fill(words.change_heading, &[("thing", thing), ("pharmacy", &pharmacy)]);
    let state_line = fill(words.change_state, &[("state", state)]);
    let mut head = vec![heading.trim_end().to_owned(), state_line];
    head.extend(story.steps.last().and_then(|step| why(lang, step, story)));
    let blocks = vec![
        named_section(&name(&story.change_id), &head.join("\n")),
        section(&format!("{}\n{}", words.change_before_after, difference(words, story))),
        context(&about(words, story)),
        context(&timeline(words, story)),
    ];
    Message { text: fallback(&fill(words.change_fallback, &[("thing", thing), ("state", state)])), blocks }
}

/// The fact and the next step, for a change that did not go well.
fn why(lang: Lang, step: &Step, story: &ChangeStory) -> Option<String> {
    let mut text = verdict(lang, step.code.as_deref()?, &story.after);
    if let Some(detail) = step.detail.as_deref().filter(|detail| !detail.is_empty()) {
        const SHOWN: usize = 200;
        let detail: String = detail.chars().take(SHOWN).collect();
        text.push('\n');
        text.push_str(&fill(lang.words().change_detail, &[("detail", &format!("`{}`", code(&detail)))]));
    }
    Some(text)
}

/// Field by field; one that stays the same is said once.
fn difference(words: &Words, story: &ChangeStory) -> String {
    let lines =
        |settings: Option<&LanSettings>| settings.map(|lan| lan_view::lines(words, lan)).unwrap_or_default();
    let (before, after) = (lines(story.before.as_ref()), lines(Some(&story.after)));
    let value = |lines: &[(String, String)], label: &str| {
        let line = lines.iter().find(|(known, _)| known == label);
        line.map_or_else(|| words.none.to_owned(), |(_, value)| value.clone())
    };
    // In the order of the form, whichever side has the field.
    let order = [words.mode, words.address, words.mask, words.gateway, words.dns, words.mtu, words.routes];
    let told = |label: &&str| {
        let label = *label;
        before.iter().chain(&after).any(|(known, _)| known == label)
    };
    let line = |label: &str| {
        let (old, new) = (value(&before, label), value(&after, label));
        if old == new {
            format!("{label}: {}", escape(&new))
        } else {
            format!("{label}: {} → *{}*", escape(&old), escape(&new))
        }
    };
    order.into_iter().filter(told).map(line).collect::<Vec<_>>().join("\n")
}

fn about(words: &Words, story: &ChangeStory) -> String {
    let who = match story.requested_by.split_once(':') {
        Some(("slack", user)) if is_slack_id(user) => format!("<@{user}>"),
        Some(("token", name)) => fill(words.change_by_api, &[("name", &escape(name))]),
        _ => escape(&story.requested_by),
    };
    let mut parts = vec![
        fill(words.change_by, &[("who", &who)]),
        fill(words.change_reason, &[("reason", &escape(&story.reason))]),
    ];
    if let Some(ticket) = &story.ticket {
        parts.push(fill(words.change_ticket, &[("ticket", &escape(ticket))]));
    }
    parts.join(" · ")
}

/// When each state was reached, by the cloud's clock and, for the box's own steps, by the box's.
fn timeline(words: &Words, story: &ChangeStory) -> String {
    let mut lines = vec![words.change_timeline.to_owned()];
    lines.extend(story.steps.iter().map(|step| {
        let line = format!("{} {}", jst(step.at), words.state(step.state, None));
        let Some(at) = step.device_at else {
            return line;
        };
        let clock = match step.clock {
            Some(Clock::Estimated) => words.change_device_clock_estimated,
            Some(Clock::Synced) | None => words.change_device_clock,
        };
        format!("{line} ({})", fill(clock, &[("at", &jst(at))]))
    }));
    if let Some(Sight::Confirmed(at)) = story.sight {
        lines.push(fill(words.change_receipt_computer_seen, &[("at", &jst(at))]));
    }
    lines.push(format!("`{}`", story.change_id));
    lines.join("\n")
}

fn is_slack_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
