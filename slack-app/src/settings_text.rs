//! LAN settings in words: one side by itself, two sides against each other, and whose box it is.

use device_model::{
    lan::{Addressing, LanSettings},
    share::ShareSettings,
};

use crate::{
    blocks::{code, escape},
    i18n::{Words, fill},
    message::{state, who},
    model::{BoxView, ChangeStory, ShareChange},
};

/// Which box, and whose it is.
pub fn whose(words: &Words, device: &BoxView) -> String {
    let thing = device.thing.as_str();
    match device.pharmacy.as_deref() {
        Some(pharmacy) => fill(words.lan_box, &[("pharmacy", &escape(pharmacy)), ("thing", thing)]),
        None => fill(words.lan_box_without_pharmacy, &[("thing", thing)]),
    }
}

/// Settings as a block of text.
pub fn text(words: &Words, settings: &LanSettings) -> String {
    let lines = lines(words, settings);
    let lines = lines.iter().map(|(label, value)| format!("{label}: `{}`", code(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// On one line, for lists and spreadsheets.
pub fn brief(words: &Words, settings: Option<&LanSettings>) -> String {
    let Some(settings) = settings else {
        return words.unknown.to_owned();
    };
    match settings.addressing() {
        Addressing::Dhcp => words.mode_dhcp.to_owned(),
        Addressing::Static { address, gateway: None } => address.to_string(),
        Addressing::Static { address, gateway: Some(gateway) } => format!("{address} ({gateway})"),
    }
}

/// Field by field; one that stays the same is said once. Of the share only what changes.
pub fn difference(
    words: &Words,
    before: Option<&LanSettings>,
    after: &LanSettings,
    share: Option<&ShareChange>,
) -> String {
    let of = |settings: Option<&LanSettings>| settings.map(|lan| lines(words, lan)).unwrap_or_default();
    let (old_lines, new_lines) = (of(before), of(Some(after)));
    let missing = if before.is_some() { words.none } else { words.unknown };
    let value = |lines: &[(&str, String)], label: &str, missing: &str| {
        let line = lines.iter().find(|(known, _)| *known == label);
        line.map_or_else(|| missing.to_owned(), |(_, value)| value.clone())
    };
    // In the order of the form, whichever side has the field.
    let order = [words.mode, words.address, words.mask, words.gateway, words.dns, words.mtu, words.routes];
    let told = |label: &&str| old_lines.iter().chain(&new_lines).any(|(known, _)| known == label);
    let line = |label: &str| {
        let (old, new) = (value(&old_lines, label, missing), value(&new_lines, label, words.none));
        if old == new {
            format!("{label}: {}", escape(&new))
        } else {
            format!("{label}: {} → *{}*", escape(&old), escape(&new))
        }
    };
    let lan = order.into_iter().filter(told).map(line).collect::<Vec<_>>().join("\n");
    format!("{lan}{}", share_difference(words, share))
}

/// What changes of a share, on lines of its own.
pub fn share_difference(words: &Words, share: Option<&ShareChange>) -> String {
    let Some(ShareChange { before, after, new_password }) = share else {
        return String::new();
    };
    let names = |share: &ShareSettings| [share.name.clone(), share.user.clone(), share.workgroup.clone()];
    let old = before.as_ref().map_or([(); 3].map(|()| words.unknown.to_owned()), names);
    let labels = [words.share, words.share_user, words.share_workgroup];
    let told = labels.into_iter().zip(old).zip(names(after)).filter(|((_, old), new)| old != new);
    let told = told.map(|((label, old), new)| format!("\n{label}: {} → *{}*", escape(&old), escape(&new)));
    let password =
        new_password.then(|| format!("\n{}: *{}*", words.share_password, words.share_password_new));
    told.chain(password).collect()
}

/// What the change means for the receipt computer, in words.
pub fn risk(words: &Words, device: &BoxView, after: &LanSettings, share: Option<&ShareChange>) -> String {
    let user = share.filter(|share| share.before.as_ref().is_none_or(|old| old.user != share.after.user));
    let user = user.map(|share| fill(words.risk_user, &[("user", &code(&share.after.user))]));
    let place = place_risk(words, device, after, share);
    let nothing = || words.risk_none.to_owned();
    match (place, user) {
        (place, None) => place.unwrap_or_else(nothing),
        (None, Some(user)) => user,
        (Some(place), Some(user)) => format!("{place}\n{user}"),
    }
}

/// Where the receipt computer has to save to, if that becomes another place.
fn place_risk(
    words: &Words,
    device: &BoxView,
    after: &LanSettings,
    share: Option<&ShareChange>,
) -> Option<String> {
    let renamed =
        share.is_some_and(|share| share.before.as_ref().is_none_or(|old| old.name != share.after.name));
    let before = device.lan.as_ref().map(LanSettings::addressing);
    let share = share.map(|share| &share.after).or(device.share.as_ref());
    let share = share.map_or("rx", |share| share.name.as_str());
    let path = |address: &str| {
        let path = format!("`\\\\{}\\{}`", code(address), code(share));
        fill(words.risk_address, &[("path", &path)])
    };
    let leased = device.effective.as_ref().and_then(|now| now.address.as_deref()?.split('/').next());
    match (before, after.addressing()) {
        (Some(Addressing::Static { address: old, .. }), Addressing::Static { address: new, .. })
            if old.addr() == new.addr() && !renamed =>
        {
            None
        }
        (Some(Addressing::Dhcp), Addressing::Dhcp) if !renamed => None,
        (_, Addressing::Static { address, .. }) => Some(path(&address.addr().to_string())),
        (Some(Addressing::Dhcp), Addressing::Dhcp) if leased.is_some() => leased.map(path),
        (_, Addressing::Dhcp) => Some(fill(words.risk_dhcp, &[("share", &code(share))])),
    }
}

/// The change that is open on a box: who asked for what, how far it is.
pub fn open(words: &Words, story: &ChangeStory) -> String {
    let (before, after) = (brief(words, story.before.as_ref()), brief(words, Some(&story.after)));
    let what = format!("{before} → *{after}*{}", share_difference(words, story.share.as_ref()));
    let values = [
        ("state", state(words, story)),
        ("who", &who(words, &story.requested_by)),
        ("what", &what),
        ("reason", &escape(&story.reason)),
        ("change", story.change_id.as_str()),
    ];
    fill(words.open_told, &values)
}

/// Settings, one line a field: its label and its value.
fn lines<'a>(words: &Words, settings: &LanSettings) -> Vec<(&'a str, String)> {
    let mut lines = Vec::new();
    let mut line = |label: &'static str, value: String| lines.push((label, value));
    match settings.addressing() {
        Addressing::Dhcp => line(words.mode, words.mode_dhcp.to_owned()),
        Addressing::Static { address, gateway } => {
            line(words.mode, words.mode_static.to_owned());
            line(words.address, address.addr().to_string());
            line(words.mask, format!("{} (/{})", address.netmask(), address.prefix_len()));
            if let Some(gateway) = gateway {
                line(words.gateway, gateway.to_string());
            }
        }
    }
    let joined = |parts: Vec<String>| parts.join(", ");
    if !settings.dns().is_empty() {
        line(words.dns, joined(settings.dns().iter().map(ToString::to_string).collect()));
    }
    if let Some(mtu) = settings.mtu() {
        line(words.mtu, mtu.to_string());
    }
    if !settings.routes().is_empty() {
        let routes = settings.routes().iter().map(|route| format!("{} → {}", route.to, route.via));
        line(words.routes, joined(routes.collect()));
    }
    lines
}
