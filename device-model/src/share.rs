//! The share that the receipt computer saves on, as an operator may change it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    draft::Fields,
    fault::{FaultCode, Faults},
};

/// Windows cuts NetBIOS names at 15 characters and share names at 80.
const MAX_SHARE: usize = 80;
const MAX_USER: usize = 32;
const MAX_WORKGROUP: usize = 15;

/// The share as typed. Any JSON reads as one.
#[derive(Clone, Default)]
pub struct ShareDraft {
    pub name: Option<String>,
    pub user: Option<String>,
    pub workgroup: Option<String>,
    /// Write-only: it is sealed to the box's own key at once and never stored.
    pub password: Option<String>,
    /// What could not be read, and fields that nobody here knows.
    pub misfits: Faults,
}

/// A share that a box can offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShareSettings {
    pub name: String,
    pub user: String,
    pub workgroup: String,
    /// Sealed to the box's sealing key (HPKE, X25519), base64; absent: the box made its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_sealed: Option<String>,
}

impl ShareDraft {
    /// Judges the names. The password is not among the settings: it is sealed by whoever calls.
    pub fn check(&self) -> Result<ShareSettings, Faults> {
        let mut faults = Faults::default();
        let name = faults.take("name", word(self.name.as_deref(), MAX_SHARE, share_character));
        let user = faults.take("user", word(self.user.as_deref(), MAX_USER, user_character));
        let workgroup = self.workgroup.as_deref().or(Some("WORKGROUP"));
        let workgroup = faults.take("workgroup", word(workgroup, MAX_WORKGROUP, user_character));
        let mut all = self.misfits.clone();
        all.extend_elsewhere(faults);
        match (name, user, workgroup) {
            (Some(name), Some(user), Some(workgroup)) => {
                all.unless_any(ShareSettings { name, user, workgroup, password_sealed: None })
            }
            _ => Err(all),
        }
    }
}

impl From<Value> for ShareDraft {
    fn from(value: Value) -> Self {
        let mut fields = Fields::of(value);
        Self {
            name: fields.text("name"),
            user: fields.text("user"),
            workgroup: fields.text("workgroup"),
            password: fields.text("password"),
            misfits: fields.finish(),
        }
    }
}

fn word(text: Option<&str>, max: usize, allowed: fn(char) -> bool) -> Result<String, FaultCode> {
    let text = text.map(str::trim).filter(|text| !text.is_empty()).ok_or(FaultCode::Required)?;
    if text.chars().count() > max {
        return Err(FaultCode::TooLong { max });
    }
    if text.chars().all(allowed) { Ok(text.to_owned()) } else { Err(FaultCode::BadCharacter) }
}

/// What Windows refuses in a share's name, and what smb.conf would read as something else.
fn share_character(c: char) -> bool {
    !c.is_control() && !r#"\/[]:|<>+=;,*?"%#"#.contains(c)
}

fn user_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_smb_conf_would_misread_are_refused() {
        let draft = ShareDraft {
            name: Some("rx]\n[global".to_owned()),
            user: Some("%U".to_owned()),
            ..ShareDraft::default()
        };

        let faults = draft.check().unwrap_err();

        assert!(faults.at("name") && faults.at("user"));
    }

    #[test]
    fn what_cannot_be_read_is_told_without_being_quoted() {
        let draft =
            ShareDraft::from(serde_json::json!({"name": "rx", "user": "rece", "password": 1_234_567}));

        assert_eq!(draft.check().unwrap_err().to_string(), "password must be text");
    }

    #[test]
    fn the_workgroup_has_a_default() {
        let draft =
            ShareDraft { name: Some("rx".to_owned()), user: Some("rece".to_owned()), ..Default::default() };

        assert_eq!(draft.check().unwrap().workgroup, "WORKGROUP");
    }
}
