//! `/v1/devices/{thing}/…`: where a box stands, what replaces it, how people sort it.

use axum::{Json as Answer, extract::State};
use chrono::{DateTime, Utc};
use device_model::thing_name::ThingName;
use serde::{Deserialize, Serialize};

use super::{Json, Path, devices::DeviceView};
use crate::{
    auth::{Admin, Changer, Reader},
    error::ApiError,
    fleet::{Fleet, device::Assignment},
};

/// That a box stands, or stood, in a pharmacy.
#[derive(Serialize, utoipa::ToSchema)]
pub struct AssignmentView {
    thing: String,
    pharmacy: String,
    from: DateTime<Utc>,
    /// Null: it stands there now.
    to: Option<DateTime<Utc>>,
}

/// The newest 200.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Assignments {
    items: Vec<AssignmentView>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// The code of the pharmacy where it stands from now on; null: nowhere.
    pharmacy: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// The box that takes its place; it is registered already.
    with: ThingName,
    reason: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Replaced {
    thing: ThingName,
    with: ThingName,
    /// The pharmacy that it is about.
    pharmacy: Option<String>,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tags {
    tags: Vec<String>,
}

#[utoipa::path(
    put, path = "/v1/devices/{thing}/pharmacy", tag = "devices", operation_id = "places_move_box",
    params(("thing" = ThingName, Path)),
    request_body = Move,
    responses(
        (status = 200, description = "The box where it stands now", body = DeviceView),
        (status = 404, description = "unknown-thing, unknown-pharmacy"),
        (status = 422, description = "unusable-fields"),
    ),
    security(("token" = []))
)]
pub async fn move_box(
    Admin(by): Admin,
    State(fleet): State<Fleet>,
    Path(thing): Path<ThingName>,
    Json(body): Json<Move>,
) -> Result<Answer<DeviceView>, ApiError> {
    let reason = super::reason(body.reason.as_deref())?;
    super::code(body.pharmacy.as_deref())?;
    fleet.move_box(&thing, body.pharmacy.as_deref(), &by, reason).await?;
    Ok(Answer(fleet.device(&thing).await?.into()))
}

#[utoipa::path(
    post, path = "/v1/devices/{thing}/replace", tag = "devices", operation_id = "places_replace",
    params(("thing" = ThingName, Path)),
    request_body = Replacement,
    responses(
        (status = 200, description = "The other box stands in its place", body = Replaced),
        (status = 404, description = "unknown-thing"),
        (status = 422, description = "unusable-fields"),
    ),
    security(("token" = []))
)]
pub async fn replace(
    Admin(by): Admin,
    State(fleet): State<Fleet>,
    Path(thing): Path<ThingName>,
    Json(body): Json<Replacement>,
) -> Result<Answer<Replaced>, ApiError> {
    let reason = super::reason(body.reason.as_deref())?;
    let pharmacy = fleet.replace(&thing, &body.with, &by, reason).await?;
    Ok(Answer(Replaced { thing, with: body.with, pharmacy }))
}

#[utoipa::path(
    put, path = "/v1/devices/{thing}/tags", tag = "devices", operation_id = "places_tag",
    params(("thing" = ThingName, Path)),
    request_body = Tags,
    responses(
        (status = 200, description = "Its tags", body = Tags),
        (status = 404, description = "unknown-thing"),
        (status = 422, description = "unusable-fields"),
    ),
    security(("token" = []))
)]
pub async fn tag(
    Changer(by): Changer,
    State(fleet): State<Fleet>,
    Path(thing): Path<ThingName>,
    Json(body): Json<Tags>,
) -> Result<Answer<Tags>, ApiError> {
    Ok(Answer(Tags { tags: fleet.set_tags(&thing, body.tags, &by).await? }))
}

#[utoipa::path(
    get, path = "/v1/devices/{thing}/assignments", tag = "devices", operation_id = "places_of_box",
    params(("thing" = ThingName, Path)),
    responses(
        (status = 200, description = "Where it has stood, newest first", body = Assignments),
        (status = 404, description = "unknown-thing"),
    ),
    security(("token" = []))
)]
pub async fn of_box(
    _: Reader,
    State(fleet): State<Fleet>,
    Path(thing): Path<ThingName>,
) -> Result<Answer<Assignments>, ApiError> {
    fleet.device(&thing).await?;
    Ok(Answer(fleet.places_of(&thing).await?.into()))
}

#[utoipa::path(
    get, path = "/v1/pharmacies/{code}/assignments", tag = "pharmacies", operation_id = "places_of_pharmacy",
    params(("code" = String, Path)),
    responses(
        (status = 200, description = "Which boxes have stood there, newest first", body = Assignments),
        (status = 404, description = "unknown-pharmacy"),
    ),
    security(("token" = []))
)]
pub async fn of_pharmacy(
    _: Reader,
    State(fleet): State<Fleet>,
    Path(code): Path<String>,
) -> Result<Answer<Assignments>, ApiError> {
    fleet.pharmacy(&code).await?;
    Ok(Answer(fleet.boxes_of(&code).await?.into()))
}

impl From<Vec<Assignment>> for Assignments {
    fn from(assignments: Vec<Assignment>) -> Self {
        let view = |it: Assignment| AssignmentView {
            thing: it.thing,
            pharmacy: it.pharmacy,
            from: it.from,
            to: it.to,
        };
        Self { items: assignments.into_iter().map(view).collect() }
    }
}
