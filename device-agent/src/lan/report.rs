//! What the shadow `lan` shall show: what runs for good, what is being tried, how the last changes ended.

use chrono::{DateTime, Utc};
use device_model::{
    outcome::Verdict,
    shadow::{Effective, MAX_SIDE_BYTES, Reported, SCHEMA, Trial},
};
use serde_json::{Value, json};

use crate::lan::state::Machine;

/// The reported side, kept under its 2 KB.
pub fn report(
    machine: &Machine,
    effective: Option<Effective>,
    verdicts: Vec<Verdict>,
    since: DateTime<Utc>,
) -> Value {
    let trial = machine.state.trial().map(|(change_id, phase, attempt)| Trial {
        change_id: change_id.clone(),
        phase,
        attempt,
        since,
    });
    let mut reported = Reported {
        schema: SCHEMA,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        schemas: vec![SCHEMA],
        lan: machine.current.lan.clone(),
        share: machine.current.share.clone(),
        probe: machine.current.probe,
        effective,
        trial,
        verdicts,
        receipt_computer: None,
    };
    fit(&mut reported);
    json!(reported)
}

/// Keeps a report under its 2 KB: first the words of older verdicts go, then the oldest ones.
pub fn fit(reported: &mut Reported) {
    // As text: cheaper than to build the tree first.
    let size = |reported: &Reported| serde_json::to_string(reported).map_or(0, |text| text.len());
    while size(reported) > MAX_SIDE_BYTES {
        let wordy = reported.verdicts.iter_mut().skip(1).rev().find(|verdict| verdict.detail.is_some());
        if let Some(wordy) = wordy {
            wordy.detail = None;
        } else if reported.verdicts.len() > 1 {
            reported.verdicts.pop();
        } else {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lan::state::Profile;

    #[test]
    fn a_report_stays_within_its_share_of_the_shadow_and_keeps_the_newest_verdict() {
        let profile: Profile = serde_json::from_value(json!({"lan": {"mode": "static",
            "address": "192.168.10.9/24", "routes": (0..8).map(|n|
                json!({"to": format!("192.168.{}.0/24", 100 + n), "via": "192.168.10.1"})).collect::<Vec<_>>()},
            "share": {"name": "r".repeat(80), "user": "u".repeat(32), "workgroup": "WORKGROUP",
                "passwordSealed": "A".repeat(200)}}))
        .unwrap();
        let verdict = |n: u8| -> Verdict {
            serde_json::from_value(json!({"changeId": format!("{n:0>64}"), "verdict": "rolled_back",
                "code": "GATEWAY_SILENT", "detail": "d".repeat(160), "at": "2026-11-22T00:00:00Z",
                "clock": "synced"}))
            .unwrap()
        };

        let verdicts = (0..4).map(verdict).collect();
        let report =
            report(&Machine::settled(profile), None, verdicts, "2026-11-22T00:00:00Z".parse().unwrap());

        assert!(report.to_string().len() <= MAX_SIDE_BYTES);
        assert_eq!(report["verdicts"][0]["detail"], "d".repeat(160));
    }
}
