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
/// `pdbedit` reads lines of 255 bytes, and a character has up to four.
pub const MAX_PASSWORD: usize = 63;
/// Sections that `smb.conf` reads as something else, and shares that every file server has.
const RESERVED_SHARES: [&str; 6] = ["global", "homes", "printers", "print$", "ipc$", "admin$"];

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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
        let name = word(self.name.as_deref(), MAX_SHARE, share_character).and_then(share_name);
        let name = faults.take("name", name);
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

/// `smb.conf` takes several spaces for one.
fn share_name(name: String) -> Result<String, FaultCode> {
    if RESERVED_SHARES.contains(&name.to_ascii_lowercase().as_str()) {
        Err(FaultCode::ReservedName)
    } else if name.contains("  ") {
        Err(FaultCode::BadCharacter)
    } else {
        Ok(name)
    }
}

/// A password as typed, which the box can set and try. It is never part of a fault.
pub fn check_password(password: &str) -> Result<(), FaultCode> {
    if password.is_empty() {
        Err(FaultCode::Required)
    } else if password.chars().count() > MAX_PASSWORD {
        Err(FaultCode::TooLong { max: MAX_PASSWORD })
    } else if password.chars().any(char::is_control) || password.trim() != password {
        // Spaces at its ends get lost in the file from which a login is tried.
        Err(FaultCode::BadCharacter)
    } else {
        Ok(())
    }
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
    fn names_that_mean_something_to_the_file_server_are_refused() {
        let code = |name: &str| {
            let user = Some("rece".to_owned());
            let draft = ShareDraft { name: Some(name.to_owned()), user, ..ShareDraft::default() };
            draft.check().map_err(|faults| faults.iter().next().map(|fault| fault.code.name()))
        };

        for name in ["Global", "homes", "printers", "IPC$", "admin$", "print$"] {
            assert_eq!(code(name), Err(Some("RESERVED_NAME")), "{name}");
        }
        assert_eq!(code("a  b"), Err(Some("BAD_CHARACTER")));
        assert_eq!(code(" 処方 データ$ ").unwrap().name, "処方 データ$");
    }

    #[test]
    fn a_password_is_one_that_can_be_set_and_tried() {
        let code = |password: &str| check_password(password).map_err(|code| code.name());

        assert_eq!(code(""), Err("REQUIRED"));
        assert_eq!(code(&"あ".repeat(64)), Err("TOO_LONG"));
        for password in [" a", "a ", "a\u{3000}", "a\nb", "a\0"] {
            assert_eq!(code(password), Err("BAD_CHARACTER"), "{password:?}");
        }
        for password in ["花子 2026", "%=\"'#;\\ ", &"あ".repeat(63)] {
            assert_eq!(code(password.trim_end()), Ok(()), "{password:?}");
        }
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
