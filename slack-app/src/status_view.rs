//! How a box is: what runs, when it was heard of, what waits on it.

use crate::{
    blocks::{Block, actions, button, code, context, escape, section, styled},
    i18n::{Lang, Words, fill, jst, jst_minute},
    model::{BoxView, Health, Sight},
    settings_text, verb,
};

/// The status with the buttons for what one does next.
pub fn status(lang: Lang, device: &BoxView) -> Vec<Block> {
    let words = lang.words();
    let mut blocks = vec![section(&heading(words, device)), section(&lan(words, device))];
    if let Some(health) = &device.health {
        blocks.push(context(&lines(words, health)));
    }
    let thing = device.thing.as_str();
    let mut buttons = vec![styled(button(verb::LAN, thing, words.menu_lan), "primary")];
    buttons.push(button(verb::HISTORY, thing, words.menu_history));
    buttons.push(button(verb::ROLLBACK, thing, words.rollback));
    if device.share.is_some() {
        buttons.push(button(verb::PASSWORD, thing, words.password_page));
    }
    blocks.extend(actions(&buttons));
    blocks
}

fn heading(words: &Words, device: &BoxView) -> String {
    let pharmacy = escape(device.pharmacy.as_deref().unwrap_or_default());
    let heading = [("thing", device.thing.as_str()), ("pharmacy", pharmacy.as_str())];
    let mut lines = vec![fill(words.status_title, &heading).trim_end().to_owned()];
    let mut line = match device.online {
        Some(true) => words.status_online,
        Some(false) => words.status_offline,
        None => words.status_unknown,
    }
    .to_owned();
    if let Some(at) = device.seen_at {
        line.push_str(" · ");
        line.push_str(&fill(words.status_seen, &[("at", &jst(at))]));
    }
    lines.push(line);
    lines.extend(device.drift_since.map(|at| fill(words.status_drift, &[("at", &jst(at))])));
    lines.join("\n")
}

fn lan(words: &Words, device: &BoxView) -> String {
    let mut lines = Vec::new();
    match &device.lan {
        Some(lan) => {
            lines.push(words.status_lan.to_owned());
            lines.push(settings_text::text(words, lan));
        }
        None => lines.push(words.status_never_reported.to_owned()),
    }
    if let Some(address) = device.effective.as_ref().and_then(|now| now.address.as_deref()) {
        lines.push(fill(words.status_effective, &[("address", &escape(address))]));
    }
    if let Some(share) = &device.share {
        lines.push(fill(words.status_share, &[("name", &format!("`{}`", code(&share.name)))]));
    }
    lines.push(device.open_change.as_ref().map_or_else(
        || words.status_no_open.to_owned(),
        |(change, state)| {
            let state = words.state(*state, device.online);
            fill(words.status_open, &[("change", change.as_str()), ("state", state)])
        },
    ));
    lines.join("\n")
}

fn lines(words: &Words, health: &Health) -> String {
    let mut lines = Vec::new();
    lines.extend(health.applied_at.map(|at| {
        let seen = match health.sight {
            Some(Sight::Confirmed(at)) => fill(words.status_sight, &[("at", &jst_minute(at))]),
            Some(Sight::Unconfirmed) => words.status_no_sight.to_owned(),
            None => String::new(),
        };
        format!("{}{seen}", fill(words.status_applied, &[("at", &jst_minute(at))]))
    }));
    lines.extend(health.last_upload_at.map(|at| fill(words.status_last_upload, &[("at", &jst_minute(at))])));
    if health.backlog > 0 {
        let oldest = health.oldest_at.map_or_else(|| words.unknown.to_owned(), jst_minute);
        let values = [("count", health.backlog.to_string()), ("oldest", oldest)];
        lines.push(fill(words.status_backlog, &values.each_ref().map(|(k, v)| (*k, v.as_str()))));
    }
    if health.quarantined > 0 {
        lines.push(fill(words.status_quarantined, &[("count", &health.quarantined.to_string())]));
    }
    lines.extend(
        health.certificate_issued_at.map(|at| fill(words.status_certificate, &[("at", &jst_minute(at))])),
    );
    lines.extend(
        health
            .agent_version
            .as_ref()
            .map(|version| fill(words.status_agent, &[("version", &escape(version))])),
    );
    if lines.is_empty() {
        lines.push(words.status_no_health.to_owned());
    }
    lines.join("\n")
}
