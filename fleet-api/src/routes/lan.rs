//! `/v1/devices/{thing}/lan`: what is wished and what is so.

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::IntoResponse,
};
use device_model::{
    change::ChangeState, change_id::ChangeId, lan::LanDraft, shadow::ProbePolicy, share::ShareDraft,
    thing_name::ThingName, window::WindowDraft,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Json, Path};
use crate::{
    auth::{Changer, Reader},
    error::ApiError,
    fleet::{
        Fleet,
        change::{Conditions, Wish},
    },
};

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    lan: LanDraft,
    share: Option<ShareDraft>,
    probe: Option<ProbePolicy>,
    window: Option<WindowDraft>,
    reason: Option<String>,
    ticket: Option<String>,
    supersede: bool,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    change_id: ChangeId,
    thing: ThingName,
    state: ChangeState,
}

pub async fn show(
    _: Reader,
    State(fleet): State<Fleet>,
    Path(thing): Path<ThingName>,
) -> Result<impl IntoResponse, ApiError> {
    let (lan, etag) = fleet.lan(&thing).await?;
    Ok(([(header::ETAG, etag)], Answer(lan)))
}

#[tracing::instrument(name = "http.devices.lan.put", skip_all, fields(thing.name = %thing))]
pub async fn change(
    Changer(by): Changer,
    State(fleet): State<Fleet>,
    Path(thing): Path<ThingName>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Result<impl IntoResponse, ApiError> {
    let conditions = Conditions {
        if_match: text(&headers, &header::IF_MATCH)?,
        idempotency_key: text(&headers, &HeaderName::from_static("idempotency-key"))?,
    };
    let change = fleet.change_lan(&thing, wanted.into(), &by, &conditions).await?;
    let location = [(header::LOCATION, format!("/v1/changes/{}", change.change_id))];
    let accepted = Accepted { change_id: change.change_id, thing: change.thing, state: change.state };
    Ok((StatusCode::ACCEPTED, location, Answer(accepted)))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, ApiError> {
    let text = headers.get(name).map(|value| value.to_str().map(str::to_owned)).transpose();
    text.map_err(|_| ApiError::malformed(format!("{name} is not text")))
}

impl From<Wanted> for Wish {
    fn from(wanted: Wanted) -> Self {
        Self {
            lan: wanted.lan,
            share: wanted.share,
            probe: wanted.probe.unwrap_or_default(),
            window: wanted.window,
            reason: wanted.reason.unwrap_or_default(),
            ticket: wanted.ticket,
            supersede: wanted.supersede,
            unknown: wanted.unknown.into_iter().map(|(field, _)| field).collect(),
        }
    }
}
