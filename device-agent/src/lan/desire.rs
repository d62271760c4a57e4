//! Reads what operators want. Whatever cannot be read is refused with a code, as long as it says which
//! change it is; it never touches the network.

use device_model::{
    change_id::ChangeId,
    lan::ReservedRanges,
    outcome::code,
    shadow::{Desired, MAX_SIDE_BYTES, SCHEMA},
    thing_name::ThingName,
};
use serde_json::Value;

use crate::{
    identity::sealing::SealingKey,
    lan::{
        ending::Ending,
        state::{Profile, Wish},
    },
};

/// Verdicts share 2 KB with everything else that is reported.
const LONGEST_DETAIL: usize = 160;

#[derive(Debug, PartialEq, Eq)]
pub enum Desire {
    Wish(Box<Wish>),
    /// It will never be tried.
    Unusable(Ending),
}

/// What a desired state must agree with on this box.
pub struct Reader {
    pub thing: ThingName,
    pub sealing: SealingKey,
    pub reserved: ReservedRanges,
}

impl Desire {
    pub fn change_id(&self) -> &ChangeId {
        match self {
            Self::Wish(wish) => &wish.change_id,
            Self::Unusable(ending) => &ending.change_id,
        }
    }
}

impl Reader {
    /// `None`: it does not even say which change it is, so there is nobody to answer.
    pub fn read(&self, desired: Value) -> Option<Desire> {
        let id: ChangeId = desired["changeId"].as_str()?.parse().ok()?;
        let refuse = |code: &str, detail: String| {
            Some(Desire::Unusable(Ending::refused(id.clone(), code, Some(shorten(detail)))))
        };
        let size = desired.to_string().len();
        if size > MAX_SIDE_BYTES {
            return refuse(code::BAD_SETTINGS, format!("{size} bytes, at most {MAX_SIDE_BYTES}"));
        }
        if let Some(schema) = desired["schema"].as_u64()
            && schema != u64::from(SCHEMA)
        {
            return refuse(code::AGENT_TOO_OLD, format!("schema {schema}, this agent speaks {SCHEMA}"));
        }
        let Desired { change_id, lan, share, probe, window, .. } = match serde_json::from_value(desired) {
            Ok(desired) => desired,
            Err(error) => return refuse(code::BAD_SETTINGS, error.to_string()),
        };
        let overlaps = self.reserved.faults_of(&lan);
        if !overlaps.is_empty() {
            return refuse(code::OVERLAPS_WAN, overlaps.to_string());
        }
        let sealed = share.as_ref().and_then(|share| share.password_sealed.as_deref());
        if let Some(sealed) = sealed
            && let Err(error) = self.sealing.open(&self.thing, sealed)
        {
            return refuse(code::PASSWORD_UNREADABLE, error.to_string());
        }
        let profile = Profile { lan, share, probe };
        Some(Desire::Wish(Box::new(Wish { change_id, profile, window, local: false })))
    }
}

fn shorten(mut detail: String) -> String {
    let end = detail.floor_char_boundary(LONGEST_DETAIL);
    detail.truncate(end);
    detail
}
