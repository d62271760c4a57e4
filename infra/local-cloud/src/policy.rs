//! IoT and IAM policies: parsing and evaluation, as pure functions.
//!
//! One evaluator serves identity policies, bucket policies, trust policies and IoT policies: they differ only in
//! which elements a statement has and in what the context holds.

mod condition;
mod document;
mod pattern;

use std::collections::BTreeMap;

pub use document::{Document, PolicyError};

/// What a caller wants to do.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `iot:Publish`, `s3:PutObject`
    pub action: &'a str,
    /// The ARN.
    pub resource: &'a str,
    pub context: &'a Context,
}

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

/// Explicit Deny wins, else an Allow, else it is denied.
///
/// A statement with a Principal is matched against the context's `aws:PrincipalArn`, `aws:PrincipalSessionArn`
/// (ours: the ARN of the session itself), `aws:PrincipalAccount` and `aws:PrincipalServiceName`. An Allow for the
/// whole account grants nothing by itself, as at AWS: it leaves the decision to the identity's own policies.
pub fn evaluate<'a>(documents: impl IntoIterator<Item = &'a Document>, request: &Request<'_>) -> Decision {
    let mut decision = Decision::ImplicitDeny;
    for statement in documents.into_iter().flat_map(Document::statements) {
        if statement.applies(request) {
            if statement.denies() {
                return Decision::ExplicitDeny;
            }
            decision = Decision::Allow;
        }
    }
    decision
}

/// Condition keys and their values; the keys are compared without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.set_all(key, vec![value.into()]);
    }

    /// Sets a key that has many values, for `ForAnyValue` and `ForAllValues`.
    pub fn set_all(&mut self, key: &str, values: Vec<String>) {
        self.0.insert(key.to_ascii_lowercase(), values);
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    fn all(&self, key: &str) -> &[String] {
        self.0.get(&key.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }

    /// The value of a key that has exactly one.
    fn one(&self, key: &str) -> Option<&str> {
        match self.all(key) {
            [value] => Some(value),
            _ => None,
        }
    }
}

impl From<&BTreeMap<String, String>> for Context {
    fn from(map: &BTreeMap<String, String>) -> Self {
        Self(map.iter().map(|(key, value)| (key.to_ascii_lowercase(), vec![value.clone()])).collect())
    }
}
