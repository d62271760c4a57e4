//! `CreateThing`, `DescribeThing`, `UpdateThing`, `DeleteThing`, `ListThings`.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};

use super::error::IotError;
use super::{Answer, Caller, Iot, Page, Params, body};
use crate::shadow::topics::valid_thing;
use crate::state::things::Thing;

const MAX_ATTRIBUTES: usize = 50;

pub async fn create(
    State(iot): State<Iot>,
    caller: Caller,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answer {
    caller.demand(&iot, "iot:CreateThing", &format!("thing/{name}"))?;
    if !valid_thing(&name) {
        return Err(IotError::invalid(
            "Invalid thing name. It must satisfy regular expression pattern: [a-zA-Z0-9:_-]+",
        ));
    }
    let body = body(&bytes)?;
    let thing_type = body["thingTypeName"].as_str().map(str::to_owned);
    let attributes = attributes(&body)?;
    let arn = iot.hub.account.arn(&format!("thing/{name}"));
    if let Some(known) = iot.hub.store.thing(&name)? {
        // Asking twice for the same thing is fine.
        if known.attributes != attributes || known.thing_type != thing_type {
            let message = format!("Thing {name} already exists in account with different attributes");
            return Err(IotError::exists(message, &known.id, &arn));
        }
        return Ok(Json(json!({ "thingName": name, "thingArn": arn, "thingId": known.id })));
    }
    let thing = Thing { name, id: crate::hub::uuid(), thing_type, attributes, version: 1 };
    iot.hub.store.put_thing(&thing)?;
    Ok(Json(json!({ "thingName": thing.name, "thingArn": arn, "thingId": thing.id })))
}

pub async fn describe(State(iot): State<Iot>, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.demand(&iot, "iot:DescribeThing", &format!("thing/{name}"))?;
    throttle(&iot, "DescribeThing")?;
    let thing = find(&iot, &name)?;
    let mut out = summary(&iot, &thing);
    out["thingId"] = json!(thing.id);
    out["defaultClientId"] = json!(thing.name);
    Ok(Json(out))
}

pub async fn update(
    State(iot): State<Iot>,
    caller: Caller,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answer {
    caller.demand(&iot, "iot:UpdateThing", &format!("thing/{name}"))?;
    let body = body(&bytes)?;
    let mut thing = find(&iot, &name)?;
    expect_version(&thing, body["expectedVersion"].as_i64())?;
    if body["attributePayload"]["attributes"].is_object() {
        let patch = attributes(&body)?;
        if body["attributePayload"]["merge"].as_bool() != Some(true) {
            thing.attributes.clear();
        }
        thing.attributes.extend(patch);
        // An empty value takes the attribute away.
        thing.attributes.retain(|_, value| !value.is_empty());
    }
    if let Some(thing_type) = body["thingTypeName"].as_str() {
        thing.thing_type = Some(thing_type.to_owned());
    }
    if body["removeThingType"].as_bool() == Some(true) {
        thing.thing_type = None;
    }
    thing.version += 1;
    iot.hub.store.put_thing(&thing)?;
    Ok(Json(json!({})))
}

pub async fn delete(
    State(iot): State<Iot>,
    caller: Caller,
    Path(name): Path<String>,
    Query(params): Params,
) -> Answer {
    caller.demand(&iot, "iot:DeleteThing", &format!("thing/{name}"))?;
    // Deleting what is not there succeeds, as at AWS.
    let Some(thing) = iot.hub.store.thing(&name)? else { return Ok(Json(json!({}))) };
    expect_version(&thing, params.get("expectedVersion").and_then(|text| text.parse().ok()))?;
    if !iot.hub.store.attachments_of_thing(&name)?.is_empty() {
        let message = format!("Cannot delete. Thing {name} is still attached to one or more principals");
        return Err(IotError::invalid(&message));
    }
    iot.hub.store.delete_thing(&name)?;
    Ok(Json(json!({})))
}

pub async fn list(State(iot): State<Iot>, caller: Caller, Query(params): Params) -> Answer {
    caller.demand(&iot, "iot:ListThings", "*")?;
    let page = Page::read(&params, "maxResults", "nextToken")?;
    let prefix = params.get("usePrefixAttributeValue").is_some_and(|text| text == "true");
    let wanted = |thing: &Thing| {
        let attribute = params.get("attributeName").map(|name| thing.attributes.get(name));
        let value_fits = match (attribute, params.get("attributeValue")) {
            (None, _) => true,
            (Some(value), None) => value.is_some(),
            (Some(value), Some(wanted)) => {
                value.is_some_and(|value| if prefix { value.starts_with(wanted) } else { value == wanted })
            }
        };
        value_fits && params.get("thingTypeName").is_none_or(|name| thing.thing_type.as_ref() == Some(name))
    };
    let mut found = Vec::new();
    let mut after = page.after.clone();
    // The filter looks at JSON, so it is applied here, batch by batch.
    while found.len() <= page.limit {
        let batch = iot.hub.store.things(&after, 500)?;
        let Some(last) = batch.last() else { break };
        after.clone_from(&last.name);
        found.extend(batch.into_iter().filter(|thing| wanted(thing)));
    }
    found.truncate(page.limit + 1);
    let next = page.cut(&mut found, |thing| thing.name.clone());
    let things: Vec<_> = found.iter().map(|thing| summary(&iot, thing)).collect();
    Ok(Json(json!({ "things": things, "nextToken": next })))
}

pub fn find(iot: &Iot, name: &str) -> Result<Thing, IotError> {
    iot.hub.store.thing(name)?.ok_or_else(|| IotError::not_found(format!("Thing {name} cannot be found.")))
}

/// The rate limit of an operation, if limits are on.
pub fn throttle(iot: &Iot, operation: &str) -> Result<(), IotError> {
    if iot.hub.limits.may_call(operation, iot.hub.clock.now()) { Ok(()) } else { Err(IotError::throttled()) }
}

fn summary(iot: &Iot, thing: &Thing) -> Value {
    let mut out = json!({
        "thingName": thing.name,
        "thingArn": iot.hub.account.arn(&format!("thing/{}", thing.name)),
        "attributes": thing.attributes,
        "version": thing.version,
    });
    if let Some(thing_type) = &thing.thing_type {
        out["thingTypeName"] = json!(thing_type);
    }
    out
}

fn attributes(body: &Value) -> Result<BTreeMap<String, String>, IotError> {
    let Some(given) = body["attributePayload"]["attributes"].as_object() else { return Ok(BTreeMap::new()) };
    let valid = |text: &str, max: usize| {
        text.len() <= max && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.,@/:#-=[]+".contains(c))
    };
    let mut attributes = BTreeMap::new();
    for (name, value) in given {
        match value.as_str() {
            Some(value) if !name.is_empty() && valid(name, 128) && valid(value, 800) => {
                attributes.insert(name.clone(), value.to_owned());
            }
            _ => {
                return Err(IotError::invalid(
                    "An attribute's name or value has characters that are not allowed",
                ));
            }
        }
    }
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(IotError::invalid("A thing has at most 50 attributes"));
    }
    Ok(attributes)
}

fn expect_version(thing: &Thing, expected: Option<i64>) -> Result<(), IotError> {
    match expected {
        Some(expected) if expected != thing.version => Err(IotError::version_conflict(format!(
            "Expected version {expected} of thing {} is not its version {}",
            thing.name, thing.version
        ))),
        _ => Ok(()),
    }
}
