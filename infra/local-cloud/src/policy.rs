//! IoT and IAM policies: parsing and evaluation, as pure functions.

use std::collections::BTreeMap;

/// A parsed policy document.
#[derive(Debug, Clone)]
pub struct Document {}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed policy document: {0}")]
pub struct PolicyError(pub String);

/// What a caller wants to do.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `iot:Publish`, `s3:PutObject`
    pub action: &'a str,
    /// The ARN.
    pub resource: &'a str,
    pub context: &'a Context,
}

/// Condition keys and their values; the keys are compared without regard to case.
#[derive(Debug, Clone, Default)]
pub struct Context(BTreeMap<String, Vec<String>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Allow,
    ExplicitDeny,
    ImplicitDeny,
}

impl Decision {
    pub fn is_allowed(self) -> bool {
        self == Self::Allow
    }
}

impl Context {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_ascii_lowercase(), vec![value.into()]);
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    pub fn set_all(&mut self, key: &str, values: Vec<String>) {
        self.0.insert(key.to_ascii_lowercase(), values);
    }
}

impl From<&BTreeMap<String, String>> for Context {
    fn from(map: &BTreeMap<String, String>) -> Self {
        Self(
            map.iter()
                .map(|(key, value)| (key.to_ascii_lowercase(), vec![value.clone()]))
                .collect(),
        )
    }
}

impl Document {
    pub fn parse(_text: &str) -> Result<Self, PolicyError> {
        Ok(Self {})
    }
}

/// Explicit Deny wins, else an Allow, else it is denied.
pub fn evaluate<'a>(_documents: impl IntoIterator<Item = &'a Document>, _request: &Request<'_>) -> Decision {
    Decision::ImplicitDeny
}
