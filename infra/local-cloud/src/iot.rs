//! The IoT control plane (`iot`) and data plane (`iotdata`) over HTTP, in AWS's restJson1.

pub mod certificates;
pub mod data;
pub mod endpoints;
pub mod error;
pub mod policies;
pub mod principals;
pub mod role_aliases;
pub mod rules;
pub mod search;
pub mod things;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Query};
use axum::routing::{delete, get, post, put};
use http::request::Parts;
use parking_lot::Mutex;
use serde_json::Value;

use crate::authority::Permissions;
use crate::ca::Ca;
use crate::hub::Hub;
use crate::keys::Principal;
use crate::policy::{Request, evaluate};
use crate::rules::worker::Allowed;
use error::IotError;

/// What the handlers work with. Clones share it.
#[derive(Clone)]
pub struct Iot {
    pub hub: Hub,
    pub ca: Arc<Ca>,
    pub allowed: Allowed,
    /// What `DescribeEndpoint` tells: by endpoint type.
    pub endpoints: Arc<BTreeMap<&'static str, String>>,
}

pub type Answer = Result<axum::Json<Value>, IotError>;

/// The query, each name once.
pub type Params = Query<HashMap<String, String>>;

/// Every operation of the control plane.
pub fn control_plane(iot: Iot) -> Router {
    Router::new()
        .route("/things", get(things::list))
        .route(
            "/things/{thing}",
            post(things::create).get(things::describe).patch(things::update).delete(things::delete),
        )
        .route(
            "/things/{thing}/principals",
            put(principals::attach).delete(principals::detach).get(principals::of_thing),
        )
        .route("/things/{thing}/principals-v2", get(principals::of_thing_v2))
        .route("/principals/things", get(principals::things))
        .route("/principals/things-v2", get(principals::things_v2))
        .route("/certificates", post(certificates::from_csr).get(certificates::list))
        .route("/keys-and-certificate", post(certificates::with_keys))
        .route(
            "/certificates/{id}",
            get(certificates::describe).put(certificates::update).delete(certificates::delete),
        )
        .route("/policies", get(policies::list))
        .route("/policies/{policy}", post(policies::create).get(policies::get).delete(policies::delete))
        .route("/policies/{policy}/version", post(policies::create_version).get(policies::list_versions))
        .route(
            "/policies/{policy}/version/{version}",
            get(policies::get_version).patch(policies::set_default).delete(policies::delete_version),
        )
        .route("/target-policies/{policy}", put(policies::attach).post(policies::detach))
        .route("/attached-policies/{target}", post(policies::attached))
        .route("/policy-targets/{policy}", post(policies::targets))
        .route("/role-aliases", get(role_aliases::list))
        .route(
            "/role-aliases/{alias}",
            post(role_aliases::create)
                .get(role_aliases::describe)
                .put(role_aliases::update)
                .delete(role_aliases::delete),
        )
        .route("/endpoint", get(endpoints::describe))
        .route("/rules", get(rules::list))
        .route(
            "/rules/{rule}",
            post(rules::create).patch(rules::replace).get(rules::get).delete(rules::delete),
        )
        .route("/rules/{rule}/enable", post(rules::enable))
        .route("/rules/{rule}/disable", post(rules::disable))
        .route(
            "/destinations",
            post(rules::create_destination).patch(rules::update_destination).get(rules::list_destinations),
        )
        .route("/destinations/{*arn}", get(rules::get_destination).delete(rules::delete_destination))
        .route("/confirmdestination/{*token}", get(rules::confirm_destination))
        .route("/indices/search", post(search::search))
        .fallback(error::unknown_operation)
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(iot)
}

/// Every operation of the data plane.
pub fn data_plane(iot: Iot) -> Router {
    Router::new()
        .route(
            "/things/{thing}/shadow",
            get(data::get_shadow).post(data::update_shadow).delete(data::delete_shadow),
        )
        .route("/api/things/shadow/ListNamedShadowsForThing/{thing}", get(data::list_shadows))
        .route("/topics/{*topic}", post(data::publish))
        .route("/retainedMessage", get(data::list_retained))
        .route("/retainedMessage/{*topic}", get(data::get_retained))
        .route("/connections/{client}", delete(data::delete_connection))
        .fallback(error::unknown_operation)
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(iot)
}

/// Who calls; the front or the TLS listener puts it into the request.
#[derive(Clone)]
pub enum Caller {
    Signed {
        principal: Arc<Principal>,
        access_key_id: Arc<str>,
    },
    Certificate {
        id: Arc<str>,
        permissions: Arc<Mutex<Permissions>>,
    },
    /// Nobody: only what needs no permission.
    Nobody,
}

impl Caller {
    /// Whether the caller may do `action` on `resource` (the ARN's last part, or `*`).
    pub fn may(&self, iot: &Iot, action: &str, resource: &str) -> bool {
        match self {
            Self::Signed { principal, .. } if principal.admin => true,
            Self::Signed { principal, .. } => {
                let resource = if resource == "*" { "*".to_owned() } else { iot.hub.account.arn(resource) };
                let context = principal.request_context(iot.hub.clock.now(), true);
                let request = Request { action, resource: &resource, context: &context };
                evaluate(&principal.policies, &request).is_allowed()
            }
            Self::Certificate { permissions, .. } => permissions.lock().allow(action, resource),
            Self::Nobody => false,
        }
    }

    /// As `may`, with the control plane's refusal.
    pub fn demand(&self, iot: &Iot, action: &str, resource: &str) -> Result<(), IotError> {
        if self.may(iot, action, resource) {
            return Ok(());
        }
        let who = match self {
            Self::Signed { principal, .. } => principal.arn.clone(),
            _ => "anonymous".to_owned(),
        };
        let resource = if resource == "*" { "*".to_owned() } else { iot.hub.account.arn(resource) };
        Err(IotError::access_denied(&who, action, &resource))
    }

    /// What rules see as the principal of a message.
    pub fn name(&self) -> &str {
        match self {
            Self::Signed { access_key_id, .. } => access_key_id,
            Self::Certificate { id, .. } => id,
            Self::Nobody => "",
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = IotError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, IotError> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or(Self::Nobody))
    }
}

/// The header that names a principal.
pub struct PrincipalArn(pub String);

impl<S: Sync> FromRequestParts<S> for PrincipalArn {
    type Rejection = IotError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, IotError> {
        let header = parts.headers.get("x-amzn-principal").and_then(|value| value.to_str().ok());
        header.map(|value| Self(value.to_owned())).ok_or_else(|| IotError::invalid("Principal is missing"))
    }
}

/// One page of a list: how many, and after which item.
pub struct Page {
    pub limit: usize,
    pub after: String,
}

impl Page {
    /// `size` and `token` are the names of the two query parameters, which differ from list to list.
    pub fn read(params: &HashMap<String, String>, size: &str, token: &str) -> Result<Self, IotError> {
        let limit = match params.get(size).map(|text| text.parse::<usize>()) {
            None => 25,
            Some(Ok(limit @ 1..=250)) => limit,
            Some(_) => return Err(IotError::invalid(&format!("{size} must be between 1 and 250"))),
        };
        let after = match params.get(token) {
            None => String::new(),
            Some(token) => hex::decode(token)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| IotError::invalid("Invalid token"))?,
        };
        Ok(Self { limit, after })
    }

    /// The row after which the page begins, of a list that goes by rows.
    pub fn after_row(&self) -> Result<Option<i64>, IotError> {
        match self.after.as_str() {
            "" => Ok(None),
            row => row.parse().map(Some).map_err(|_| IotError::invalid("Invalid marker")),
        }
    }

    /// Cuts a list that was asked for with one item more than the page holds. Answers the token of the next page.
    pub fn cut<T>(&self, items: &mut Vec<T>, key: impl Fn(&T) -> String) -> Option<String> {
        if items.len() <= self.limit {
            return None;
        }
        items.truncate(self.limit);
        items.last().map(|last| hex::encode(key(last)))
    }
}

pub fn is_true(param: Option<&String>) -> bool {
    param.is_some_and(|text| text == "true")
}

/// A body that must be a JSON object, or nothing.
pub fn body(bytes: &[u8]) -> Result<Value, IotError> {
    if bytes.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    match serde_json::from_slice(bytes) {
        Ok(body @ Value::Object(_)) => Ok(body),
        _ => Err(IotError::invalid("The request body is not valid JSON")),
    }
}
