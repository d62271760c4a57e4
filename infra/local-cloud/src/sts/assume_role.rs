//! `AssumeRole`: the role's trust policy and the caller's own policies decide.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use http::StatusCode;

use super::{
    Form,
    reply::{Element, StsError},
};
use crate::{
    keys::{Keys, Principal, RoleRef},
    policy::{self, Decision, Document, Request},
    sigv4::Verified,
    template::Role,
};

const ACTION: &str = "sts:AssumeRole";

pub fn assume(
    keys: &Keys,
    roles: &[Role],
    caller: &Verified,
    form: &Form,
    now: DateTime<Utc>,
) -> Result<Vec<Element>, StsError> {
    let arn = form.need("RoleArn")?;
    let session_name = form.need("RoleSessionName")?;
    let of_name = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !(2..=64).contains(&session_name.len()) || !session_name.chars().all(of_name) {
        return Err(StsError::validation(
            "1 validation error detected: Value at 'roleSessionName' failed to satisfy constraint: Member must satisfy \
             regular expression pattern: [\\w+=,.@-]*",
        ));
    }
    for unsupported in ["Policy", "PolicyArns.member.1.arn", "Tags.member.1.Key"] {
        if form.get(unsupported).is_some() {
            return Err(StsError::validation("session policies and session tags are not supported here"));
        }
    }
    // A role that is not there is refused in the same words as one that may not be assumed.
    let role = roles.iter().find(|role| role.arn == arn);
    let role = role
        .filter(|role| allowed(&caller.principal, role, form, now))
        .ok_or_else(|| denied(&caller.principal, arn))?;
    let seconds = duration(form, role, &caller.principal)?;

    let known =
        RoleRef { arn: role.arn.clone(), name: role.name.clone(), policies: documents(&role.policies)? };
    let session = keys
        .issue(&known, session_name, Duration::seconds(seconds), BTreeMap::new(), now)
        .map_err(|_| internal("the session could not be kept"))?;
    Ok(vec![
        Element::Of(
            "AssumedRoleUser",
            vec![
                Element::text("AssumedRoleId", &format!("{}:{session_name}", known.role_id())),
                Element::text(
                    "Arn",
                    &Principal::of_role(&known, session_name, &caller.principal.account_id).arn,
                ),
            ],
        ),
        Element::Of(
            "Credentials",
            vec![
                Element::text("AccessKeyId", &session.access_key_id),
                Element::text("SecretAccessKey", &session.secret_access_key),
                Element::text("SessionToken", &session.session_token),
                Element::text("Expiration", &session.expiration.to_rfc3339_opts(SecondsFormat::Secs, true)),
            ],
        ),
    ])
}

/// A trust policy that names the caller is enough; one that names the account leaves it to the caller's policies.
fn allowed(caller: &Principal, role: &Role, form: &Form, now: DateTime<Utc>) -> bool {
    let Ok(trust) = Document::from_value(&role.trust) else { return false };
    let mut context = caller.request_context(now, true);
    context.set("sts:RoleSessionName", form.get("RoleSessionName").unwrap_or_default());
    if let Some(id) = form.get("ExternalId") {
        context.set("sts:ExternalId", id);
    }
    let request = Request { action: ACTION, resource: &role.arn, context: &context };
    let own = match policy::evaluate(&caller.policies, &request) {
        Decision::ImplicitDeny if caller.admin => Decision::Allow,
        decision => decision,
    };
    let root = context.clone().with("aws:PrincipalArn", format!("arn:aws:iam::{}:root", caller.account_id));
    match (own, policy::evaluate([&trust], &request)) {
        (Decision::ExplicitDeny, _) | (_, Decision::ExplicitDeny) => false,
        (_, Decision::Allow) => true,
        (own, Decision::ImplicitDeny) => {
            own.is_allowed()
                && policy::evaluate([&trust], &Request { context: &root, ..request }).is_allowed()
        }
    }
}

/// Within 15 minutes and the role's maximum; a session that assumes a role gets an hour at most.
fn duration(form: &Form, role: &Role, caller: &Principal) -> Result<i64, StsError> {
    let seconds = match form.get("DurationSeconds") {
        None => return Ok(3_600),
        Some(text) => {
            text.parse::<i64>().map_err(|_| StsError::validation("DurationSeconds must be a number"))?
        }
    };
    if seconds < 900 {
        return Err(StsError::validation(&format!(
            "1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: Member \
             must have value greater than or equal to 900"
        )));
    }
    if seconds > i64::from(role.max_session_seconds) {
        return Err(StsError::validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    if seconds > 3_600 && caller.context.get("aws:PrincipalType").is_some_and(|kind| kind == "AssumedRole") {
        return Err(StsError::validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        ));
    }
    Ok(seconds)
}

fn documents(policies: &[serde_json::Value]) -> Result<Vec<Document>, StsError> {
    let parsed: Result<_, _> = policies.iter().map(Document::from_value).collect();
    parsed.map_err(|_| internal("the role's policies could not be read"))
}

fn denied(caller: &Principal, arn: &str) -> StsError {
    StsError {
        status: StatusCode::FORBIDDEN,
        code: "AccessDenied",
        message: format!("User: {} is not authorized to perform: {ACTION} on resource: {arn}", caller.arn),
    }
}

fn internal(message: &str) -> StsError {
    StsError {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code: "InternalFailure",
        message: message.to_owned(),
    }
}
