//! The LAN modal as typed becomes a draft, and faults of the draft find their way back to its fields.

use std::{collections::BTreeMap, net::Ipv4Addr};

use chrono::{DateTime, Utc};
use device_model::{
    draft::is_prose,
    fault::{FaultCode, Faults},
    lan::{self, LanDraft, LanSettings, RouteDraft},
    share::{ShareDraft, ShareSettings},
    window::WindowDraft,
};
use serde_json::{Map, Value};

use crate::{
    i18n::{Lang, fault, fill},
    lan_view::{field, reserved},
    model::ShareChange,
    normal::{halved, mask_prefix},
};

/// Values as submitted, by field.
pub type Values = BTreeMap<String, String>;

/// What was typed, as far as it could be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Form {
    pub draft: LanDraft,
    /// None: it stays as it is.
    pub share: Option<ShareChange>,
    /// None: at once.
    pub window: Option<WindowDraft>,
    pub reason: String,
    pub ticket: Option<String>,
    /// What only this form can tell: at its own fields.
    faults: FieldFaults,
    /// The line of the form from which each route of the draft came.
    route_lines: Vec<usize>,
}

/// Faults at the fields of the form, each with the line of the field where it lies.
type FieldFaults = Vec<(&'static str, Option<usize>, FaultCode)>;

impl Form {
    /// Reads the fields. `today` gives what the form does not ask for.
    pub fn read(
        values: &Values,
        today: Option<&LanSettings>,
        share: Option<&ShareSettings>,
        now: DateTime<Utc>,
    ) -> Self {
        let value = |name| values.get(name).map(|text| halved(text)).filter(|text| !text.is_empty());
        let mut form = Self {
            reason: typed(values, field::REASON),
            ticket: Some(typed(values, field::TICKET)).filter(|ticket| !ticket.is_empty()),
            ..Self::default()
        };
        form.draft.mode = value(field::MODE);
        form.draft.mtu = today.and_then(LanSettings::mtu).map(i64::from);
        if form.draft.mode.as_deref() != Some("dhcp") {
            form.draft.address = form.address(value(field::ADDRESS), value(field::MASK).as_deref());
            form.draft.gateway = value(field::GATEWAY);
        }
        let dns = value(field::DNS).unwrap_or_default();
        let dns = dns.split([',', ';', ' ', '\n', '\t']).filter(|part| !part.is_empty());
        form.draft.dns = Some(dns.map(str::to_owned).collect());
        form.draft.routes = Some(form.routes(&value(field::ROUTES).unwrap_or_default()));
        form.share = share.and_then(|share| form.share(values, share));
        form.window = form.window(values, now);
        form.judge_why();
        form
    }

    /// Reads only why: of a change whose settings are known.
    pub fn read_why(values: &Values) -> Self {
        let mut form = Self {
            reason: typed(values, field::REASON),
            ticket: Some(typed(values, field::TICKET)).filter(|ticket| !ticket.is_empty()),
            ..Self::default()
        };
        form.judge_why();
        form
    }

    fn judge_why(&mut self) {
        if self.reason.is_empty() {
            self.faults.push((field::REASON, None, FaultCode::Required));
        }
        for (name, text) in [(field::REASON, Some(&self.reason)), (field::TICKET, self.ticket.as_ref())] {
            if text.is_some_and(|text| !is_prose(text)) {
                self.faults.push((name, None, FaultCode::BadCharacter));
            }
        }
    }

    /// What was typed of a share, if that is another than today's. Its password is not among it.
    fn share(&mut self, values: &Values, today: &ShareSettings) -> Option<ShareChange> {
        let given = |name| values.get(name).map(|text| text.trim().to_owned());
        let draft = ShareDraft {
            name: given(field::SHARE).or_else(|| Some(today.name.clone())),
            user: given(field::SHARE_USER).map(|text| halved(&text)).or_else(|| Some(today.user.clone())),
            workgroup: Some(today.workgroup.clone()),
            ..ShareDraft::default()
        };
        match draft.check() {
            Ok(share) => ShareChange::between(Some(today), &share),
            Err(faults) => {
                for fault in &faults {
                    let name = if fault.field == "user" { field::SHARE_USER } else { field::SHARE };
                    self.faults.push((name, None, fault.code.clone()));
                }
                None
            }
        }
    }

    fn window(&mut self, values: &Values, now: DateTime<Utc>) -> Option<WindowDraft> {
        if values.get(field::WHEN).is_none_or(|when| when != "later") {
            return None;
        }
        let start = typed(values, field::START);
        let Some((start, end)) = reserved(&start, &typed(values, field::HOURS)) else {
            self.faults.push((field::START, None, FaultCode::Required));
            return None;
        };
        if start <= now {
            self.faults.push((field::START, None, FaultCode::InThePast));
        }
        Some(WindowDraft { not_before: Some(start), not_after: Some(end), ..WindowDraft::default() })
    }

    /// Every fault in words, at the field where it is to be mended: what the form itself found, and
    /// what the judge of the draft found.
    pub fn errors(&self, judged: Option<&Faults>, lang: Lang) -> Map<String, Value> {
        let judged = judged.into_iter().flatten();
        let judged = judged.filter_map(|found| {
            let (name, line) = self.place(&found.field, &found.code);
            let code = match (name, &found.code) {
                // The mask was read, so it is the address that is none.
                (field::ADDRESS, FaultCode::NotACidr) => FaultCode::NotAnIpv4Address,
                (_, code) => code.clone(),
            };
            // A field that could not be read has its fault already.
            let known = |(known, _, _): &(&str, _, _)| *known == field::ADDRESS || *known == field::MASK;
            let said = name == field::ADDRESS && self.faults.iter().any(known);
            (!said).then_some((name, line, code))
        });
        let mut errors: Map<String, Value> = Map::new();
        for (name, line, code) in self.faults.iter().cloned().chain(judged) {
            let line = line.map(|line| fill(lang.words().line, &[("line", &(line + 1).to_string())]));
            let words = format!("{}{}", line.unwrap_or_default(), fault(lang, &code));
            match errors.get_mut(name) {
                Some(Value::String(text)) if text.contains(&words) => {}
                Some(Value::String(text)) => *text = format!("{text} {words}"),
                _ => drop(errors.insert(name.to_owned(), words.into())),
            }
        }
        errors
    }

    /// True if the draft says all that was typed.
    pub fn was_read(&self) -> bool {
        self.faults.is_empty()
    }

    fn address(&mut self, address: Option<String>, mask: Option<&str>) -> Option<String> {
        let Some(address) = address else {
            let code = FaultCode::Required;
            self.faults.push((field::ADDRESS, None, code.clone()));
            if mask.is_none() {
                self.faults.push((field::MASK, None, code));
            }
            return None;
        };
        // `192.168.10.9/24` in one field is as good as two fields.
        let (host, own_mask) = match address.split_once('/') {
            Some((host, mask)) => (host.trim().to_owned(), Some(mask.to_owned())),
            None => (address, None),
        };
        let Some(mask) = own_mask.as_deref().or(mask) else {
            self.faults.push((field::MASK, None, FaultCode::Required));
            self.judge_host(&host);
            return None;
        };
        let prefix = mask_prefix(mask).filter(|prefix| lan::PREFIX.contains(prefix));
        let Some(prefix) = prefix else {
            self.faults.push((field::MASK, None, prefix_fault()));
            self.judge_host(&host);
            return None;
        };
        Some(format!("{host}/{prefix}"))
    }

    /// Without a mask the draft has no address, so nobody else would look at this part of it.
    fn judge_host(&mut self, host: &str) {
        let code = match host.parse::<Ipv4Addr>() {
            Err(_) => FaultCode::NotAnIpv4Address,
            Ok(address) if !address.is_private() => FaultCode::NotPrivate,
            Ok(_) => return,
        };
        self.faults.push((field::ADDRESS, None, code));
    }

    fn routes(&mut self, text: &str) -> Vec<RouteDraft> {
        let mut routes = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.replace("via", " ").replace("->", " ").replace(['→', ','], " ");
            let parts: Vec<_> = line.split_whitespace().collect();
            match *parts.as_slice() {
                [] => {}
                [to, via] => {
                    self.route_lines.push(index);
                    routes.push(RouteDraft { to: with_prefix(to), via: via.to_owned() });
                }
                _ => self.faults.push((field::ROUTES, Some(index), FaultCode::NotACidr)),
            }
        }
        routes
    }

    /// The field of the form, and the line in it, where a fault of the draft is to be mended.
    fn place(&self, draft_field: &str, code: &FaultCode) -> (&'static str, Option<usize>) {
        let name = draft_field.strip_prefix("lan.").unwrap_or(draft_field);
        let (name, index) = match name.split_once('[') {
            Some((name, rest)) => (name, rest.split(']').next().and_then(|index| index.parse().ok())),
            None => (name, None),
        };
        match name {
            "address" if matches!(code, FaultCode::PrefixOutOfRange { .. }) => (field::MASK, None),
            "address" => (field::ADDRESS, None),
            "gateway" => (field::GATEWAY, None),
            "dns" => (field::DNS, None),
            "routes" => {
                let line = index.and_then(|index: usize| self.route_lines.get(index).copied());
                (field::ROUTES, line)
            }
            "reason" => (field::REASON, None),
            "ticket" => (field::TICKET, None),
            _ if draft_field.starts_with("window") => (field::START, None),
            _ => (field::MODE, None),
        }
    }
}

fn prefix_fault() -> FaultCode {
    FaultCode::PrefixOutOfRange { min: *lan::PREFIX.start(), max: *lan::PREFIX.end() }
}

/// What people write for people stays as they wrote it.
fn typed(values: &Values, name: &str) -> String {
    values.get(name).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// `192.168.20.0/255.255.255.0` is written as `192.168.20.0/24`.
fn with_prefix(network: &str) -> String {
    let read = network.split_once('/').and_then(|(host, mask)| Some((host, mask_prefix(mask)?)));
    read.map_or_else(|| network.to_owned(), |(host, prefix)| format!("{host}/{prefix}"))
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;
