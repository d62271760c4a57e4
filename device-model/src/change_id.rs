//! What a change is called.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Names one change for ever: a ULID when we made it. A box takes any id that fits, since it has no
/// say in how the cloud makes them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "openapi",
    schema(pattern = "^[A-Za-z0-9_-]{1,64}$", examples("01JDB8Q2YQ3TZ6T9K0S7W1X4VN"))
)]
#[serde(try_from = "String", into = "String")]
pub struct ChangeId(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a change id has 1 to 64 ASCII letters, digits, '-' or '_'")]
pub struct ChangeIdError;

impl ChangeId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ChangeId {
    type Error = ChangeIdError;

    fn try_from(text: String) -> Result<Self, ChangeIdError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err(ChangeIdError)
        }
    }
}

impl FromStr for ChangeId {
    type Err = ChangeIdError;

    fn from_str(text: &str) -> Result<Self, ChangeIdError> {
        Self::try_from(text.to_owned())
    }
}

impl From<ChangeId> for String {
    fn from(id: ChangeId) -> Self {
        id.0
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_fits_into_a_topic_and_a_url() {
        assert!("01JABCDEFGHJKMNPQRSTVWXYZ0".parse::<ChangeId>().is_ok());
        assert!("a/b".parse::<ChangeId>().is_err());
        assert!("".parse::<ChangeId>().is_err());
        assert!("a".repeat(65).parse::<ChangeId>().is_err());
    }
}
