//! The name of a thing: one box for its life.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Length limit of a thing name in AWS IoT (`CreateThing`, 1 to 128 characters).
pub const MAX_LENGTH: usize = 128;

/// A thing's name. Holding one means the text was checked: it may go into a topic, a URL or an
/// object key as it stands. AWS IoT also allows `:`, which we do not: it parts the fields of ARNs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9_-]{1,128}$", examples("tenpo-0001")))]
#[serde(try_from = "String", into = "String")]
pub struct ThingName(String);

/// Why a text is not a thing name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThingNameError {
    #[error("a thing name has 1 to {MAX_LENGTH} characters, this has {0}")]
    Length(usize),
    #[error("a thing name may not hold {0:?}: only ASCII letters, digits, '-' and '_'")]
    Character(char),
}

impl ThingName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ThingName {
    type Error = ThingNameError;

    fn try_from(text: String) -> Result<Self, ThingNameError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let length = text.chars().count();
        if length == 0 || length > MAX_LENGTH {
            return Err(ThingNameError::Length(length));
        }
        match text.chars().find(|&c| !allowed(c)) {
            Some(c) => Err(ThingNameError::Character(c)),
            None => Ok(Self(text)),
        }
    }
}

impl FromStr for ThingName {
    type Err = ThingNameError;

    fn from_str(text: &str) -> Result<Self, ThingNameError> {
        Self::try_from(text.to_owned())
    }
}

impl From<ThingName> for String {
    fn from(name: ThingName) -> Self {
        name.0
    }
}

impl AsRef<str> for ThingName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ThingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_checked_on_every_way_in() {
        assert_eq!("tenpo-0001".parse::<ThingName>().unwrap().as_str(), "tenpo-0001");
        assert_eq!("".parse::<ThingName>(), Err(ThingNameError::Length(0)));
        assert_eq!("a".repeat(129).parse::<ThingName>(), Err(ThingNameError::Length(129)));
        assert_eq!("a/b".parse::<ThingName>(), Err(ThingNameError::Character('/')));
        assert!(serde_json::from_str::<ThingName>("\"店舗\"").is_err());
    }
}
