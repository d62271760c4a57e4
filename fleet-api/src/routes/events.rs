//! `/iot/events`: what AWS IoT's rules post.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use device_model::thing_name::ThingName;
use serde::Deserialize;
use serde_json::Value;

use super::Json;
use crate::{error::ApiError, fleet::Fleet};

const SECRET: &str = "x-recehub-events-secret";
const KIND: &str = "x-amz-rules-engine-message-type";

/// A shadow's update, or a presence event, which names no shadow.
#[derive(Deserialize)]
struct Hint {
    thing: ThingName,
    shadow: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Confirmation {
    arn: String,
    confirmation_token: String,
}

pub async fn receive(
    State(fleet): State<Fleet>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<StatusCode, ApiError> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // A confirmation comes from the engine itself, which does not know the secret.
    if header(KIND) == Some("DestinationConfirmation") {
        let malformed = |_| ApiError::malformed("not a confirmation");
        let it: Confirmation = serde_json::from_value(body).map_err(malformed)?;
        fleet.confirm_destination(&it.arn, &it.confirmation_token).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    if !header(SECRET).is_some_and(|given| fleet.knows_events_secret(given)) {
        return Err(ApiError::Unauthenticated);
    }
    if let Ok(hint) = serde_json::from_value::<Hint>(body) {
        fleet.hint(&hint.thing, &hint.shadow).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
