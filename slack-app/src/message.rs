//! The one message of a change: what was asked for, how far it is, what can be done about it; and the
//! milestones that its thread tells.

use device_model::{change::ChangeState, change_id::ChangeId, outcome::Clock};
use serde_json::Value;

use crate::{
    blocks::{
        Block, actions, asking, button, code, context, escape, fallback, named_section, section, styled,
    },
    i18n::{Lang, Words, fill, jst, jst_minute, verdict},
    model::{Approval, ChangeStory, Sight, Step, Withdrawing},
    settings_text::difference,
    verb,
};

/// What the outbox posts: a line for notifications, and the blocks.
pub struct Message {
    pub text: String,
    pub blocks: Vec<Block>,
}

/// The name of a message's first block, by which it is found again.
pub fn name(change: &ChangeId) -> String {
    format!("change:{change}")
}

/// The change whose message has a block of this name.
pub fn named(block_id: &str) -> Option<ChangeId> {
    block_id.strip_prefix("change:")?.parse().ok()
}

pub fn message(lang: Lang, story: &ChangeStory) -> Message {
    let words = lang.words();
    let thing = story.thing.as_str();
    let state = state(words, story);
    let pharmacy = escape(story.pharmacy.as_deref().unwrap_or_default());
    let heading = fill(words.change_heading, &[("thing", thing), ("pharmacy", &pharmacy)]);
    let state_line = fill(words.change_state, &[("mark", mark(story)), ("state", state)]);
    let mut head = vec![heading.trim_end().to_owned(), state_line];
    if let Some(why) = story.withdrawing.filter(|_| !story.state.is_terminal()) {
        head.push(withdrawing(words, why).to_owned());
    }
    head.extend(window(words, story));
    head.extend(story.steps.last().and_then(|step| why(lang, step, story)));
    let difference = difference(words, story.before.as_ref(), &story.after, story.share.as_ref());
    let mut blocks = vec![
        named_section(&name(&story.change_id), &head.join("\n")),
        section(&format!("{}\n{difference}", words.change_before_after)),
        context(&about(words, story)),
        context(&timeline(words, story)),
    ];
    blocks.extend(actions(&buttons(words, story)));
    Message { text: fallback(&fill(words.change_fallback, &[("thing", thing), ("state", state)])), blocks }
}

/// Where the change stands, in the words of the trade.
pub fn state(words: &Words, story: &ChangeStory) -> &'static str {
    match (story.state, &story.approval, story.sight) {
        (ChangeState::Scheduled, Approval::Waiting, _) => words.state_unapproved,
        (ChangeState::Applied, _, Some(Sight::Unconfirmed)) => words.state_applied_unconfirmed,
        (state, ..) => words.state(state, story.online),
    }
}

fn withdrawing(words: &Words, why: Withdrawing) -> &'static str {
    match why {
        Withdrawing::Cancel => words.change_withdrawing,
        Withdrawing::Expire => words.change_expiring,
        Withdrawing::Supersede => words.change_replacing,
    }
}

/// What its thread tells, in order. As the change goes on, this only grows.
pub fn milestones(lang: Lang, story: &ChangeStory) -> Vec<String> {
    let words = lang.words();
    let told = story.steps.iter().skip(1).filter_map(|step| {
        let text = match step.state {
            ChangeState::Queued => match &story.approval {
                Approval::Given(by) => fill(words.milestone_approved, &[("who", &who(words, by))]),
                Approval::NotNeeded | Approval::Waiting => return None,
            },
            ChangeState::Scheduled | ChangeState::Sent => return None,
            state => format!("*{}*", words.state(state, None)),
        };
        let reason = why(lang, step, story).map(|why| format!("\n{why}")).unwrap_or_default();
        Some(format!("{} {text}{reason}", jst(step.at)))
    });
    let seen = match story.sight {
        Some(Sight::Confirmed(at)) => Some(fill(words.change_receipt_computer_seen, &[("at", &jst(at))])),
        _ => None,
    };
    told.chain(seen).collect()
}

/// Who asked or approved, so that Slack shows their name.
pub fn who(words: &Words, by: &str) -> String {
    match by.split_once(':') {
        Some(("slack", user)) if is_slack_id(user) => format!("<@{user}>"),
        Some(("token", name)) => fill(words.change_by_api, &[("name", &escape(name))]),
        _ if by == "system" => words.change_by_system.to_owned(),
        _ => escape(by),
    }
}

/// What can be done about the change now. Each button carries the change's id and nothing else.
pub fn buttons(words: &Words, story: &ChangeStory) -> Vec<Value> {
    let id = story.change_id.as_str();
    let mut buttons = Vec::new();
    if story.approval == Approval::Waiting && story.state == ChangeState::Scheduled {
        let approve = styled(button(verb::APPROVE, id, words.approve), "primary");
        buttons.push(asking(approve, words.approve, words.approve_sure, words.approve, words.back));
        buttons.push(button(verb::REJECT, id, words.reject));
    }
    if !story.state.is_terminal() && story.withdrawing.is_none() {
        let cancel = styled(button(verb::CANCEL, id, words.cancel), "danger");
        buttons.push(asking(cancel, words.cancel, words.cancel_sure, words.cancel, words.back));
    }
    if story.has_failed() {
        buttons.push(button(verb::RETRY, id, words.retry));
    }
    if story.state == ChangeState::Applied && story.before.is_some() {
        buttons.push(button(verb::ROLLBACK, story.thing.as_str(), words.rollback));
    }
    buttons
}

/// A sign that is told apart at a glance, also without colours.
fn mark(story: &ChangeStory) -> &'static str {
    use ChangeState as S;
    match (story.state, story.sight) {
        (S::Applied, Some(Sight::Unconfirmed)) => ":large_yellow_circle:",
        (S::Applied, _) => ":white_check_mark:",
        (S::RolledBack | S::Refused | S::Expired, _) => ":warning:",
        (S::Cancelled | S::Superseded, _) => ":white_circle:",
        (S::Scheduled | S::Queued | S::Sent | S::Trying, _) => ":hourglass_flowing_sand:",
    }
}

/// The fact and the next step, for a change that did not go well. Of what the box says besides, only what
/// is about the network: a file server's words may hold the name of a file, and so a patient's.
fn why(lang: Lang, step: &Step, story: &ChangeStory) -> Option<String> {
    let mut lines = Vec::new();
    lines.extend(step.code.as_deref().map(|code| verdict(lang, code, &story.after)));
    let told = step.code.as_deref().is_none_or(is_about_the_network);
    if let Some(detail) = step.detail.as_deref().filter(|detail| told && !detail.is_empty()) {
        const SHOWN: usize = 200;
        let detail: String = detail.chars().take(SHOWN).collect();
        lines.push(fill(lang.words().change_detail, &[("detail", &format!("`{}`", code(&detail)))]));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn window(words: &Words, story: &ChangeStory) -> Option<String> {
    let draft = device_model::window::WindowDraft::from(story.window.clone()?);
    let (start, end) = (draft.not_before?, draft.not_after?);
    Some(fill(words.when_window, &[("start", &jst_minute(start)), ("end", &jst_minute(end))]))
}

fn about(words: &Words, story: &ChangeStory) -> String {
    let mut parts = vec![fill(words.change_by, &[("who", &who(words, &story.requested_by))])];
    if let Approval::Given(by) = &story.approval {
        parts.push(fill(words.change_approved_by, &[("who", &who(words, by))]));
    }
    parts.push(fill(words.change_reason, &[("reason", &escape(&story.reason))]));
    if let Some(ticket) = &story.ticket {
        parts.push(fill(words.change_ticket, &[("ticket", &escape(ticket))]));
    }
    parts.join(" · ")
}

/// When each state was reached, by the cloud's clock and, for the box's own steps, by the box's.
fn timeline(words: &Words, story: &ChangeStory) -> String {
    let mut lines = vec![words.change_timeline.to_owned()];
    lines.extend(story.steps.iter().map(|step| {
        let waits = step.state == ChangeState::Scheduled && story.approval != Approval::NotNeeded;
        let reached = if waits { words.state_unapproved } else { words.state(step.state, None) };
        let line = format!("{} {reached}", jst(step.at));
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

fn is_about_the_network(code: &str) -> bool {
    use device_model::outcome::code as c;
    matches!(
        code,
        c::GATEWAY_SILENT
            | c::ADDRESS_IN_USE
            | c::DEFAULT_ROUTE_MOVED
            | c::OVERLAPS_WAN
            | c::NO_CARRIER
            | c::NO_LEASE
            | c::LEASE_REFUSED
            | c::DNS_SILENT
            | c::ADDRESS_NOT_SET
            | c::CLOUD_UNREACHABLE
            | c::INTERRUPTED
            | c::WINDOW_MISSED
    )
}

fn is_slack_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
