//! `AttachThingPrincipal`, `DetachThingPrincipal`, and the lists both ways.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};

use super::error::IotError;
use super::{Answer, Caller, Iot, Page, Params, PrincipalArn, things};
use crate::state::things::Attachment;

pub async fn attach(
    State(iot): State<Iot>,
    caller: Caller,
    Path(thing): Path<String>,
    Query(params): Params,
    PrincipalArn(principal): PrincipalArn,
) -> Answer {
    caller.demand(&iot, "iot:AttachThingPrincipal", "*")?;
    things::find(&iot, &thing)?;
    certificate_exists(&iot, &principal)?;
    let exclusive = match params.get("thingPrincipalType").map(String::as_str) {
        None | Some("NON_EXCLUSIVE_THING") => false,
        Some("EXCLUSIVE_THING") => true,
        Some(_) => return Err(IotError::invalid("thingPrincipalType is not known")),
    };
    if iot.hub.store.attach_principal(&Attachment { thing, principal, exclusive })? {
        return Ok(Json(json!({})));
    }
    Err(IotError::invalid(
        "The principal is already attached to another thing, or with another thingPrincipalType",
    ))
}

pub async fn detach(
    State(iot): State<Iot>,
    caller: Caller,
    Path(thing): Path<String>,
    PrincipalArn(principal): PrincipalArn,
) -> Answer {
    caller.demand(&iot, "iot:DetachThingPrincipal", "*")?;
    if iot.hub.store.detach_principal(&thing, &principal)? {
        return Ok(Json(json!({})));
    }
    Err(IotError::not_found(format!("The principal is not attached to thing {thing}")))
}

pub async fn of_thing(
    State(iot): State<Iot>,
    caller: Caller,
    Path(thing): Path<String>,
    Query(params): Params,
) -> Answer {
    let (attached, next) = principals(&iot, &caller, &thing, &params)?;
    let principals: Vec<_> = attached.into_iter().map(|it| it.principal).collect();
    Ok(Json(json!({ "principals": principals, "nextToken": next })))
}

pub async fn of_thing_v2(
    State(iot): State<Iot>,
    caller: Caller,
    Path(thing): Path<String>,
    Query(params): Params,
) -> Answer {
    let (attached, next) = principals(&iot, &caller, &thing, &params)?;
    let objects: Vec<_> = attached
        .into_iter()
        .map(|it| json!({ "principal": it.principal, "thingPrincipalType": kind(it.exclusive) }))
        .collect();
    Ok(Json(json!({ "thingPrincipalObjects": objects, "nextToken": next })))
}

pub async fn things(
    State(iot): State<Iot>,
    caller: Caller,
    Query(params): Params,
    PrincipalArn(principal): PrincipalArn,
) -> Answer {
    let (attached, next) = things_of(&iot, &caller, &principal, &params)?;
    let names: Vec<_> = attached.into_iter().map(|it| it.thing).collect();
    Ok(Json(json!({ "things": names, "nextToken": next })))
}

pub async fn things_v2(
    State(iot): State<Iot>,
    caller: Caller,
    Query(params): Params,
    PrincipalArn(principal): PrincipalArn,
) -> Answer {
    let (attached, next) = things_of(&iot, &caller, &principal, &params)?;
    let objects: Vec<_> = attached
        .into_iter()
        .map(|it| json!({ "thingName": it.thing, "thingPrincipalType": kind(it.exclusive) }))
        .collect();
    Ok(Json(json!({ "principalThingObjects": objects, "nextToken": next })))
}

/// The id in a certificate's ARN, if such a certificate exists.
pub fn certificate_exists(iot: &Iot, principal: &str) -> Result<String, IotError> {
    let id = principal.rsplit_once(":cert/").map(|(_, id)| id);
    let known = match id {
        Some(id) if iot.hub.account.certificate_arn(id) == principal => iot.hub.store.certificate(id)?,
        _ => return Err(IotError::invalid("Invalid principal ARN")),
    };
    known
        .map(|it| it.id)
        .ok_or_else(|| IotError::not_found("The certificate given in the principal does not exist."))
}

type Attached = (Vec<Attachment>, Option<String>);

fn principals(iot: &Iot, caller: &Caller, thing: &str, params: &Pairs) -> Result<Attached, IotError> {
    caller.demand(iot, "iot:ListThingPrincipals", &format!("thing/{thing}"))?;
    things::throttle(iot, "ListThingPrincipals")?;
    things::find(iot, thing)?;
    let page = Page::read(params, "maxResults", "nextToken")?;
    let mut attached = iot.hub.store.attachments_of_thing(thing)?;
    attached.retain(|it| it.principal > page.after);
    let next = page.cut(&mut attached, |it| it.principal.clone());
    Ok((attached, next))
}

fn things_of(iot: &Iot, caller: &Caller, principal: &str, params: &Pairs) -> Result<Attached, IotError> {
    caller.demand(iot, "iot:ListPrincipalThings", "*")?;
    things::throttle(iot, "ListPrincipalThings")?;
    certificate_exists(iot, principal)?;
    let page = Page::read(params, "maxResults", "nextToken")?;
    let mut attached = iot.hub.store.attachments_of_principal(principal)?;
    attached.retain(|it| it.thing > page.after);
    let next = page.cut(&mut attached, |it| it.thing.clone());
    Ok((attached, next))
}

type Pairs = std::collections::HashMap<String, String>;

fn kind(exclusive: bool) -> Value {
    json!(if exclusive { "EXCLUSIVE_THING" } else { "NON_EXCLUSIVE_THING" })
}
