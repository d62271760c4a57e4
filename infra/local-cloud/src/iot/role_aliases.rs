//! Role aliases.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};

use super::error::IotError;
use super::{Answer, Caller, Iot, Page, Params, body, is_true};
use crate::state::aliases::RoleAlias;

pub async fn create(
    State(iot): State<Iot>,
    caller: Caller,
    Path(alias): Path<String>,
    bytes: Bytes,
) -> Answer {
    caller.demand(&iot, "iot:CreateRoleAlias", &resource(&alias))?;
    let body = body(&bytes)?;
    if iot.hub.store.role_alias(&alias)?.is_some() {
        let message = format!("Role alias {alias} already exists");
        return Err(IotError::exists(message, &alias, &arn(&iot, &alias)));
    }
    let now = iot.hub.clock.now().timestamp();
    let it = RoleAlias {
        role_arn: role_arn(&body)?.ok_or_else(|| IotError::invalid("Role ARN is missing"))?,
        duration: duration(&body)?.unwrap_or(3600),
        created: now,
        modified: now,
        alias,
    };
    iot.hub.store.put_role_alias(&it)?;
    Ok(Json(json!({ "roleAlias": it.alias, "roleAliasArn": arn(&iot, &it.alias) })))
}

pub async fn describe(State(iot): State<Iot>, caller: Caller, Path(alias): Path<String>) -> Answer {
    caller.demand(&iot, "iot:DescribeRoleAlias", &resource(&alias))?;
    let it = find(&iot, &alias)?;
    Ok(Json(json!({ "roleAliasDescription": {
        "roleAlias": it.alias, "roleAliasArn": arn(&iot, &it.alias), "roleArn": it.role_arn,
        "owner": iot.hub.account.id, "credentialDurationSeconds": it.duration,
        "creationDate": it.created, "lastModifiedDate": it.modified,
    }})))
}

pub async fn update(
    State(iot): State<Iot>,
    caller: Caller,
    Path(alias): Path<String>,
    bytes: Bytes,
) -> Answer {
    caller.demand(&iot, "iot:UpdateRoleAlias", &resource(&alias))?;
    let body = body(&bytes)?;
    let mut it = find(&iot, &alias)?;
    if let Some(role_arn) = role_arn(&body)? {
        it.role_arn = role_arn;
    }
    it.duration = duration(&body)?.unwrap_or(it.duration);
    it.modified = iot.hub.clock.now().timestamp();
    iot.hub.store.put_role_alias(&it)?;
    Ok(Json(json!({ "roleAlias": it.alias, "roleAliasArn": arn(&iot, &it.alias) })))
}

pub async fn delete(State(iot): State<Iot>, caller: Caller, Path(alias): Path<String>) -> Answer {
    caller.demand(&iot, "iot:DeleteRoleAlias", &resource(&alias))?;
    find(&iot, &alias)?;
    iot.hub.store.delete_role_alias(&alias)?;
    Ok(Json(json!({})))
}

pub async fn list(State(iot): State<Iot>, caller: Caller, Query(params): Params) -> Answer {
    caller.demand(&iot, "iot:ListRoleAliases", "*")?;
    let page = Page::read(&params, "pageSize", "marker")?;
    let mut found = iot.hub.store.role_aliases(
        page.after_row()?,
        is_true(params.get("isAscendingOrder")),
        page.limit + 1,
    )?;
    let next = page.cut(&mut found, |(row, _)| row.to_string());
    let names: Vec<_> = found.into_iter().map(|(_, alias)| alias).collect();
    Ok(Json(json!({ "roleAliases": names, "nextMarker": next })))
}

fn resource(alias: &str) -> String {
    format!("rolealias/{alias}")
}

fn arn(iot: &Iot, alias: &str) -> String {
    iot.hub.account.arn(&resource(alias))
}

fn find(iot: &Iot, alias: &str) -> Result<RoleAlias, IotError> {
    iot.hub
        .store
        .role_alias(alias)?
        .ok_or_else(|| IotError::not_found(format!("Role alias {alias} does not exist")))
}

fn role_arn(body: &Value) -> Result<Option<String>, IotError> {
    match body["roleArn"].as_str() {
        None => Ok(None),
        Some(arn) if arn.starts_with("arn:aws:iam::") && arn.contains(":role/") => Ok(Some(arn.to_owned())),
        Some(_) => Err(IotError::invalid("Role ARN is not valid")),
    }
}

fn duration(body: &Value) -> Result<Option<i64>, IotError> {
    match &body["credentialDurationSeconds"] {
        Value::Null => Ok(None),
        given => match given.as_i64() {
            Some(seconds @ 900..=43200) => Ok(Some(seconds)),
            _ => Err(IotError::invalid("credentialDurationSeconds must be between 900 and 43200")),
        },
    }
}
