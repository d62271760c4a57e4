//! Topic rules, and the HTTP destinations they post to.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};

use super::error::IotError;
use super::{Answer, Caller, Iot, Page, Params, body};
use crate::rules::action::Action;
use crate::rules::compile;
use crate::rules::sql::Sql;
use crate::state::rules::{Destination, StoredRule};

pub async fn create(
    State(iot): State<Iot>,
    caller: Caller,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answer {
    caller.demand(&iot, "iot:CreateTopicRule", &resource(&name))?;
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !(1..=128).contains(&name.len()) || !name.chars().all(valid) {
        return Err(IotError::invalid("Invalid rule name"));
    }
    if stored(&iot, &name)?.is_some() {
        return Err(IotError::exists(format!("Rule {name} already exists"), &name, &arn(&iot, &name)));
    }
    put(&iot, &name, &body(&bytes)?, iot.hub.clock.now().timestamp())
}

pub async fn replace(
    State(iot): State<Iot>,
    caller: Caller,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answer {
    caller.demand(&iot, "iot:ReplaceTopicRule", &resource(&name))?;
    let before = find(&iot, &name)?;
    put(&iot, &name, &body(&bytes)?, before.created)
}

pub async fn get(State(iot): State<Iot>, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.demand(&iot, "iot:GetTopicRule", &resource(&name))?;
    let it = find(&iot, &name)?;
    let mut rule: Value = serde_json::from_str(&it.payload).unwrap_or_default();
    rule["ruleName"] = json!(it.name);
    rule["createdAt"] = json!(it.created);
    rule["ruleDisabled"] = json!(it.disabled);
    Ok(Json(json!({ "ruleArn": arn(&iot, &name), "rule": rule })))
}

pub async fn delete(State(iot): State<Iot>, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.demand(&iot, "iot:DeleteTopicRule", &resource(&name))?;
    iot.hub.store.delete_rule(&name)?;
    iot.hub.rules.reload()?;
    Ok(Json(json!({})))
}

pub async fn list(State(iot): State<Iot>, caller: Caller, Query(params): Params) -> Answer {
    caller.demand(&iot, "iot:ListTopicRules", "*")?;
    let page = Page::read(&params, "maxResults", "nextToken")?;
    let mut found = iot.hub.store.rules()?;
    found.retain(|it| it.name > page.after);
    let next = page.cut(&mut found, |it| it.name.clone());
    let rules: Vec<_> = found
        .iter()
        .map(|it| {
            json!({
                "ruleArn": arn(&iot, &it.name), "ruleName": it.name, "createdAt": it.created,
                "topicPattern": Sql::parse(&it.sql).map(|sql| sql.from).unwrap_or_default(),
                "ruleDisabled": it.disabled,
            })
        })
        .collect();
    Ok(Json(json!({ "rules": rules, "nextToken": next })))
}

pub async fn enable(State(iot): State<Iot>, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.demand(&iot, "iot:EnableTopicRule", &resource(&name))?;
    switch(&iot, &name, false)
}

pub async fn disable(State(iot): State<Iot>, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.demand(&iot, "iot:DisableTopicRule", &resource(&name))?;
    switch(&iot, &name, true)
}

pub async fn create_destination(State(iot): State<Iot>, caller: Caller, bytes: Bytes) -> Answer {
    caller.demand(&iot, "iot:CreateTopicRuleDestination", "*")?;
    let body = body(&bytes)?;
    let url = &body["destinationConfiguration"]["httpUrlConfiguration"]["confirmationUrl"];
    let url = url.as_str().ok_or_else(|| IotError::invalid("Only HTTP destinations are known here"))?;
    if let Some(known) = iot.hub.store.destinations()?.into_iter().find(|it| it.url == url) {
        return Err(IotError::exists("The destination already exists", &known.arn, &known.arn));
    }
    let made = new_destination(&iot, url)?;
    Ok(Json(json!({ "topicRuleDestination": described(&made, "httpUrlProperties") })))
}

pub async fn get_destination(State(iot): State<Iot>, caller: Caller, Path(arn): Path<String>) -> Answer {
    demand_destination(&iot, &caller, "iot:GetTopicRuleDestination", &arn)?;
    let it = find_destination(&iot, &arn)?;
    Ok(Json(json!({ "topicRuleDestination": described(&it, "httpUrlProperties") })))
}

pub async fn list_destinations(State(iot): State<Iot>, caller: Caller) -> Answer {
    caller.demand(&iot, "iot:ListTopicRuleDestinations", "*")?;
    let all = iot.hub.store.destinations()?;
    let all: Vec<_> = all.iter().map(|it| described(it, "httpUrlSummary")).collect();
    Ok(Json(json!({ "destinationSummaries": all })))
}

pub async fn update_destination(State(iot): State<Iot>, caller: Caller, bytes: Bytes) -> Answer {
    let body = body(&bytes)?;
    let arn = body["arn"].as_str().unwrap_or_default();
    demand_destination(&iot, &caller, "iot:UpdateTopicRuleDestination", arn)?;
    let it = find_destination(&iot, arn)?;
    let now = iot.hub.clock.now();
    match (body["status"].as_str().unwrap_or_default(), it.status.as_str()) {
        ("IN_PROGRESS", _) => iot.hub.rules.ask_again(it, now)?,
        ("ENABLED", "ENABLED" | "DISABLED") => iot.hub.rules.set_destination(it, "ENABLED", "", now)?,
        ("DISABLED", "ENABLED" | "DISABLED") => iot.hub.rules.set_destination(it, "DISABLED", "", now)?,
        ("ENABLED" | "DISABLED", _) => return Err(IotError::invalid("The destination is not confirmed")),
        _ => return Err(IotError::invalid("The status must be ENABLED, DISABLED or IN_PROGRESS")),
    }
    Ok(Json(json!({})))
}

pub async fn delete_destination(State(iot): State<Iot>, caller: Caller, Path(arn): Path<String>) -> Answer {
    demand_destination(&iot, &caller, "iot:DeleteTopicRuleDestination", &arn)?;
    find_destination(&iot, &arn)?;
    iot.hub.store.delete_destination(&arn)?;
    Ok(Json(json!({})))
}

/// By API, or by whoever opens the `enableUrl`: the token is the permission then.
pub async fn confirm_destination(
    State(iot): State<Iot>,
    caller: Caller,
    Path(token): Path<String>,
) -> Answer {
    let now = iot.hub.clock.now();
    let refused = || IotError::invalid("The confirmation token is not valid");
    let destination = iot.hub.rules.awaiting(&token, now)?.ok_or_else(refused)?;
    // By API it is only confirmed: it is enabled by a call of its own.
    let status = if matches!(caller, Caller::Signed { .. }) {
        demand_destination(&iot, &caller, "iot:ConfirmTopicRuleDestination", &destination.arn)?;
        "DISABLED"
    } else {
        "ENABLED"
    };
    if iot.hub.rules.confirm(&token, status, now)? { Ok(Json(json!({}))) } else { Err(refused()) }
}

fn put(iot: &Iot, name: &str, payload: &Value, created: i64) -> Answer {
    let it = StoredRule {
        name: name.to_owned(),
        sql: payload["sql"].as_str().unwrap_or_default().to_owned(),
        payload: payload.to_string(),
        disabled: payload["ruleDisabled"].as_bool().unwrap_or(false),
        created,
    };
    let rule = compile(&it).map_err(|error| IotError::sql_parse(error.to_string()))?;
    let known = iot.hub.store.destinations()?;
    for action in rule.actions.iter().chain(&rule.error_action) {
        let Action::Http(http) = action else { continue };
        let url = &http.confirmation_url;
        if !http.url.starts_with(url) {
            return Err(IotError::invalid("The URL must begin with the confirmation URL"));
        }
        // A template's destination is made by hand.
        if !url.contains("${") && !known.iter().any(|it| it.url == *url) {
            new_destination(iot, url)?;
        }
    }
    iot.hub.store.put_rule(&it)?;
    iot.hub.rules.reload()?;
    Ok(Json(json!({})))
}

fn new_destination(iot: &Iot, url: &str) -> Result<Destination, IotError> {
    if iot.allowed.url(url).is_none() {
        return Err(IotError::invalid("The confirmation URL must be an https URL"));
    }
    let arn = iot.hub.account.arn(&format!("ruledestination/http/{}", crate::hub::uuid()));
    Ok(iot.hub.rules.create_destination(&arn, url, iot.hub.clock.now())?)
}

fn switch(iot: &Iot, name: &str, disabled: bool) -> Answer {
    let it = StoredRule { disabled, ..find(iot, name)? };
    iot.hub.store.put_rule(&it)?;
    iot.hub.rules.reload()?;
    Ok(Json(json!({})))
}

fn resource(name: &str) -> String {
    format!("rule/{name}")
}

fn arn(iot: &Iot, name: &str) -> String {
    iot.hub.account.arn(&resource(name))
}

fn stored(iot: &Iot, name: &str) -> Result<Option<StoredRule>, IotError> {
    Ok(iot.hub.store.rules()?.into_iter().find(|it| it.name == name))
}

/// AWS tells a rule that is not there from one that is not yours in no way.
fn find(iot: &Iot, name: &str) -> Result<StoredRule, IotError> {
    let refused = || {
        IotError::other(
            http::StatusCode::UNAUTHORIZED,
            "UnauthorizedException",
            "Access to topic rule was denied",
        )
    };
    stored(iot, name)?.ok_or_else(refused)
}

fn find_destination(iot: &Iot, arn: &str) -> Result<Destination, IotError> {
    iot.hub.store.destination(arn)?.ok_or_else(|| IotError::not_found("The destination does not exist"))
}

fn demand_destination(iot: &Iot, caller: &Caller, action: &str, arn: &str) -> Result<(), IotError> {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or("*");
    caller.demand(iot, action, resource)
}

fn described(it: &Destination, url_field: &str) -> Value {
    json!({
        "arn": it.arn, "status": it.status, "statusReason": it.reason, "createdAt": it.created,
        "lastUpdatedAt": it.updated, url_field: { "confirmationUrl": it.url },
    })
}
