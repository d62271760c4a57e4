//! Lists of changes: what became of a box's changes, what is not through, what waits for approval.

use chrono::{DateTime, Utc};
use device_model::{lan::LanSettings, share::ShareSettings};

use crate::{
    blocks::{Block, actions, button, context, divider, escape, section},
    i18n::{Lang, Words, fill, jst_minute},
    message::{buttons, state, who},
    model::{Approval, BoxView, ChangeStory},
    settings_text::{brief, share_difference, whose},
    verb,
};

/// A message takes fifty blocks; each change is two.
pub const SHOWN: usize = 10;

/// Who changed what and when, the newest first.
pub fn history(lang: Lang, device: &BoxView, changes: &[ChangeStory]) -> Vec<Block> {
    let words = lang.words();
    let mut blocks = vec![section(&format!("{}\n{}", words.history_heading, whose(words, device)))];
    if changes.is_empty() {
        blocks.push(section(words.history_none));
        return blocks;
    }
    blocks.push(divider());
    for story in changes.iter().take(SHOWN) {
        blocks.push(section(&format!("{}\n{}", line(words, story), settings(words, story))));
        blocks.push(context(&about(words, story)));
    }
    let thing = device.thing.as_str();
    blocks.extend(actions(&[
        button(verb::CSV, thing, words.csv),
        button(verb::ROLLBACK, thing, words.rollback),
    ]));
    blocks
}

/// Changes that are not through, each with what can be done about it.
pub fn pending(lang: Lang, changes: &[ChangeStory]) -> Vec<Block> {
    let words = lang.words();
    listed(words, words.pending_heading, words.pending_none, changes)
}

/// Changes that wait for somebody's approval.
pub fn approvals(lang: Lang, changes: &[ChangeStory]) -> Vec<Block> {
    let words = lang.words();
    listed(words, words.approvals_heading, words.approvals_none, changes)
}

/// One change with its buttons.
pub fn entry(words: &Words, story: &ChangeStory) -> Vec<Block> {
    let pharmacy = story.pharmacy.as_deref().unwrap_or_default();
    let name = format!("*{}* `{}`", escape(pharmacy), story.thing).replace("** ", "");
    let text = format!("{name} {}\n{}", line(words, story), settings(words, story));
    let mut blocks = vec![section(&text), context(&about(words, story))];
    blocks.extend(actions(&buttons(words, story)));
    blocks
}

/// The same as a table for a spreadsheet, in UTF-8 with the mark that Excel looks for.
pub fn csv(lang: Lang, changes: &[ChangeStory]) -> String {
    let words = lang.words();
    let mut text = String::from("\u{feff}");
    let mut row = |cells: &[&str]| {
        let cells: Vec<_> = cells.iter().map(|cell| quoted(cell)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    };
    row(&words.csv_columns);
    for story in changes {
        let approved = match &story.approval {
            Approval::Given(by) => by.as_str(),
            Approval::NotNeeded | Approval::Waiting => "",
        };
        row(&[
            &jst_minute(story.requested_at),
            story.thing.as_str(),
            story.pharmacy.as_deref().unwrap_or_default(),
            &story.requested_by,
            approved,
            state(words, story),
            &jst_minute(since(story)),
            &side(words, story.before.as_ref(), story.share.as_ref().and_then(|share| share.before.as_ref())),
            &side(words, Some(&story.after), story.share.as_ref().map(|share| &share.after)),
            &story.reason,
            story.ticket.as_deref().unwrap_or_default(),
            story.change_id.as_str(),
        ]);
    }
    text
}

fn listed(words: &Words, heading: &str, none: &str, changes: &[ChangeStory]) -> Vec<Block> {
    let mut blocks = vec![section(heading)];
    if changes.is_empty() {
        blocks.push(section(none));
    }
    for story in changes.iter().take(SHOWN) {
        blocks.push(divider());
        blocks.extend(entry(words, story));
    }
    if let Some(more) = changes.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        blocks.push(context(&fill(words.more_changes, &[("count", &more.to_string())])));
    }
    blocks
}

fn line(words: &Words, story: &ChangeStory) -> String {
    format!("*{}* · {}", state(words, story), jst_minute(since(story)))
}

/// When it came into the state that it is in.
fn since(story: &ChangeStory) -> DateTime<Utc> {
    story.steps.last().map_or(story.requested_at, |step| step.at)
}

fn settings(words: &Words, story: &ChangeStory) -> String {
    let (before, after) = (brief(words, story.before.as_ref()), brief(words, Some(&story.after)));
    format!("{before} → {after}{}", share_difference(words, story.share.as_ref()))
}

fn about(words: &Words, story: &ChangeStory) -> String {
    let by = fill(words.change_by, &[("who", &who(words, &story.requested_by))]);
    let mut parts = vec![format!("{by} ({})", jst_minute(story.requested_at))];
    if let Approval::Given(by) = &story.approval {
        parts.push(fill(words.change_approved_by, &[("who", &who(words, by))]));
    }
    parts.push(fill(words.change_reason, &[("reason", &escape(&story.reason))]));
    if let Some(ticket) = &story.ticket {
        parts.push(fill(words.change_ticket, &[("ticket", &escape(ticket))]));
    }
    parts.push(format!("`{}`", story.change_id));
    parts.join(" · ")
}

/// Settings in one cell; of the share only if it changes.
fn side(words: &Words, lan: Option<&LanSettings>, share: Option<&ShareSettings>) -> String {
    let lan = brief(words, lan);
    match share {
        Some(share) => format!("{lan} / {}: {} ({})", words.share, share.name, share.user),
        None => lan,
    }
}

/// A cell that begins like a formula would be run by a spreadsheet.
fn quoted(cell: &str) -> String {
    let guard = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", cell.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_run_as_a_formula() {
        assert_eq!(quoted("=cmd()"), "\"'=cmd()\"");
        assert_eq!(quoted("a \"b\", c"), "\"a \"\"b\"\", c\"");
    }
}
