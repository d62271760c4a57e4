//! The modal in which LAN settings are changed, filled with what runs today, and settings in words.

use device_model::{
    lan::{Addressing, LanSettings},
    thing_name::ThingName,
};
use serde::{Deserialize, Serialize};
use slack_morphism::prelude::*;

use crate::{
    blocks::{Field, code, context, divider, escape, section},
    fleet::BoxView,
    i18n::{Lang, Words, fill},
};

/// By which a submission is known to be of this modal.
pub const CALLBACK: &str = "lan";

/// The fields of the modal. A block, its action and its field in [`crate::form`] share one name.
pub mod field {
    pub const MODE: &str = "mode";
    pub const ADDRESS: &str = "address";
    pub const MASK: &str = "mask";
    pub const GATEWAY: &str = "gateway";
    pub const DNS: &str = "dns";
    pub const ROUTES: &str = "routes";
    pub const REASON: &str = "reason";
    pub const TICKET: &str = "ticket";
}

/// What the modal carries along unseen: ids, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    pub thing: ThingName,
}

pub fn lan_modal(lang: Lang, device: &BoxView) -> SlackView {
    let words = lang.words();
    let mut blocks = vec![section(&whose(words, device))];
    if device.lan.is_none() {
        blocks.push(section(words.lan_unknown_settings));
    }
    blocks.push(divider());
    blocks.extend(settings_fields(words, device.lan.as_ref()));
    blocks.push(context(words.lan_risk));
    blocks.extend(why_fields(words));
    let metadata = Metadata { thing: device.thing.clone() };
    SlackView::Modal(
        SlackModalView::new(words.lan_title.into(), blocks)
            .with_callback_id(CALLBACK.into())
            .with_private_metadata(serde_json::to_string(&metadata).unwrap_or_default())
            .with_submit(words.lan_submit.into())
            .with_close(words.close.into()),
    )
}

/// Which box, and whose it is.
pub fn whose(words: &Words, device: &BoxView) -> String {
    let thing = device.thing.as_str();
    match device.pharmacy.as_deref() {
        Some(pharmacy) => fill(words.lan_box, &[("pharmacy", &escape(pharmacy)), ("thing", thing)]),
        None => fill(words.lan_box_without_pharmacy, &[("thing", thing)]),
    }
}

/// Settings, one line a field: its label and its value.
pub fn lines(words: &Words, settings: &LanSettings) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut line = |label: &str, value: String| lines.push((label.to_owned(), value));
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
    if !settings.dns().is_empty() {
        line(words.dns, dns(settings, ", "));
    }
    if let Some(mtu) = settings.mtu() {
        line(words.mtu, mtu.to_string());
    }
    if !settings.routes().is_empty() {
        line(words.routes, routes(settings, " → ", ", "));
    }
    lines
}

/// Settings as a block of text.
pub fn text(words: &Words, settings: &LanSettings) -> String {
    let lines = lines(words, settings);
    let lines = lines.iter().map(|(label, value)| format!("{label}: `{}`", code(value)));
    lines.collect::<Vec<_>>().join("\n")
}

fn settings_fields(words: &Words, lan: Option<&LanSettings>) -> Vec<SlackBlock> {
    let (mode, address, gateway) = match lan.map(LanSettings::addressing) {
        Some(Addressing::Static { address, gateway }) => ("static", Some(*address), *gateway),
        Some(Addressing::Dhcp) | None => ("dhcp", None, None),
    };
    let modes = [("dhcp", words.mode_dhcp), ("static", words.mode_static)];
    let optional = |name, label, hint| Field { name, label, hint, optional: true };
    vec![
        Field { name: field::MODE, label: words.mode, hint: Some(words.mode_hint), optional: false }
            .choice(&modes, Some(mode)),
        optional(field::ADDRESS, words.address, None).text(
            address.map(|address| address.addr().to_string()),
            64,
            false,
        ),
        optional(field::MASK, words.mask, Some(words.mask_hint)).text(
            address.map(|address| address.netmask().to_string()),
            64,
            false,
        ),
        optional(field::GATEWAY, words.gateway, None).text(
            gateway.map(|gateway| gateway.to_string()),
            64,
            false,
        ),
        optional(field::DNS, words.dns, Some(words.dns_hint)).text(lan.map(|lan| dns(lan, ", ")), 200, false),
        optional(field::ROUTES, words.routes, Some(words.routes_hint)).text(
            lan.map(|lan| routes(lan, " ", "\n")),
            1000,
            true,
        ),
    ]
}

fn why_fields(words: &Words) -> [SlackBlock; 2] {
    [
        Field { name: field::REASON, label: words.reason, hint: Some(words.reason_hint), optional: false }
            .text(None, 500, true),
        Field { name: field::TICKET, label: words.ticket, hint: None, optional: true }.text(None, 50, false),
    ]
}

fn dns(settings: &LanSettings, separator: &str) -> String {
    let servers = settings.dns().iter().map(ToString::to_string);
    servers.collect::<Vec<_>>().join(separator)
}

fn routes(settings: &LanSettings, arrow: &str, separator: &str) -> String {
    let routes = settings.routes().iter();
    let routes = routes.map(|route| format!("{}{arrow}{}", route.to, route.via));
    routes.collect::<Vec<_>>().join(separator)
}
