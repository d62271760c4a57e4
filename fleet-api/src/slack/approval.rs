//! Which changes need a second pair of eyes, by configuration.

use std::str::FromStr;

use chrono::{DateTime, Datelike, FixedOffset, NaiveTime, Utc, Weekday};
use device_model::lan::LanSettings;

use crate::fleet::device::Device;

/// `static_address,outside=09:00-18:00,tag=pilot,pharmacy=HIMAWARI-`: any of them is enough. Empty: none is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApprovalRules(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    All,
    /// A fixed address comes, goes or becomes another: the receipt computer has to follow.
    StaticAddress,
    /// Asked for outside these hours in Japan, or on a Saturday or Sunday.
    Outside(NaiveTime, NaiveTime),
    /// Of a box with this tag.
    Tag(String),
    /// Of a pharmacy whose code begins so.
    Pharmacy(String),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no rule: all, static_address, outside=09:00-18:00, tag=NAME, pharmacy=CODE")]
pub struct NotARule(String);

/// What the rules look at.
pub struct Asked<'a> {
    pub before: Option<&'a LanSettings>,
    pub after: &'a LanSettings,
    /// The pharmacy's code.
    pub pharmacy: Option<&'a str>,
    /// The box's.
    pub tags: &'a [String],
    pub at: DateTime<Utc>,
}

impl<'a> Asked<'a> {
    pub fn of(device: &'a Device, after: &'a LanSettings, at: DateTime<Utc>) -> Self {
        Self {
            before: device.reported.as_ref().map(|reported| &reported.lan),
            after,
            pharmacy: device.pharmacy.as_ref().map(|pharmacy| pharmacy.code.as_str()),
            tags: &device.tags,
            at,
        }
    }
}

impl ApprovalRules {
    pub fn apply_to(&self, asked: &Asked<'_>) -> bool {
        self.0.iter().any(|rule| match rule {
            Rule::All => true,
            Rule::StaticAddress => asked.before.and_then(LanSettings::address) != asked.after.address(),
            Rule::Outside(from, to) => is_outside(asked.at, *from, *to),
            Rule::Tag(tag) => asked.tags.contains(tag),
            Rule::Pharmacy(prefix) => asked.pharmacy.is_some_and(|code| code.starts_with(prefix.as_str())),
        })
    }
}

impl FromStr for ApprovalRules {
    type Err = NotARule;

    fn from_str(text: &str) -> Result<Self, NotARule> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty() && *part != "none");
        parts
            .map(|part| rule(part).ok_or_else(|| NotARule(part.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn rule(text: &str) -> Option<Rule> {
    match text.split_once('=') {
        None if text == "all" => Some(Rule::All),
        None if text == "static_address" => Some(Rule::StaticAddress),
        Some(("outside", hours)) => {
            let (from, to) = hours.split_once('-')?;
            let time = |text| NaiveTime::parse_from_str(text, "%H:%M").ok();
            Some(Rule::Outside(time(from)?, time(to)?))
        }
        Some(("tag", tag)) if !tag.is_empty() => Some(Rule::Tag(tag.to_owned())),
        Some(("pharmacy", code)) if !code.is_empty() => Some(Rule::Pharmacy(code.to_owned())),
        _ => None,
    }
}

fn is_outside(at: DateTime<Utc>, from: NaiveTime, to: NaiveTime) -> bool {
    const JAPAN_SECONDS: i32 = 9 * 3600;
    let Some(japan) = FixedOffset::east_opt(JAPAN_SECONDS) else {
        return true;
    };
    let local = at.with_timezone(&japan);
    matches!(local.weekday(), Weekday::Sat | Weekday::Sun) || !(from..to).contains(&local.time())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lan(value: serde_json::Value) -> LanSettings {
        serde_json::from_value(value).unwrap()
    }

    fn apply(rules: &str, before: &LanSettings, after: &LanSettings, at: &str) -> bool {
        let rules: ApprovalRules = rules.parse().unwrap();
        let (before, pharmacy, tags) =
            (Some(before), Some("HIMAWARI-3"), &["新築".to_owned(), "pilot".to_owned()]);
        rules.apply_to(&Asked { before, after, pharmacy, tags, at: at.parse().unwrap() })
    }

    #[test]
    fn a_change_needs_approval_if_any_rule_says_so() {
        let dhcp = LanSettings::dhcp();
        let nine = lan(json!({"mode": "static", "address": "192.168.10.9/24"}));
        let routed = lan(json!({"mode": "static", "address": "192.168.10.9/24", "gateway": "192.168.10.1"}));
        // A Thursday; Japan is nine hours ahead.
        let (noon, night, sunday) = ("2026-11-26T03:00:00Z", "2026-11-26T13:00:00Z", "2026-11-29T03:00:00Z");

        assert!(!apply("none", &dhcp, &nine, night));
        assert!(apply("all", &nine, &nine, noon));
        assert!(apply("static_address", &dhcp, &nine, noon));
        assert!(!apply("static_address", &nine, &routed, noon));
        assert!(!apply("outside=09:00-18:00", &dhcp, &nine, noon));
        assert!(apply("outside=09:00-18:00", &dhcp, &nine, night));
        assert!(apply("outside=09:00-18:00", &dhcp, &nine, sunday));
        assert!(apply("pharmacy=HIMAWARI-, static_address", &nine, &nine, noon));
        assert!(!apply("pharmacy=SAKURA", &nine, &nine, noon));
        assert!(apply("tag=pilot", &nine, &nine, noon));
        assert!(apply("tag=新築", &nine, &nine, noon));
        assert!(!apply("tag=pil", &nine, &nine, noon), "a tag is matched whole");
    }

    #[test]
    fn a_rule_that_does_not_exist_is_told() {
        for text in ["never", "outside=9", "pharmacy=", "tag=", "all=1"] {
            assert!(text.parse::<ApprovalRules>().is_err(), "{text}");
        }
    }
}
