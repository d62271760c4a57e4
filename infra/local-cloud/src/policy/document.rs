//! A policy document and its statements.

use serde_json::{Map, Value};

use super::{
    Context, Request,
    condition::{self, Condition},
    pattern::Pattern,
};

/// A parsed policy document.
#[derive(Debug, Clone)]
pub struct Document(Vec<Statement>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed policy document: {0}")]
pub struct PolicyError(pub String);

#[derive(Debug, Clone)]
pub struct Statement {
    deny: bool,
    principal: Option<Matcher<Principals>>,
    action: Matcher<Vec<Pattern>>,
    /// None in trust policies, whose resource is the role they stand on.
    resource: Option<Matcher<Vec<Pattern>>>,
    conditions: Vec<Condition>,
}

/// An element, or its `Not` form.
#[derive(Debug, Clone)]
struct Matcher<T> {
    not: bool,
    of: T,
}

#[derive(Debug, Clone, Default)]
struct Principals {
    anyone: bool,
    aws: Vec<String>,
    services: Vec<String>,
}

impl Document {
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let value: Value = serde_json::from_str(text).map_err(|error| PolicyError(error.to_string()))?;
        Self::from_value(&value)
    }

    pub fn from_value(value: &Value) -> Result<Self, PolicyError> {
        let document = value.as_object().ok_or_else(|| fault("it must be an object"))?;
        only(document, &["Version", "Id", "Statement"])?;
        let variables = match document.get("Version").map(|version| version.as_str()) {
            Some(Some("2012-10-17")) => true,
            None | Some(Some("2008-10-17")) => false,
            Some(_) => return Err(fault("the Version must be 2012-10-17 or 2008-10-17")),
        };
        let statements = match document.get("Statement") {
            Some(Value::Array(statements)) => statements.as_slice(),
            Some(one @ Value::Object(_)) => std::slice::from_ref(one),
            _ => return Err(fault("it must have a Statement")),
        };
        if statements.is_empty() {
            return Err(fault("it must have a Statement"));
        }
        statements.iter().map(|one| Statement::parse(one, variables)).collect::<Result<_, _>>().map(Self)
    }

    pub fn statements(&self) -> &[Statement] {
        &self.0
    }
}

impl Statement {
    fn parse(value: &Value, variables: bool) -> Result<Self, PolicyError> {
        let statement = value.as_object().ok_or_else(|| fault("a Statement must be an object"))?;
        only(
            statement,
            &[
                "Sid",
                "Effect",
                "Principal",
                "NotPrincipal",
                "Action",
                "NotAction",
                "Resource",
                "NotResource",
                "Condition",
            ],
        )?;
        let deny = match statement.get("Effect").and_then(Value::as_str) {
            Some("Allow") => false,
            Some("Deny") => true,
            _ => return Err(fault("the Effect must be Allow or Deny")),
        };
        let principal = either(statement, "Principal", "NotPrincipal")?
            .map(|(value, not)| Ok::<_, PolicyError>(Matcher { not, of: Principals::parse(value)? }))
            .transpose()?;
        let patterns = |name: &'static str, (value, not): (&Value, bool)| {
            let texts = texts(value).ok_or_else(|| fault(name))?;
            let of = texts.iter().map(|text| Pattern::parse(text, variables)).collect();
            Ok::<_, PolicyError>(Matcher { not, of })
        };
        let action = either(statement, "Action", "NotAction")?
            .ok_or_else(|| fault("a Statement must have an Action or a NotAction"))?;
        let action = patterns("an Action must be text", action)?;
        let resource = either(statement, "Resource", "NotResource")?
            .map(|one| patterns("a Resource must be text", one))
            .transpose()?;
        if resource.is_none() && principal.is_none() {
            return Err(fault("a Statement must have a Resource or a NotResource"));
        }
        let conditions = match statement.get("Condition") {
            None => Vec::new(),
            Some(Value::Object(block)) => condition::parse(block, variables)?,
            Some(_) => return Err(fault("a Condition must be an object")),
        };
        Ok(Self { deny, principal, action, resource, conditions })
    }

    pub fn denies(&self) -> bool {
        self.deny
    }

    pub fn applies(&self, request: &Request<'_>) -> bool {
        let context = request.context;
        let action = |patterns: &Vec<Pattern>| {
            patterns.iter().any(|pattern| pattern.matches_ignoring_case(request.action, context))
        };
        let resource = |patterns: &Vec<Pattern>| {
            patterns.iter().any(|pattern| pattern.matches(request.resource, context))
        };
        self.action.holds(action)
            && self.resource.as_ref().is_none_or(|matcher| matcher.holds(resource))
            && self.principal.as_ref().is_none_or(|matcher| {
                // The whole account in a NotPrincipal exempts its members; in an Allow it only delegates.
                matcher.holds(|of| of.matches(context, self.deny || matcher.not))
            })
            && self.conditions.iter().all(|condition| condition.holds(context))
    }
}

impl<T> Matcher<T> {
    fn holds(&self, matches: impl FnOnce(&T) -> bool) -> bool {
        matches(&self.of) != self.not
    }
}

impl Principals {
    fn parse(value: &Value) -> Result<Self, PolicyError> {
        let mut principals = Self::default();
        match value {
            Value::String(text) if text == "*" => principals.anyone = true,
            Value::Object(kinds) => {
                for (kind, value) in kinds {
                    let names = texts(value).ok_or_else(|| fault("a Principal must be text"))?;
                    match kind.as_str() {
                        "AWS" => {
                            principals.anyone |= names.iter().any(|name| name == "*");
                            principals.aws.extend(names);
                        }
                        "Service" => principals.services.extend(names),
                        "Federated" | "CanonicalUser" => {}
                        _ => return Err(fault("a Principal is of an unknown kind")),
                    }
                }
            }
            _ => return Err(fault("a Principal must be \"*\" or an object")),
        }
        Ok(principals)
    }

    fn matches(&self, context: &Context, account_counts: bool) -> bool {
        let is = |key: &str, name: &String| context.one(key) == Some(name);
        let account = |name: &String| {
            let id = name
                .strip_prefix("arn:aws:iam::")
                .and_then(|rest| rest.strip_suffix(":root"))
                .unwrap_or(name);
            context.one("aws:PrincipalAccount") == Some(id)
        };
        self.anyone
            || self.aws.iter().any(|name| {
                is("aws:PrincipalArn", name)
                    || is("aws:PrincipalSessionArn", name)
                    || (account_counts && account(name))
            })
            || self.services.iter().any(|name| is("aws:PrincipalServiceName", name))
    }
}

fn either<'a>(
    statement: &'a Map<String, Value>,
    plain: &str,
    not: &str,
) -> Result<Option<(&'a Value, bool)>, PolicyError> {
    match (statement.get(plain), statement.get(not)) {
        (Some(_), Some(_)) => Err(PolicyError(format!("a Statement has both {plain} and {not}"))),
        (Some(value), None) => Ok(Some((value, false))),
        (None, Some(value)) => Ok(Some((value, true))),
        (None, None) => Ok(None),
    }
}

/// Text, or a list of texts; None when it is anything else or empty.
fn texts(value: &Value) -> Option<Vec<String>> {
    let texts: Vec<String> = match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => {
            list.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<_>>()?
        }
        _ => return None,
    };
    (!texts.is_empty()).then_some(texts)
}

fn only(map: &Map<String, Value>, known: &[&str]) -> Result<(), PolicyError> {
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(PolicyError(format!("unknown element {key}"))),
        None => Ok(()),
    }
}

fn fault(text: &str) -> PolicyError {
    PolicyError(text.to_owned())
}
