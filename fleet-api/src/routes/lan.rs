//! `/v1/devices/{thing}/lan`: what is wished and what is so.

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::IntoResponse,
};
use device_model::{
    change::ChangeState, change_id::ChangeId, draft::Fields, fault::Faults, lan::LanDraft,
    shadow::ProbePolicy, share::ShareDraft, thing_name::ThingName, window::WindowDraft,
};
use serde::Serialize;
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
    Json(wanted): Json<Map<String, Value>>,
) -> Result<impl IntoResponse, ApiError> {
    let wish = wish(wanted);
    let key = text(&headers, &HeaderName::from_static("idempotency-key"))?;
    let conditions = Conditions {
        if_match: text(&headers, &header::IF_MATCH)?,
        // What cannot be read repeats nothing, and is refused whatever its key made before.
        idempotency_key: key.filter(|_| wish.is_readable()),
    };
    let change = fleet.change_lan(&thing, wish, &by, &conditions).await?;
    let location = [(header::LOCATION, format!("/v1/changes/{}", change.change_id))];
    let accepted = Accepted { change_id: change.change_id, thing: change.thing, state: change.state };
    Ok((StatusCode::ACCEPTED, location, Answer(accepted)))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, ApiError> {
    let text = headers.get(name).map(|value| value.to_str().map(str::to_owned)).transpose();
    text.map_err(|_| ApiError::malformed(format!("{name} is not text")))
}

/// Reads any object: what is wrong with it is told field by field, beside what the judge finds.
fn wish(wanted: Map<String, Value>) -> Wish {
    let mut fields = Fields::of(Value::Object(wanted));
    let probe = fields.given("probe").map(ProbePolicy::read);
    let (probe, probe_misfits) = probe.unwrap_or_default();
    let mut wish = Wish {
        lan: fields.given("lan").map(LanDraft::from).unwrap_or_default(),
        share: fields.given("share").map(ShareDraft::from),
        probe,
        window: fields.given("window").map(WindowDraft::from),
        reason: fields.text("reason").unwrap_or_default(),
        ticket: fields.text("ticket"),
        supersede: fields.truth("supersede").unwrap_or_default(),
        misfits: Faults::default(),
    };
    wish.misfits = fields.finish();
    wish.misfits.extend(probe_misfits.under("probe"));
    wish
}
