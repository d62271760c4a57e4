//! `/iot/events`: what AWS IoT's rules post.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use device_model::thing_name::ThingName;
use serde::Deserialize;
use serde_json::Value;

use super::Json;
use crate::{
    error::ApiError,
    fleet::{Fleet, presence::LifecycleEvent},
};

const SECRET: &str = "x-recehub-events-secret";
const KIND: &str = "x-amz-rules-engine-message-type";

/// What a rule tells of.
#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    /// A shadow's update.
    Shadow {
        thing: ThingName,
        shadow: String,
    },
    Connection(LifecycleEvent),
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
    // What is neither is answered all the same: AWS would only send it again.
    match serde_json::from_value(body) {
        Ok(Told::Shadow { thing, shadow }) => fleet.hint(&thing, &shadow).await?,
        Ok(Told::Connection(event)) => fleet.connection(&event).await?,
        Err(_) => {}
    }
    Ok(StatusCode::NO_CONTENT)
}
