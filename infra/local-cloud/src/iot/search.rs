//! `SearchIndex` on `AWS_Things`: thing name, attributes and connectivity.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde_json::{Value, json};

use super::error::IotError;
use super::{Answer, Caller, Iot, body};
use crate::state::presence::Presence;
use crate::state::things::Thing;

/// The index of all things; it is always on.
const INDEX: &str = "AWS_Things";

pub async fn search(State(iot): State<Iot>, caller: Caller, bytes: Bytes) -> Answer {
    caller.demand(&iot, "iot:SearchIndex", &format!("index/{INDEX}"))?;
    let body = body(&bytes)?;
    if body["indexName"].as_str().is_some_and(|name| name != INDEX) {
        return Err(IotError::not_found("The index does not exist"));
    }
    let terms = Term::all(body["queryString"].as_str().unwrap_or_default())?;
    let limit = match &body["maxResults"] {
        Value::Null => 100,
        given => match given.as_u64() {
            Some(limit @ 1..=100) => usize::try_from(limit).unwrap_or(100),
            _ => return Err(IotError::invalid("maxResults must be between 1 and 100")),
        },
    };
    let mut after = body["nextToken"].as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    while found.len() <= limit {
        let batch = iot.hub.store.things(&after, 500)?;
        let Some(last) = batch.last() else { break };
        after.clone_from(&last.name);
        for thing in batch {
            let presence = iot.hub.store.presence(&thing.name)?;
            if terms.iter().all(|term| term.holds(&thing, presence.as_ref())) {
                found.push((thing, presence));
            }
        }
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(thing, _)| thing.name.clone());
    let things: Vec<_> = found.iter().map(|(thing, presence)| document(thing, presence.as_ref())).collect();
    Ok(Json(json!({ "things": things, "nextToken": next })))
}

fn document(thing: &Thing, presence: Option<&Presence>) -> Value {
    let mut out = json!({ "thingName": thing.name, "thingId": thing.id, "attributes": thing.attributes });
    if let Some(thing_type) = &thing.thing_type {
        out["thingTypeName"] = json!(thing_type);
    }
    out["connectivity"] = match presence {
        None => json!({ "connected": false }),
        Some(it) if it.connected => json!({ "connected": true, "timestamp": it.at }),
        Some(it) => json!({ "connected": false, "timestamp": it.at, "disconnectReason": it.reason }),
    };
    out
}

/// `field:value`, where the value may end in `*`; several are joined by AND. Values are compared without regard to case.
#[derive(Debug, PartialEq, Eq)]
struct Term {
    field: String,
    value: String,
}

impl Term {
    fn all(query: &str) -> Result<Vec<Self>, IotError> {
        if query.trim() == "*" {
            return Ok(Vec::new());
        }
        let mut quoted = false;
        let words = query.split(|c: char| {
            quoted ^= c == '"';
            c.is_whitespace() && !quoted
        });
        let terms: Vec<_> = words
            .filter(|word| !word.is_empty() && *word != "AND")
            .map(|word| {
                let invalid = || {
                    let message = "This cloud knows queries of field:value joined by AND";
                    IotError::other(http::StatusCode::BAD_REQUEST, "InvalidQueryException", message)
                };
                let (field, value) = word.split_once(':').ok_or_else(invalid)?;
                // Groups, ranges and exclusion would be taken for text.
                if value.is_empty()
                    || value.starts_with(['(', '[', '{', '<', '>'])
                    || field.starts_with(['(', '-'])
                {
                    return Err(invalid());
                }
                Ok(Self { field: field.to_owned(), value: value.trim_matches('"').to_lowercase() })
            })
            .collect::<Result<_, IotError>>()?;
        if terms.is_empty() { Err(IotError::invalid("queryString is missing")) } else { Ok(terms) }
    }

    fn holds(&self, thing: &Thing, presence: Option<&Presence>) -> bool {
        let actual = match self.field.as_str() {
            "thingName" => Some(thing.name.clone()),
            "thingId" => Some(thing.id.clone()),
            "thingTypeName" => thing.thing_type.clone(),
            "connectivity.connected" => Some(presence.is_some_and(|it| it.connected).to_string()),
            "connectivity.disconnectReason" => presence.map(|it| it.reason.clone()),
            field => field.strip_prefix("attributes.").and_then(|name| thing.attributes.get(name).cloned()),
        };
        actual.map(|actual| actual.to_lowercase()).is_some_and(|actual| match self.value.strip_suffix('*') {
            Some(prefix) => actual.starts_with(prefix),
            None => actual == self.value,
        })
    }
}
