//! The two sides of the named shadow `lan`: what operators want, and what the box says is so.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    change_id::ChangeId,
    draft::Fields,
    fault::{FaultCode, Faults},
    lan::LanSettings,
    outcome::{Clock, Verdict},
    share::ShareSettings,
    window::Window,
};

/// The shadow in which settings travel.
pub const LAN_SHADOW: &str = "lan";
/// The shadow in which a box says how it is.
pub const STATUS_SHADOW: &str = "status";
/// The schema that this code writes and reads.
pub const SCHEMA: u32 = 1;
/// Each side stays under a quarter of what AWS allows for both (8 KB).
pub const MAX_SIDE_BYTES: usize = 2048;
/// How many verdicts a box keeps in its shadow, newest first.
pub const KEPT_VERDICTS: usize = 4;

/// What operators want. Only the cloud writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Desired {
    pub schema: u32,
    pub change_id: ChangeId,
    pub lan: LanSettings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareSettings>,
    #[serde(default)]
    pub probe: ProbePolicy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// What the box says is so. Only the box writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Reported {
    pub schema: u32,
    pub agent_version: String,
    /// The schemas that this agent speaks.
    pub schemas: Vec<u32>,
    /// What runs: never a trial.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::lan::LanDraft))]
    pub lan: LanSettings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareSettings>,
    #[serde(default)]
    pub probe: ProbePolicy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// How the last changes ended, newest first, at most [`KEPT_VERDICTS`].
    #[serde(default)]
    pub verdicts: Vec<Verdict>,
    /// Whether the receipt computer has found the box since the last change that was applied; only of a
    /// share that the box hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_computer: Option<ReceiptComputer>,
}

/// The second milestone of a change: a box that moved is not done before the receipt computer has found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReceiptComputer {
    /// The change that was applied.
    pub change_id: ChangeId,
    #[serde(flatten)]
    pub sight: Sight,
}

/// By the first session from another host after the commit, or the first file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Sight {
    Unconfirmed,
    /// The box's clock.
    Confirmed {
        at: DateTime<Utc>,
        clock: Clock,
    },
}

/// Which probes must pass before settings are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProbePolicy {
    #[serde(default)]
    pub share: ShareProbe,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ShareProbe {
    /// Settings under which the share does not answer are rolled back.
    #[default]
    Required,
    /// They are kept: the receipt computer may be switched off at night.
    Warn,
}

impl ProbePolicy {
    /// Reads what was typed: the policy as far as it could be read, and what was wrong.
    pub fn read(value: Value) -> (Self, Faults) {
        let mut fields = Fields::of(value);
        let share = match fields.text("share").as_deref() {
            None | Some("required") => ShareProbe::Required,
            Some("warn") => ShareProbe::Warn,
            Some(_) => {
                fields.fault("share", FaultCode::UnknownValue { allowed: "required, warn" });
                ShareProbe::Required
            }
        };
        (Self { share }, fields.finish())
    }
}

/// The address that the interface really has, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// Address and prefix length; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `dhcp` or `static`.
    pub source: String,
}

/// A change that the box has taken in hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    pub change_id: ChangeId,
    pub phase: TrialPhase,
    pub attempt: u32,
    /// The box's clock.
    pub since: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum TrialPhase {
    Staged,
    Trying,
    Committing,
    RollingBack,
}

/// The JSON merge (RFC 7386) that turns `current` into `wanted`: a shadow update merges, so a key
/// that is to go must be nulled. Arrays are replaced whole.
pub fn merge_patch(current: &Value, wanted: &Value) -> Value {
    let (Value::Object(current), Value::Object(wanted)) = (current, wanted) else {
        return wanted.clone();
    };
    let gone = current.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let mut patch: Map<String, Value> = gone.collect();
    for (key, value) in wanted {
        match current.get(key) {
            Some(old) if old == value => {}
            Some(old) => drop(patch.insert(key.clone(), merge_patch(old, value))),
            None => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_desired_side_is_written_as_the_contract_gives_it() {
        let text = json!({"schema": 1, "changeId": "01J", "probe": {"share": "required"},
            "lan": {"mode": "static", "address": "192.168.10.9/24", "gateway": "192.168.10.1", "mtu": 1500},
            "share": {"name": "rx", "user": "rece", "workgroup": "WORKGROUP", "passwordSealed": "AAAA"}});

        let desired: Desired = serde_json::from_value(text.clone()).unwrap();

        assert_eq!(serde_json::to_value(desired).unwrap(), text);
    }

    #[test]
    fn the_largest_wish_there_is_fits_into_its_side() {
        let text = |kind: &str, max: usize| kind.repeat(max);
        // A key, a tag and a password of the longest characters, in base64.
        let sealed = text("A", (32 + 16 + 4 * crate::share::MAX_PASSWORD).div_ceil(3) * 4);
        let draft = crate::share::ShareDraft {
            name: Some(text("𠮷", 80)),
            user: Some(text("u", 32)),
            workgroup: Some(text("W", 15)),
            ..Default::default()
        };
        let share = ShareSettings { password_sealed: Some(sealed), ..draft.check().unwrap() };
        let route = |n| json!({"to": format!("192.168.200.{}/32", 100 + n), "via": "192.168.100.101"});
        let lan = json!({"mode": "static", "address": "192.168.100.100/24", "gateway": "192.168.100.101",
            "dns": (0..3).map(|n| format!("192.168.200.{}", 100 + n)).collect::<Vec<_>>(), "mtu": 1500,
            "routes": (0..8).map(route).collect::<Vec<_>>()});
        let desired = json!({"schema": 1, "changeId": text("0", 26), "lan": lan, "share": share,
            "probe": {"share": "required"}, "window": {"notBefore": "2026-11-22T15:00:00.123456789Z",
            "notAfter": "2026-11-22T16:00:00.123456789Z", "from": "22:00", "to": "05:00",
            "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}});
        let desired: Desired = serde_json::from_value(desired).unwrap();

        let size = json!(desired).to_string().len();

        assert!(size <= MAX_SIDE_BYTES, "{size}");
    }

    #[test]
    fn fields_of_a_newer_schema_are_let_by_wherever_they_stand() {
        let newer = json!({"schema": 1, "changeId": "01J", "probe": {"share": "warn", "x": 1}, "x": 1,
            "lan": {"mode": "static", "address": "192.168.10.9/24", "x": 1,
                "routes": [{"to": "192.168.20.0/24", "via": "192.168.10.1", "metric": 5}]},
            "share": {"name": "rx", "user": "rece", "workgroup": "WORKGROUP", "x": 1},
            "window": {"from": "22:00", "to": "05:00", "x": 1}});

        let desired: Desired = serde_json::from_value(newer.clone()).unwrap();

        assert_eq!((desired.lan.routes().len(), desired.probe.share), (1, ShareProbe::Warn));
        assert!(desired.window.is_some());
        let reported = json!({"schema": 1, "agentVersion": "9", "schemas": [1], "lan": newer["lan"], "x": 1});
        serde_json::from_value::<Reported>(reported).unwrap();
        // A known field of another kind is something else: a bad setting cannot exist.
        for (pointer, value) in [("/lan/mtu", json!("x")), ("/lan", json!(1)), ("/window/from", json!(1))] {
            let mut spoilt = newer.clone();
            match spoilt.pointer_mut(pointer) {
                Some(place) => *place = value,
                None => spoilt["lan"]["mtu"] = value,
            }
            assert!(serde_json::from_value::<Desired>(spoilt).is_err(), "{pointer}");
        }
    }

    #[test]
    fn a_probe_as_typed_is_judged() {
        let read = |value| ProbePolicy::read(value).1.to_string();

        assert_eq!(read(json!({"share": "bogus"})), "share must be one of required, warn");
        assert_eq!(
            read(json!({"share": 1, "shar": 1})),
            "share must be text; shar is not a field that is known here"
        );
        assert_eq!(read(json!({"share": "warn"})), "");
    }

    #[test]
    fn the_reported_side_is_written_as_the_contract_gives_it() {
        let text = json!({"schema": 1, "agentVersion": "0.1.0", "schemas": [1], "lan": {"mode": "dhcp"},
            "probe": {"share": "warn"}, "effective": {"address": "192.168.10.100/24", "source": "dhcp"},
            "trial": {"changeId": "01J", "phase": "rollingBack", "attempt": 1, "since": "2026-11-22T00:00:00Z"},
            "verdicts": [{"changeId": "01I", "verdict": "rolled_back", "code": "GATEWAY_SILENT",
                "at": "2026-11-21T00:00:00Z", "clock": "estimated"}],
            "receiptComputer": {"changeId": "01H", "state": "confirmed", "at": "2026-11-20T00:00:00Z",
                "clock": "synced"}});

        let reported: Reported = serde_json::from_value(text.clone()).unwrap();

        assert_eq!(serde_json::to_value(reported).unwrap(), text);
    }

    #[test]
    fn a_patch_nulls_what_is_to_go() {
        let now = json!({"lan": {"mode": "static", "address": "192.168.10.9/24", "dns": ["192.168.10.1"]}, "schema": 1});
        let wanted = json!({"lan": {"mode": "dhcp"}, "schema": 1});

        let patch = merge_patch(&now, &wanted);

        assert_eq!(patch, json!({"lan": {"mode": "dhcp", "address": null, "dns": null}}));
    }
}
