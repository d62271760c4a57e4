//! Who may: extractors that a handler names as its first argument. A handler without one is open to
//! everybody, which the coverage test would show.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{header, request::Parts},
};
use device_model::thing_name::ThingName;

use crate::{
    error::ApiError,
    fleet::{
        Fleet,
        actor::{Actor, Origin},
        tokens::{Scope, Scopes},
    },
};

/// Someone with an API token, or a token of the identity provider, that may read.
pub struct Reader(pub Actor);
/// As [`Reader`], but may change boxes.
pub struct Changer(pub Actor);
/// As [`Reader`], but may do all there is.
pub struct Admin(pub Actor);
/// As [`Reader`], but may see the original paths of prescriptions.
pub struct PathReader(pub Actor);
/// A box with a session that has not ended and a certificate that is good.
pub struct Device(pub ThingName);
/// From where the request came, as far as is known.
pub struct Origination(pub Option<IpAddr>);

macro_rules! scoped {
    ($($name:ident needs $scope:expr),*) => { $(
        impl FromRequestParts<Fleet> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, fleet: &Fleet) -> Result<Self, ApiError> {
                let (scopes, actor) = holder(parts, fleet).await?;
                if scopes.scope < $scope { Err(ApiError::Forbidden) } else { Ok(Self(actor)) }
            }
        }
    )* };
}

scoped!(Reader needs Scope::Read, Changer needs Scope::Change, Admin needs Scope::Admin);

impl FromRequestParts<Fleet> for PathReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, fleet: &Fleet) -> Result<Self, ApiError> {
        let (scopes, actor) = holder(parts, fleet).await?;
        if scopes.paths { Ok(Self(actor)) } else { Err(ApiError::Forbidden) }
    }
}

impl FromRequestParts<Fleet> for Device {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, fleet: &Fleet) -> Result<Self, ApiError> {
        let thing = fleet.session_thing(bearer(parts)?).await?;
        let thing = thing.ok_or(ApiError::Unauthenticated)?;
        fleet.paces.thing(thing.as_str())?;
        Ok(Self(thing))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Origination {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(peer(parts)))
    }
}

async fn holder(parts: &Parts, fleet: &Fleet) -> Result<(Scopes, Actor), ApiError> {
    let holder = fleet.token_holder(bearer(parts)?).await?;
    let holder = holder.ok_or(ApiError::Unauthenticated)?;
    fleet.paces.token(&holder.actor)?;
    let actor = Actor { ip: peer(parts), ..Actor::new(holder.actor, holder.proof, Origin::Api) };
    Ok((holder.scopes.ok_or(ApiError::Forbidden)?, actor))
}

fn bearer(parts: &Parts) -> Result<&str, ApiError> {
    let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = given.and_then(|text| text.split_once(' ')).ok_or(ApiError::Unauthenticated)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(ApiError::Unauthenticated) }
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(address)| address.ip())
}
