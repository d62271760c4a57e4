//! Policies, their versions, and what they are attached to.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};

use super::error::IotError;
use super::{Answer, Caller, Iot, Page, Params, body, is_true, principals};
use crate::policy::Document;
use crate::state::policies::PolicyVersion;

const MAX_VERSIONS: usize = 5;
const MAX_BYTES: usize = 2048;
const MAX_ATTACHED: usize = 10;

pub async fn create(
    State(iot): State<Iot>,
    caller: Caller,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answer {
    caller.demand(&iot, "iot:CreatePolicy", &resource(&name))?;
    let valid = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if !(1..=128).contains(&name.len()) || !name.chars().all(valid) {
        return Err(IotError::invalid("Invalid policy name"));
    }
    let document = document(&body(&bytes)?)?;
    if iot.hub.store.policy_exists(&name)? {
        let message = format!("Policy cannot be created - name already exists (name={name})");
        return Err(IotError::exists(message, &name, &arn(&iot, &name)));
    }
    iot.hub.store.create_policy(&name, &document, now(&iot))?;
    Ok(Json(json!({
        "policyName": name, "policyArn": arn(&iot, &name), "policyDocument": document, "policyVersionId": "1"
    })))
}

pub async fn get(State(iot): State<Iot>, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.demand(&iot, "iot:GetPolicy", &resource(&name))?;
    let versions = versions(&iot, &name)?;
    let default = versions.iter().find(|it| it.is_default);
    let created = versions.iter().map(|it| it.created).min();
    let modified = versions.iter().map(|it| it.created).max();
    Ok(Json(json!({
        "policyName": name, "policyArn": arn(&iot, &name), "policyDocument": default.map(|it| &it.document),
        "defaultVersionId": default.map(|it| it.version.to_string()), "creationDate": created,
        "lastModifiedDate": modified,
    })))
}

pub async fn delete(State(iot): State<Iot>, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.demand(&iot, "iot:DeletePolicy", &resource(&name))?;
    if versions(&iot, &name)?.len() > 1 {
        return Err(IotError::delete_conflict(format!(
            "Cannot delete the policy because it has one or more policy versions attached to it (name={name})"
        )));
    }
    if !iot.hub.store.targets_of_policy(&name)?.is_empty() {
        return Err(IotError::delete_conflict(format!(
            "The policy cannot be deleted as the policy is attached to one or more principals (name={name})"
        )));
    }
    iot.hub.store.delete_policy(&name)?;
    Ok(Json(json!({})))
}

pub async fn list(State(iot): State<Iot>, caller: Caller, Query(params): Params) -> Answer {
    caller.demand(&iot, "iot:ListPolicies", "*")?;
    let page = Page::read(&params, "pageSize", "marker")?;
    let mut found =
        iot.hub.store.policies(page.after_row()?, is_true(params.get("isAscendingOrder")), page.limit + 1)?;
    let next = page.cut(&mut found, |(row, _)| row.to_string());
    let names: Vec<_> = found.into_iter().map(|(_, name)| name).collect();
    Ok(Json(json!({ "policies": named(&iot, &names), "nextMarker": next })))
}

pub async fn create_version(
    State(iot): State<Iot>,
    caller: Caller,
    Path(name): Path<String>,
    Query(params): Params,
    bytes: Bytes,
) -> Answer {
    caller.demand(&iot, "iot:CreatePolicyVersion", &resource(&name))?;
    if versions(&iot, &name)?.len() >= MAX_VERSIONS {
        let message =
            format!("The policy {name} already has the maximum number of versions ({MAX_VERSIONS})");
        return Err(IotError::versions_limit(message));
    }
    let document = document(&body(&bytes)?)?;
    let default = is_true(params.get("setAsDefault"));
    let version = iot.hub.store.create_policy_version(&name, &document, default, now(&iot))?;
    Ok(Json(json!({
        "policyArn": arn(&iot, &name), "policyDocument": document, "policyVersionId": version.to_string(),
        "isDefaultVersion": default,
    })))
}

pub async fn list_versions(State(iot): State<Iot>, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.demand(&iot, "iot:ListPolicyVersions", &resource(&name))?;
    let all = versions(&iot, &name)?.into_iter().map(|it| {
        json!({ "versionId": it.version.to_string(), "isDefaultVersion": it.is_default, "createDate": it.created })
    });
    Ok(Json(json!({ "policyVersions": all.collect::<Vec<_>>() })))
}

pub async fn get_version(
    State(iot): State<Iot>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
) -> Answer {
    caller.demand(&iot, "iot:GetPolicyVersion", &resource(&name))?;
    let it = version_of(&iot, &name, &version)?;
    Ok(Json(json!({
        "policyArn": arn(&iot, &name), "policyName": name, "policyDocument": it.document, "policyVersionId": version,
        "isDefaultVersion": it.is_default, "creationDate": it.created, "lastModifiedDate": it.created,
    })))
}

pub async fn set_default(
    State(iot): State<Iot>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
) -> Answer {
    caller.demand(&iot, "iot:SetDefaultPolicyVersion", &resource(&name))?;
    let it = version_of(&iot, &name, &version)?;
    iot.hub.store.set_default_policy_version(&name, it.version)?;
    Ok(Json(json!({})))
}

pub async fn delete_version(
    State(iot): State<Iot>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
) -> Answer {
    caller.demand(&iot, "iot:DeletePolicyVersion", &resource(&name))?;
    let it = version_of(&iot, &name, &version)?;
    if it.is_default {
        let message = format!("Cannot delete the default version of a policy (name={name})");
        return Err(IotError::delete_conflict(message));
    }
    iot.hub.store.delete_policy_version(&name, it.version)?;
    Ok(Json(json!({})))
}

pub async fn attach(
    State(iot): State<Iot>,
    caller: Caller,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answer {
    caller.demand(&iot, "iot:AttachPolicy", &resource(&name))?;
    let target = target(&iot, &body(&bytes)?)?;
    versions(&iot, &name)?;
    let attached = iot.hub.store.policies_of_target(&target)?;
    if attached.len() >= MAX_ATTACHED && !attached.contains(&name) {
        return Err(IotError::other(
            http::StatusCode::GONE,
            "LimitExceededException",
            "The maximum number of policies per target has been reached",
        ));
    }
    iot.hub.store.attach_policy(&name, &target)?;
    Ok(Json(json!({})))
}

pub async fn detach(
    State(iot): State<Iot>,
    caller: Caller,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answer {
    caller.demand(&iot, "iot:DetachPolicy", &resource(&name))?;
    let target = target(&iot, &body(&bytes)?)?;
    versions(&iot, &name)?;
    iot.hub.store.detach_policy(&name, &target)?;
    Ok(Json(json!({})))
}

pub async fn attached(
    State(iot): State<Iot>,
    caller: Caller,
    Path(target): Path<String>,
    Query(params): Params,
) -> Answer {
    caller.demand(&iot, "iot:ListAttachedPolicies", "*")?;
    principals::certificate_exists(&iot, &target)?;
    let page = Page::read(&params, "pageSize", "marker")?;
    let mut names = iot.hub.store.policies_of_target(&target)?;
    names.retain(|name| *name > page.after);
    let next = page.cut(&mut names, Clone::clone);
    Ok(Json(json!({ "policies": named(&iot, &names), "nextMarker": next })))
}

pub async fn targets(
    State(iot): State<Iot>,
    caller: Caller,
    Path(name): Path<String>,
    Query(params): Params,
) -> Answer {
    caller.demand(&iot, "iot:ListTargetsForPolicy", &resource(&name))?;
    versions(&iot, &name)?;
    let page = Page::read(&params, "pageSize", "marker")?;
    let mut targets = iot.hub.store.targets_of_policy(&name)?;
    targets.retain(|target| *target > page.after);
    let next = page.cut(&mut targets, Clone::clone);
    Ok(Json(json!({ "targets": targets, "nextMarker": next })))
}

fn resource(name: &str) -> String {
    format!("policy/{name}")
}

fn arn(iot: &Iot, name: &str) -> String {
    iot.hub.account.arn(&resource(name))
}

fn now(iot: &Iot) -> i64 {
    iot.hub.clock.now().timestamp()
}

fn named(iot: &Iot, names: &[String]) -> Vec<Value> {
    names.iter().map(|name| json!({ "policyName": name, "policyArn": arn(iot, name) })).collect()
}

fn versions(iot: &Iot, name: &str) -> Result<Vec<PolicyVersion>, IotError> {
    let versions = iot.hub.store.policy_versions(name)?;
    if versions.is_empty() {
        return Err(IotError::not_found(format!("Policy not found (name={name})")));
    }
    Ok(versions)
}

fn version_of(iot: &Iot, name: &str, version: &str) -> Result<PolicyVersion, IotError> {
    versions(iot, name)?.into_iter().find(|it| it.version.to_string() == version).ok_or_else(|| {
        IotError::not_found(format!("Policy version not found (name={name}, version={version})"))
    })
}

fn document(body: &Value) -> Result<String, IotError> {
    let text = body["policyDocument"].as_str().unwrap_or_default();
    if text.chars().filter(|c| !c.is_whitespace()).count() > MAX_BYTES {
        return Err(IotError::malformed_policy("Policy document is longer than 2048 characters"));
    }
    Document::parse(text).map_err(|error| IotError::malformed_policy(error.to_string()))?;
    Ok(text.to_owned())
}

fn target(iot: &Iot, body: &Value) -> Result<String, IotError> {
    let target = body["target"].as_str().unwrap_or_default().to_owned();
    principals::certificate_exists(iot, &target)?;
    Ok(target)
}
