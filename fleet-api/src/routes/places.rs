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
#[derive(Serialize)]
pub struct AssignmentView {
    thing: String,
    pharmacy: String,
    from: DateTime<Utc>,
    /// Null: it stands there now.
    to: Option<DateTime<Utc>>,
}

/// The newest 200.
#[derive(Serialize)]
pub struct Assignments {
    items: Vec<AssignmentView>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// The code of the pharmacy where it stands from now on; null: nowhere.
    pharmacy: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// The box that takes its place; it is registered already.
    with: ThingName,
    reason: Option<String>,
}

#[derive(Serialize)]
pub struct Replaced {
    thing: ThingName,
    with: ThingName,
    /// The pharmacy that it is about.
    pharmacy: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tags {
    tags: Vec<String>,
}

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

pub async fn tag(
    Changer(by): Changer,
    State(fleet): State<Fleet>,
    Path(thing): Path<ThingName>,
    Json(body): Json<Tags>,
) -> Result<Answer<Tags>, ApiError> {
    Ok(Answer(Tags { tags: fleet.set_tags(&thing, body.tags, &by).await? }))
}

pub async fn of_box(
    _: Reader,
    State(fleet): State<Fleet>,
    Path(thing): Path<ThingName>,
) -> Result<Answer<Assignments>, ApiError> {
    fleet.device(&thing).await?;
    Ok(Answer(fleet.places_of(&thing).await?.into()))
}

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
