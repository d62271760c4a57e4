//! The data plane over HTTP: shadows, Publish, retained messages. The same operations as over MQTT, on the same state.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::error::IotError;
use super::{Answer, Caller, Iot, Page, Params};
use crate::hub::Origin;
use crate::mqtt::topic;
use crate::shadow::request::ShadowError;
use crate::shadow::topics::{ShadowTopic, valid_shadow, valid_thing};

const MAX_PAYLOAD: usize = 128 * 1024;

pub async fn get_shadow(
    State(iot): State<Iot>,
    caller: Caller,
    Path(thing): Path<String>,
    Query(params): Params,
) -> Answer {
    let name = shadow_name(&iot, &caller, "iot:GetThingShadow", &thing, params.get("name"))?;
    Ok(Json(iot.hub.shadows.get(&thing, &name, iot.hub.clock.now().timestamp())?))
}

pub async fn update_shadow(
    State(iot): State<Iot>,
    caller: Caller,
    Path(thing): Path<String>,
    Query(params): Params,
    payload: Bytes,
) -> Answer {
    let name = shadow_name(&iot, &caller, "iot:UpdateThingShadow", &thing, params.get("name"))?;
    if payload.len() > MAX_PAYLOAD {
        return Err(ShadowError::too_large().into());
    }
    Ok(Json(iot.hub.update_shadow(&thing, &name, &payload)?))
}

pub async fn delete_shadow(
    State(iot): State<Iot>,
    caller: Caller,
    Path(thing): Path<String>,
    Query(params): Params,
) -> Answer {
    let name = shadow_name(&iot, &caller, "iot:DeleteThingShadow", &thing, params.get("name"))?;
    Ok(Json(iot.hub.delete_shadow(&thing, &name, b"")?))
}

pub async fn list_shadows(
    State(iot): State<Iot>,
    caller: Caller,
    Path(thing): Path<String>,
    Query(params): Params,
) -> Answer {
    if !caller.may(&iot, "iot:ListNamedShadowsForThing", &format!("thing/{thing}")) {
        return Err(IotError::forbidden());
    }
    let page = Page::read(&params, "pageSize", "nextToken")?;
    if page.limit > 100 {
        return Err(IotError::invalid("pageSize must be between 1 and 100"));
    }
    let mut names = iot.hub.shadows.names(&thing, &page.after, page.limit + 1)?;
    let next = page.cut(&mut names, Clone::clone);
    Ok(Json(json!({ "results": names, "nextToken": next, "timestamp": iot.hub.clock.now().timestamp() })))
}

pub async fn publish(
    State(iot): State<Iot>,
    caller: Caller,
    Path(topic): Path<String>,
    Query(params): Params,
    payload: Bytes,
) -> Answer {
    let is_reserved = topic.starts_with('$');
    let may_be_asked = ShadowTopic::parse(&topic).is_some() || topic.starts_with("$aws/rules/");
    let resource = format!("topic/{topic}");
    let retain = params.get("retain").is_some_and(|text| text == "true");
    let allowed = caller.may(&iot, "iot:Publish", &resource)
        && (!retain || caller.may(&iot, "iot:RetainPublish", &resource))
        && (!is_reserved || may_be_asked);
    if !allowed {
        return Err(IotError::forbidden());
    }
    let qos = match params.get("qos").map(String::as_str) {
        None | Some("0") => 0,
        Some("1") => 1,
        Some(_) => return Err(IotError::invalid("QoS must be 0 or 1")),
    };
    if !topic::valid_topic(&topic) {
        return Err(IotError::invalid("The topic is not valid"));
    }
    if payload.len() > MAX_PAYLOAD {
        return Err(ShadowError::too_large().into());
    }
    let origin = Origin { client_id: None, principal: caller.name() };
    iot.hub.publish(&origin, &topic, &payload, qos, retain && !is_reserved);
    Ok(Json(json!({ "message": "OK", "traceId": crate::hub::uuid() })))
}

pub async fn get_retained(State(iot): State<Iot>, caller: Caller, Path(topic): Path<String>) -> Answer {
    if !caller.may(&iot, "iot:GetRetainedMessage", &format!("topic/{topic}")) {
        return Err(IotError::forbidden());
    }
    let it = iot
        .hub
        .broker
        .retained(&topic)
        .ok_or_else(|| IotError::not_found("No retained message for the topic"))?;
    Ok(Json(json!({
        "topic": it.topic, "payload": STANDARD.encode(&it.payload), "qos": it.qos,
        "lastModifiedTime": it.modified * 1000,
    })))
}

pub async fn list_retained(State(iot): State<Iot>, caller: Caller, Query(params): Params) -> Answer {
    if !caller.may(&iot, "iot:ListRetainedMessages", "*") {
        return Err(IotError::forbidden());
    }
    let page = Page::read(&params, "maxResults", "nextToken")?;
    let mut found = iot.hub.broker.all_retained();
    found.retain(|it| it.topic > page.after);
    let next = page.cut(&mut found, |it| it.topic.clone());
    let topics: Vec<_> = found
        .iter()
        .map(|it| {
            json!({ "topic": it.topic, "payloadSize": it.payload.len(), "qos": it.qos,
                    "lastModifiedTime": it.modified * 1000 })
        })
        .collect();
    Ok(Json(json!({ "retainedTopics": topics, "nextToken": next })))
}

pub async fn delete_connection(
    State(iot): State<Iot>,
    caller: Caller,
    Path(client): Path<String>,
) -> Result<Response, IotError> {
    if !caller.may(&iot, "iot:DeleteConnection", &format!("client/{client}")) {
        return Err(IotError::forbidden());
    }
    if iot.hub.broker.disconnect_client(&client) {
        return Ok(Json(json!({})).into_response());
    }
    Err(IotError::not_found("The client is not connected"))
}

/// The shadow's name (empty: classic), once it is known to be well-formed and the caller's to touch.
fn shadow_name(
    iot: &Iot,
    caller: &Caller,
    action: &str,
    thing: &str,
    name: Option<&String>,
) -> Result<String, IotError> {
    let resource = match name {
        None => format!("thing/{thing}"),
        Some(name) => format!("thing/{thing}/{name}"),
    };
    if !caller.may(iot, action, &resource) {
        return Err(IotError::forbidden());
    }
    if !valid_thing(thing) {
        return Err(IotError::invalid("Invalid thing name"));
    }
    match name {
        Some(name) if !valid_shadow(name) => Err(IotError::invalid("Invalid shadow name")),
        name => Ok(name.cloned().unwrap_or_default()),
    }
}
