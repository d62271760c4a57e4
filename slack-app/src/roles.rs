//! Roles by configuration: `U1=operator,U2=viewer`, of users or of user groups. Whoever is not named has
//! no role.

use std::{collections::HashMap, str::FromStr};

use crate::model::Role;

#[derive(Debug, Clone, Default)]
pub struct ConfiguredRoles(HashMap<String, Role>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a user or group and a role, e.g. U012AB3CD=operator (viewer, operator, approver, admin)"
)]
pub struct NotARole(String);

impl ConfiguredRoles {
    pub fn role_of(&self, id: &str) -> Option<Role> {
        self.0.get(id).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Role)> {
        self.0.iter().map(|(id, role)| (id.as_str(), *role))
    }
}

impl FromStr for ConfiguredRoles {
    type Err = NotARole;

    fn from_str(text: &str) -> Result<Self, NotARole> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let entry = |entry: &str| {
            let (user, role) = entry.split_once('=')?;
            let (user, role) = (user.trim(), role.trim());
            let role = Role::ALL.into_iter().find(|known| known.as_str() == role)?;
            (!user.is_empty()).then(|| (user.to_owned(), role))
        };
        entries
            .map(|text| entry(text).ok_or_else(|| NotARole(text.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_whom_nobody_named_has_no_role() {
        let roles: ConfiguredRoles = "U1=operator, U2=viewer,".parse().unwrap();

        assert_eq!(roles.role_of("U1"), Some(Role::Operator));
        assert_eq!(roles.role_of("U2"), Some(Role::Viewer));
        assert_eq!(roles.role_of("U3"), None);
        assert_eq!(ConfiguredRoles::default().role_of("U1"), None);
    }

    #[test]
    fn a_role_that_does_not_exist_is_told() {
        for text in ["U1=boss", "U1", "=viewer"] {
            assert!(text.parse::<ConfiguredRoles>().is_err(), "{text}");
        }
    }
}
