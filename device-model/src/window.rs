//! When a box may try a change: between two moments, on some days, between two times of day in Japan.
//!
//! The box enforces it, because only the box knows when it is back online.

use chrono::{DateTime, Datelike, FixedOffset, NaiveTime, Utc, Weekday};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{
    draft::Fields,
    fault::{FaultCode, Faults},
};

const DAYS: &str = "mon, tue, wed, thu, fri, sat, sun";
const JST_SECONDS: i32 = 9 * 3600;

/// A window as typed. Any JSON reads as one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct WindowDraft {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<DateTime<Utc>>,
    /// `mon` to `sun`; absent: every day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<Vec<String>>,
    /// Time of day in Japan, `HH:MM`; given together with `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// A window that ends before it begins runs over midnight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What could not be read, and fields that nobody here knows.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub misfits: Faults,
}

/// A window that can be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WindowDraft", into = "WindowDraft")]
pub struct Window {
    not_before: Option<DateTime<Utc>>,
    not_after: Option<DateTime<Utc>>,
    days: Vec<Weekday>,
    times: Option<(NaiveTime, NaiveTime)>,
}

/// Where a moment lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    Inside,
    /// It opens later.
    Outside,
    /// It never opens again.
    Missed,
}

impl Window {
    /// Judges a draft by every rule there is, and refuses one that is over already.
    pub fn parse(draft: WindowDraft, now: DateTime<Utc>) -> Result<Self, Faults> {
        let mut faults = draft.misfits.clone();
        if draft.not_after.is_some_and(|end| end <= now) {
            faults.add("notAfter", FaultCode::InThePast);
        }
        match judged(draft) {
            Ok(window) => faults.unless_any(window),
            Err(more) => {
                faults.extend_elsewhere(more);
                Err(faults)
            }
        }
    }

    pub fn position(&self, now: DateTime<Utc>) -> Position {
        if self.not_after.is_some_and(|end| now >= end) {
            return Position::Missed;
        }
        if self.not_before.is_some_and(|start| now < start) || !self.in_week(now) {
            return Position::Outside;
        }
        Position::Inside
    }

    pub fn not_before(&self) -> Option<DateTime<Utc>> {
        self.not_before
    }

    fn in_week(&self, now: DateTime<Utc>) -> bool {
        let Some(japan) = FixedOffset::east_opt(JST_SECONDS) else {
            return false;
        };
        let local = now.with_timezone(&japan);
        let allowed = |day: Weekday| self.days.is_empty() || self.days.contains(&day);
        match self.times {
            None => allowed(local.weekday()),
            Some((from, to)) if from < to => allowed(local.weekday()) && (from..to).contains(&local.time()),
            // Over midnight: the hours after it belong to the day before.
            Some((from, _)) if local.time() >= from => allowed(local.weekday()),
            Some((_, to)) => local.time() < to && allowed(local.weekday().pred()),
        }
    }
}

impl TryFrom<WindowDraft> for Window {
    type Error = Faults;

    /// Off the wire: fields that nobody here knows are let by.
    fn try_from(draft: WindowDraft) -> Result<Self, Faults> {
        let mut faults = draft.misfits.clone().without_unknown_fields();
        match judged(draft) {
            Ok(window) => faults.unless_any(window),
            Err(more) => {
                faults.extend_elsewhere(more);
                Err(faults)
            }
        }
    }
}

impl From<Value> for WindowDraft {
    fn from(value: Value) -> Self {
        let mut fields = Fields::of(value);
        Self {
            not_before: fields.moment("notBefore"),
            not_after: fields.moment("notAfter"),
            days: fields.texts("days"),
            from: fields.text("from"),
            to: fields.text("to"),
            misfits: fields.finish(),
        }
    }
}

impl<'de> Deserialize<'de> for WindowDraft {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

/// Judges what could be read of a draft.
fn judged(draft: WindowDraft) -> Result<Window, Faults> {
    let mut faults = Faults::default();
    let (not_before, not_after) = (draft.not_before, draft.not_after);
    if not_before.zip(not_after).is_some_and(|(start, end)| end <= start) {
        faults.add("notAfter", FaultCode::NotAfterStart);
    }
    let mut days = Vec::new();
    for (index, text) in draft.days.unwrap_or_default().iter().enumerate() {
        let day = parse_day(text).ok_or(FaultCode::UnknownValue { allowed: DAYS });
        let day = day.and_then(|day| if days.contains(&day) { Err(FaultCode::Duplicate) } else { Ok(day) });
        days.extend(faults.take(&format!("days[{index}]"), day));
    }
    let times = match (draft.from, draft.to) {
        (None, None) => None,
        (from, to) => {
            let from = faults.take("from", parse_time(from.as_deref()));
            let to = faults.take("to", parse_time(to.as_deref()));
            if from.is_some() && from == to {
                faults.add("to", FaultCode::NotAfterStart);
            }
            from.zip(to)
        }
    };
    faults.unless_any(Window { not_before, not_after, days, times })
}

impl From<Window> for WindowDraft {
    fn from(window: Window) -> Self {
        let text = |time: NaiveTime| time.format("%H:%M").to_string();
        let day = |day: &Weekday| day.to_string().to_lowercase();
        Self {
            not_before: window.not_before,
            not_after: window.not_after,
            days: (!window.days.is_empty()).then(|| window.days.iter().map(day).collect()),
            from: window.times.map(|(from, _)| text(from)),
            to: window.times.map(|(_, to)| text(to)),
            misfits: Faults::default(),
        }
    }
}

fn parse_day(text: &str) -> Option<Weekday> {
    DAYS.split(", ").find(|&day| day == text)?.parse().ok()
}

fn parse_time(text: Option<&str>) -> Result<NaiveTime, FaultCode> {
    let text = text.ok_or(FaultCode::Required)?;
    NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| FaultCode::NotATime)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn window(value: Value) -> Window {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_night_window_runs_over_midnight_in_japan() {
        // Friday night: 2026-11-20 is a Friday, JST is UTC+9.
        let night = window(json!({"days": ["fri"], "from": "22:00", "to": "05:00"}));

        assert_eq!(night.position(at("2026-11-20T12:59:00Z")), Position::Outside);
        assert_eq!(night.position(at("2026-11-20T13:00:00Z")), Position::Inside);
        assert_eq!(night.position(at("2026-11-20T19:59:00Z")), Position::Inside);
        assert_eq!(night.position(at("2026-11-20T20:00:00Z")), Position::Outside);
        assert_eq!(night.position(at("2026-11-21T13:00:00Z")), Position::Outside);
    }

    #[test]
    fn a_window_that_is_over_is_missed() {
        let once = window(json!({"notBefore": "2026-11-20T00:00:00Z", "notAfter": "2026-11-20T01:00:00Z"}));

        assert_eq!(once.position(at("2026-11-19T23:59:59Z")), Position::Outside);
        assert_eq!(once.position(at("2026-11-20T00:00:00Z")), Position::Inside);
        assert_eq!(once.position(at("2026-11-20T01:00:00Z")), Position::Missed);
    }

    #[test]
    fn what_cannot_be_read_is_told_once() {
        let draft = WindowDraft::from(json!({"notBefore": "yesterday", "days": [1], "from": 3}));

        let faults = Window::parse(draft, at("2026-11-20T00:00:00Z")).unwrap_err();

        let found: Vec<_> = faults.iter().map(|fault| (fault.field.as_str(), fault.code.name())).collect();
        assert_eq!(found, [("notBefore", "NOT_A_TIMESTAMP"), ("days[0]", "NOT_TEXT"), ("from", "NOT_TEXT")]);
    }

    #[test]
    fn every_fault_of_a_window_is_told() {
        let draft =
            WindowDraft::from(json!({"notAfter": "2026-01-01T00:00:00Z", "days": ["someday", "mon", "mon"],
            "from": "25:00", "until": 1}));

        let faults = Window::parse(draft, at("2026-11-20T00:00:00Z")).unwrap_err();

        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["until", "notAfter", "days[0]", "days[2]", "from", "to"]);
    }
}
