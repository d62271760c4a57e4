//! The modal in which LAN settings are changed, filled with what runs today or with what was typed.

use chrono::{DateTime, Utc};
use device_model::{
    lan::{Addressing, LanSettings},
    thing_name::ThingName,
};
use serde::{Deserialize, Serialize};

use crate::{
    blocks::{Block, Field, Modal, context, divider, section},
    form::Values,
    i18n::{Lang, Words},
    model::{BoxView, ChangeStory},
    settings_text::{open, whose},
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
    pub const SHARE: &str = "share";
    pub const SHARE_USER: &str = "share_user";
    pub const WHEN: &str = "when";
    pub const START: &str = "start";
    pub const HOURS: &str = "hours";
    pub const REASON: &str = "reason";
    pub const TICKET: &str = "ticket";
}

/// How long a reserved change may wait for its box, in hours.
const HOURS: [&str; 4] = ["1", "2", "4", "8"];
const USUAL_HOURS: &str = "2";

/// What the modal carries along unseen: ids, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    pub thing: ThingName,
    /// The form has no fields for a fixed address, since it stands at DHCP.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hides_addresses: bool,
}

/// The form as it opens: what runs today, at once.
pub fn lan_modal(lang: Lang, device: &BoxView, open: Option<&ChangeStory>) -> Block {
    modal(lang, device, open, &today(device))
}

/// The form after a choice in it: the fields that the choices leave, with what was typed in them.
pub fn chosen(lang: Lang, device: &BoxView, open: Option<&ChangeStory>, typed: &Values) -> Block {
    let mut values = today(device);
    values.extend(typed.clone());
    modal(lang, device, open, &values)
}

/// What a change has to say for itself.
pub fn why_fields(words: &Words, values: &Values) -> [Block; 2] {
    let value = |name: &str| values.get(name).cloned();
    [
        Field {
            name: field::REASON,
            label: words.reason,
            hint: Some(words.reason_hint),
            optional: false,
            tells: false,
        }
        .text(value(field::REASON), 500, true),
        Field { name: field::TICKET, label: words.ticket, hint: None, optional: true, tells: false }.text(
            value(field::TICKET),
            50,
            false,
        ),
    ]
}

fn modal(lang: Lang, device: &BoxView, open_change: Option<&ChangeStory>, values: &Values) -> Block {
    let words = lang.words();
    let mut blocks = vec![section(&whose(words, device))];
    if let Some(story) = open_change {
        blocks.push(section(&format!("{}\n{}", open(words, story), words.open_form)));
    }
    if device.lan.is_none() {
        blocks.push(section(words.lan_unknown_settings));
    }
    blocks.push(divider());
    blocks.extend(settings_fields(words, values));
    if device.share.is_some() {
        blocks.push(divider());
        blocks.extend(share_fields(words, values));
    }
    blocks.push(divider());
    blocks.extend(time_fields(words, values));
    blocks.extend(why_fields(words, values));
    blocks.push(context(words.lan_next));
    let metadata = Metadata { thing: device.thing.clone(), hides_addresses: !asks_for_addresses(values) };
    Modal {
        callback: CALLBACK,
        title: words.lan_title,
        submit: Some(words.lan_check),
        close: words.close,
        metadata: serde_json::to_string(&metadata).unwrap_or_default(),
        clears: false,
    }
    .with(&blocks)
}

fn asks_for_addresses(values: &Values) -> bool {
    values.get(field::MODE).is_none_or(|mode| mode != "dhcp")
}

fn settings_fields(words: &Words, values: &Values) -> Vec<Block> {
    let value = |name: &str| values.get(name).cloned();
    let mode = values.get(field::MODE).map(String::as_str);
    let modes = [("dhcp", words.mode_dhcp), ("static", words.mode_static)];
    let optional = |name, label, hint| Field { name, label, hint, optional: true, tells: false };
    let needed = |name, label, hint| Field { optional: false, ..optional(name, label, hint) };
    let addresses = asks_for_addresses(values);
    let hint = (!addresses).then_some(words.mode_hint);
    let mut fields = vec![
        Field { name: field::MODE, label: words.mode, hint, optional: false, tells: true }
            .choice(&modes, mode),
    ];
    if addresses {
        fields.extend([
            needed(field::ADDRESS, words.address, None).text(value(field::ADDRESS), 64, false),
            needed(field::MASK, words.mask, Some(words.mask_hint)).text(value(field::MASK), 64, false),
            optional(field::GATEWAY, words.gateway, None).text(value(field::GATEWAY), 64, false),
        ]);
    }
    fields.extend([
        optional(field::DNS, words.dns, Some(words.dns_hint)).text(value(field::DNS), 200, false),
        optional(field::ROUTES, words.routes, Some(words.routes_hint)).text(value(field::ROUTES), 1000, true),
    ]);
    fields
}

/// Its password is made by the box, and shown on a page of its own.
fn share_fields(words: &Words, values: &Values) -> [Block; 3] {
    let text = |name, label, max| {
        let field = Field { name, label, hint: None, optional: false, tells: false };
        field.text(values.get(name).cloned(), max, false)
    };
    [
        text(field::SHARE, words.share, 80),
        text(field::SHARE_USER, words.share_user, 32),
        context(words.share_note),
    ]
}

fn time_fields(words: &Words, values: &Values) -> Vec<Block> {
    let when = values.get(field::WHEN).map_or("now", String::as_str);
    let choices = [("now", words.when_now), ("later", words.when_later)];
    let mut fields = vec![
        Field { name: field::WHEN, label: words.when, hint: None, optional: false, tells: true }
            .choice(&choices, Some(when)),
    ];
    if when == "later" {
        let start = values.get(field::START).and_then(|text| text.parse().ok());
        let hours: Vec<_> = HOURS.into_iter().zip(words.hours).collect();
        let chosen = values.get(field::HOURS).map_or(USUAL_HOURS, String::as_str);
        fields.extend([
            Field { name: field::START, label: words.start, hint: None, optional: false, tells: false }
                .moment(start),
            Field {
                name: field::HOURS,
                label: words.length,
                hint: Some(words.length_hint),
                optional: false,
                tells: false,
            }
            .choice(&hours, Some(chosen)),
        ]);
    }
    fields
}

/// When a reserved change may begin, and by when it must have begun.
pub fn reserved(start: &str, hours: &str) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let start = DateTime::from_timestamp(start.parse().ok()?, 0)?;
    let hours: i64 = HOURS.into_iter().find(|known| *known == hours)?.parse().ok()?;
    Some((start, start.checked_add_signed(chrono::TimeDelta::hours(hours))?))
}

/// What runs today, as it would be typed.
fn today(device: &BoxView) -> Values {
    let mut values = Values::new();
    let mut put = |name: &str, value: String| drop(values.insert(name.to_owned(), value));
    if let Some(share) = &device.share {
        put(field::SHARE, share.name.clone());
        put(field::SHARE_USER, share.user.clone());
    }
    let Some(lan) = &device.lan else {
        put(field::MODE, "dhcp".to_owned());
        return values;
    };
    match lan.addressing() {
        Addressing::Dhcp => put(field::MODE, "dhcp".to_owned()),
        Addressing::Static { address, gateway } => {
            put(field::MODE, "static".to_owned());
            put(field::ADDRESS, address.addr().to_string());
            put(field::MASK, address.netmask().to_string());
            if let Some(gateway) = gateway {
                put(field::GATEWAY, gateway.to_string());
            }
        }
    }
    put(field::DNS, dns(lan));
    put(field::ROUTES, routes(lan));
    values
}

fn dns(settings: &LanSettings) -> String {
    settings.dns().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn routes(settings: &LanSettings) -> String {
    let routes = settings.routes().iter();
    routes.map(|route| format!("{} {}", route.to, route.via)).collect::<Vec<_>>().join("\n")
}
