//! The app's Home: counts, the map, what needs a hand now with its button, and one's own changes.

use chrono::{DateTime, Utc};

use crate::{
    blocks::{Block, actions, button, context, divider, escape, heading, picture, section, section_with},
    i18n::{Lang, Words, fill, jst, jst_minute},
    lists::entry,
    model::{BoxView, Look, Overview},
    verb,
};
use serde_json::json;

/// A Home takes a hundred blocks.
const SHOWN: usize = 8;

/// `map` is the file of the fleet's map, if there is one.
pub fn home(lang: Lang, overview: &Overview, map: Option<&str>, now: DateTime<Utc>) -> Block {
    let words = lang.words();
    let mut blocks = vec![heading(words.home_title), section(&counts(words, overview))];
    let told = map_in_words(words, overview);
    match map {
        Some(file) => blocks.push(picture(file, &told)),
        None => blocks.push(context(&format!("{}\n{told}", words.home_no_map))),
    }
    let updated = fill(words.home_updated, &[("at", &jst(now))]);
    blocks.push(context(&updated));
    blocks.extend(actions(&[
        button(verb::LAN, "", words.menu_lan),
        button(verb::STATUS, "", words.menu_status),
        button(verb::PENDING, "", words.menu_pending),
        button(verb::APPROVALS, "", words.menu_approvals),
        button(verb::REFRESH, "", words.refresh),
    ]));
    blocks.push(divider());
    blocks.push(heading(words.home_attention));
    if overview.attention.is_empty() && overview.drifted.is_empty() {
        blocks.push(section(words.home_no_attention));
    }
    for story in overview.attention.iter().take(SHOWN) {
        blocks.extend(entry(words, story));
    }
    blocks.extend(overview.drifted.iter().take(SHOWN).map(|device| drifted(words, device)));
    let hidden =
        overview.attention.len().saturating_sub(SHOWN) + overview.drifted.len().saturating_sub(SHOWN);
    if hidden > 0 {
        blocks.push(context(&fill(words.more_changes, &[("count", &hidden.to_string())])));
    }
    blocks.push(divider());
    blocks.push(heading(words.home_mine));
    if overview.mine.is_empty() {
        blocks.push(section(words.home_no_mine));
    }
    for story in overview.mine.iter().take(SHOWN) {
        blocks.extend(entry(words, story));
    }
    json!({"type": "home", "blocks": blocks})
}

/// For whoever may not look.
pub fn closed(lang: Lang) -> Block {
    json!({"type": "home", "blocks": [section(lang.words().no_role)]})
}

/// The words of a look, also on the map's legend.
pub fn look(words: &Words, look: Look) -> &'static str {
    match look {
        Look::Failed => words.look_failed,
        Look::Pending => words.look_pending,
        Look::Offline => words.status_offline,
        Look::Online => words.status_online,
        Look::Unknown => words.look_unknown,
    }
}

fn counts(words: &Words, overview: &Overview) -> String {
    let mut parts = vec![fill(words.home_boxes, &[("count", &overview.squares.len().to_string())])];
    parts.extend(
        [Look::Online, Look::Offline, Look::Unknown, Look::Pending, Look::Failed]
            .into_iter()
            .filter(|kind| *kind != Look::Unknown || overview.count(*kind) > 0)
            .map(|kind| format!("{} *{}*", look(words, kind), overview.count(kind))),
    );
    parts.push(fill(words.home_certificates, &[("count", &overview.certificates_due.to_string())]));
    parts.join("  ·  ")
}

/// The map for whoever cannot see it: which boxes are not well.
fn map_in_words(words: &Words, overview: &Overview) -> String {
    const NAMED: usize = 10;
    let named = |kind: Look| {
        let all: Vec<_> =
            overview.squares.iter().filter(|square| square.look == kind).map(|s| s.label.as_str()).collect();
        let more = all.len().saturating_sub(NAMED);
        let mut text = escape(&all.iter().take(NAMED).copied().collect::<Vec<_>>().join(", "));
        if more > 0 {
            text.push(' ');
            text.push_str(&fill(words.more_boxes, &[("count", &more.to_string())]));
        }
        (!all.is_empty()).then(|| format!("{}: {text}", look(words, kind)))
    };
    let lines: Vec<_> = [Look::Failed, Look::Pending, Look::Offline].into_iter().filter_map(named).collect();
    if lines.is_empty() { words.home_all_well.to_owned() } else { lines.join("\n") }
}

fn drifted(words: &Words, device: &BoxView) -> Block {
    let since = device.drift_since.map(jst_minute).unwrap_or_default();
    let pharmacy = escape(device.pharmacy.as_deref().unwrap_or_default());
    let name = format!("*{pharmacy}* `{}`", device.thing).replace("** ", "");
    let text = format!("{name}\n{}", fill(words.status_drift, &[("at", &since)]));
    section_with(&text, button(verb::STATUS, device.thing.as_str(), words.menu_status))
}
