//! Every text that people read in Slack, in Japanese and in English.
//!
//! A text is a field of [`Words`], so the compiler misses none; a test compares what both say.

mod codes;
mod en;
mod ja;

use chrono::{DateTime, FixedOffset, Utc};
use device_model::change::ChangeState;

pub use codes::{alarm, fault, verdict};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Lang {
    #[default]
    Ja,
    En,
}

/// `{name}` stands for what [`fill`] puts there.
pub struct Words {
    pub help: &'static str,
    pub unknown_command: &'static str,

    pub loading_title: &'static str,
    pub loading: &'static str,
    pub close: &'static str,
    pub notice_title: &'static str,

    pub lan_title: &'static str,
    pub lan_submit: &'static str,
    pub lan_box: &'static str,
    pub lan_box_without_pharmacy: &'static str,
    pub lan_unknown_settings: &'static str,
    pub mode: &'static str,
    pub mode_hint: &'static str,
    pub mode_dhcp: &'static str,
    pub mode_static: &'static str,
    pub address: &'static str,
    pub mask: &'static str,
    pub mask_hint: &'static str,
    pub gateway: &'static str,
    pub dns: &'static str,
    pub dns_hint: &'static str,
    pub routes: &'static str,
    pub routes_hint: &'static str,
    pub mtu: &'static str,
    pub share: &'static str,
    pub share_user: &'static str,
    pub share_note: &'static str,
    pub share_workgroup: &'static str,
    pub share_password: &'static str,
    pub share_password_new: &'static str,
    pub reason: &'static str,
    pub reason_hint: &'static str,
    pub ticket: &'static str,
    pub none: &'static str,

    pub registered_title: &'static str,
    pub registered: &'static str,

    pub no_role: &'static str,
    pub not_allowed: &'static str,
    pub unknown_box: &'static str,
    pub several_boxes: &'static str,
    pub more_boxes: &'static str,
    pub change_open: &'static str,
    pub nothing_to_change: &'static str,
    pub failed: &'static str,
    pub too_late: &'static str,
    pub line: &'static str,

    pub status_title: &'static str,
    pub status_online: &'static str,
    pub status_offline: &'static str,
    pub status_unknown: &'static str,
    pub status_seen: &'static str,
    pub status_drift: &'static str,
    pub status_lan: &'static str,
    pub status_effective: &'static str,
    pub status_share: &'static str,
    pub status_open: &'static str,
    pub status_no_open: &'static str,
    pub status_never_reported: &'static str,

    pub change_heading: &'static str,
    pub change_state: &'static str,
    pub change_before_after: &'static str,
    pub change_by: &'static str,
    pub change_by_api: &'static str,
    pub change_reason: &'static str,
    pub change_ticket: &'static str,
    pub change_timeline: &'static str,
    pub change_device_clock: &'static str,
    pub change_device_clock_estimated: &'static str,
    pub change_receipt_computer_seen: &'static str,
    pub change_detail: &'static str,
    pub change_fallback: &'static str,

    pub state_scheduled: &'static str,
    pub state_queued: &'static str,
    pub state_sent: &'static str,
    pub state_sent_offline: &'static str,
    pub state_trying: &'static str,
    pub state_applied: &'static str,
    pub state_applied_unconfirmed: &'static str,
    pub state_rolled_back: &'static str,
    pub state_refused: &'static str,
    pub state_superseded: &'static str,
    pub state_cancelled: &'static str,
    pub state_expired: &'static str,

    pub menu_title: &'static str,
    pub menu: &'static str,
    pub menu_lan: &'static str,
    pub menu_status: &'static str,
    pub menu_history: &'static str,
    pub menu_pending: &'static str,
    pub menu_approvals: &'static str,
    pub menu_help: &'static str,
    pub back: &'static str,
    pub refresh: &'static str,
    pub unknown: &'static str,

    pub choose: &'static str,
    pub choose_title: &'static str,
    pub choose_any: &'static str,
    pub choose_hint: &'static str,

    pub lan_check: &'static str,
    pub lan_next: &'static str,
    pub when: &'static str,
    pub when_now: &'static str,
    pub when_later: &'static str,
    pub start: &'static str,
    pub length: &'static str,
    pub length_hint: &'static str,
    pub when_at_once: &'static str,
    pub when_window: &'static str,

    pub preview_title: &'static str,
    pub preview_online: &'static str,
    pub preview_offline: &'static str,
    pub preview_unknown: &'static str,
    pub preview_outdated: &'static str,
    pub preview_safety: &'static str,
    pub open_told: &'static str,
    pub open_form: &'static str,
    pub open_preview: &'static str,
    pub risk_heading: &'static str,
    pub risk_address: &'static str,
    pub risk_dhcp: &'static str,
    pub risk_user: &'static str,
    pub risk_none: &'static str,
    pub approval_needed: &'static str,

    pub rollback: &'static str,
    pub rollback_title: &'static str,
    pub nothing_before: &'static str,
    pub runs_already: &'static str,

    pub cancel: &'static str,
    pub cancel_sure: &'static str,
    pub cancelled_done: &'static str,
    pub retry: &'static str,
    pub approve: &'static str,
    pub approve_sure: &'static str,
    pub approved_done: &'static str,
    pub reject: &'static str,
    pub reject_title: &'static str,
    pub reject_reason: &'static str,
    pub rejected: &'static str,
    pub rejected_done: &'static str,
    pub not_approver: &'static str,
    pub own_change: &'static str,
    pub approved_already: &'static str,
    pub not_waiting: &'static str,
    pub change_closed: &'static str,
    pub unknown_change: &'static str,
    pub unusable: &'static str,
    pub wrong_channel: &'static str,

    pub history_heading: &'static str,
    pub history_none: &'static str,
    pub pending_heading: &'static str,
    pub pending_none: &'static str,
    pub approvals_heading: &'static str,
    pub approvals_none: &'static str,
    pub more_changes: &'static str,
    pub csv: &'static str,
    pub csv_sent: &'static str,

    pub password_page: &'static str,
    pub password_open: &'static str,
    pub password_page_text: &'static str,
    pub no_sealing_key: &'static str,

    pub status_applied: &'static str,
    pub status_sight: &'static str,
    pub status_no_sight: &'static str,
    pub status_last_upload: &'static str,
    pub status_backlog: &'static str,
    pub status_quarantined: &'static str,
    pub status_certificate: &'static str,
    pub status_agent: &'static str,
    pub status_no_health: &'static str,

    pub change_approved_by: &'static str,
    pub change_by_system: &'static str,
    pub change_withdrawing: &'static str,
    pub change_expiring: &'static str,
    pub change_replacing: &'static str,
    pub milestone_approved: &'static str,
    pub state_unapproved: &'static str,

    pub home_title: &'static str,
    pub home_boxes: &'static str,
    pub home_certificates: &'static str,
    pub home_updated: &'static str,
    pub home_no_map: &'static str,
    pub home_all_well: &'static str,
    pub home_attention: &'static str,
    pub home_no_attention: &'static str,
    pub home_mine: &'static str,
    pub home_no_mine: &'static str,
    pub look_failed: &'static str,
    pub look_pending: &'static str,
    pub look_unknown: &'static str,
    pub map_total: &'static str,
    pub password_title: &'static str,
    pub password_number: &'static str,
    pub password_confirm: &'static str,
    pub password_confirmed: &'static str,
    pub password_wrong: &'static str,
    pub password_reason: &'static str,
    pub page_gone_short: &'static str,
    pub page_number: &'static str,
    pub page_waits: &'static str,
    pub page_ready: &'static str,
    pub page_show: &'static str,
    pub page_shown: &'static str,
    pub page_share: &'static str,
    pub page_user: &'static str,
    pub page_password: &'static str,
    pub page_held: &'static str,
    pub page_once: &'static str,
    pub page_gone: &'static str,

    /// In the order of the form's choices.
    pub hours: [&'static str; 4],
    pub csv_columns: [&'static str; 12],
}

impl Lang {
    /// Slack tells a user's locale as `ja-JP`. Whoever reads neither reads English.
    pub fn of_locale(locale: &str) -> Self {
        let language = locale.split(['-', '_']).next().unwrap_or_default();
        if language.eq_ignore_ascii_case("ja") || language.is_empty() { Self::Ja } else { Self::En }
    }

    pub fn words(self) -> &'static Words {
        match self {
            Self::Ja => &ja::WORDS,
            Self::En => &en::WORDS,
        }
    }
}

impl Words {
    /// A state that was reached; with `sent`, whether the box can hear of it matters.
    pub fn state(&self, state: ChangeState, online: Option<bool>) -> &'static str {
        match state {
            ChangeState::Scheduled => self.state_scheduled,
            ChangeState::Queued => self.state_queued,
            ChangeState::Sent if online == Some(false) => self.state_sent_offline,
            ChangeState::Sent => self.state_sent,
            ChangeState::Trying => self.state_trying,
            ChangeState::Applied => self.state_applied,
            ChangeState::RolledBack => self.state_rolled_back,
            ChangeState::Refused => self.state_refused,
            ChangeState::Superseded => self.state_superseded,
            ChangeState::Cancelled => self.state_cancelled,
            ChangeState::Expired => self.state_expired,
        }
    }
}

/// Puts values into a text. What a value holds is never read as another place.
pub fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        filled.push_str(&rest[..start]);
        let after = &rest[start + 1..];
        let place = after
            .split_once('}')
            .and_then(|(name, tail)| Some((values.iter().find(|(known, _)| *known == name)?.1, tail)));
        if let Some((value, tail)) = place {
            filled.push_str(value);
            rest = tail;
        } else {
            filled.push('{');
            rest = after;
        }
    }
    filled.push_str(rest);
    filled
}

/// A moment as pharmacies read it: in Japan's time.
pub fn jst(at: DateTime<Utc>) -> String {
    const JAPAN_SECONDS: i32 = 9 * 3600;
    FixedOffset::east_opt(JAPAN_SECONDS)
        .map_or_else(String::new, |japan| at.with_timezone(&japan).format("%Y/%m/%d %H:%M:%S").to_string())
}

/// The same without its seconds, which nobody plans by.
pub fn jst_minute(at: DateTime<Utc>) -> String {
    let text = jst(at);
    text.get(..text.len().saturating_sub(3)).unwrap_or_default().to_owned()
}

#[cfg(test)]
#[path = "i18n_tests.rs"]
mod tests;
