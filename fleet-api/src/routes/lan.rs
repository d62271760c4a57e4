//! `/v1/devices/{thing}/lan`: what is wished and what is so.

use std::collections::BTreeSet;

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use device_model::{
    change::ChangeState, change_id::ChangeId, draft::Fields, fault::Faults, lan::LanDraft,
    shadow::ProbePolicy, share::ShareDraft, thing_name::ThingName, window::WindowDraft,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Json, Path, Query};
use crate::{
    auth::{Changer, Reader},
    error::ApiError,
    fleet::{
        Fleet,
        change::{Conditions, Preview, Settings, Wish},
    },
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    change_id: ChangeId,
    thing: ThingName,
    state: ChangeState,
}

/// What a wish would do; nothing was written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Previewed {
    thing: ThingName,
    dry_run: bool,
    before: Option<Settings>,
    after: Settings,
    diff: Vec<Difference>,
    /// The open change whose place it would take.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<ChangeId>,
}

/// A field that would change; null where it is not set.
#[derive(Debug, PartialEq, Serialize)]
pub struct Difference {
    field: String,
    before: Value,
    after: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manner {
    #[serde(default)]
    dry_run: bool,
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
    Query(manner): Query<Manner>,
    headers: HeaderMap,
    Json(wanted): Json<Map<String, Value>>,
) -> Result<Response, ApiError> {
    let wish = wish(wanted);
    let key = text(&headers, &HeaderName::from_static("idempotency-key"))?;
    let conditions = Conditions {
        if_match: text(&headers, &header::IF_MATCH)?,
        // What cannot be read repeats nothing, and is refused whatever its key made before.
        idempotency_key: key.filter(|_| wish.is_readable()),
    };
    if manner.dry_run {
        let preview = fleet.preview_lan(&thing, wish, &conditions).await?;
        return Ok(Answer(dry_run(thing, preview)).into_response());
    }
    let change = fleet.change_lan(&thing, wish, &by, &conditions).await?;
    let location = [(header::LOCATION, format!("/v1/changes/{}", change.change_id))];
    let accepted = Accepted { change_id: change.change_id, thing: change.thing, state: change.state };
    Ok((StatusCode::ACCEPTED, location, Answer(accepted)).into_response())
}

fn dry_run(thing: ThingName, preview: Preview) -> Previewed {
    let shown = |settings: &Settings| json!(settings.clone().without_secrets());
    let (before, after) = (preview.before.as_ref().map_or(json!({}), shown), shown(&preview.after));
    let mut diff = Vec::new();
    differ(String::new(), &before, &after, &mut diff);
    let sealed = |settings: &Settings| settings.share.as_ref().and_then(|it| it.password_sealed.clone());
    if preview.before.as_ref().and_then(sealed) != sealed(&preview.after) {
        // That it is another one is told, and nothing more.
        diff.push(Difference {
            field: "share.password".to_owned(),
            before: Value::Null,
            after: json!("new"),
        });
    }
    Previewed {
        thing,
        dry_run: true,
        before: preview.before.map(Settings::without_secrets),
        after: preview.after.without_secrets(),
        diff,
        replaces: preview.replaces,
    }
}

/// Field by field; lists are compared whole, as the box takes them.
fn differ(field: String, before: &Value, after: &Value, diff: &mut Vec<Difference>) {
    let nothing = Map::new();
    let side = |value: &Value| value.as_object().cloned();
    match (side(before), side(after)) {
        (None, None) if before == after => {}
        (None, None) => diff.push(Difference { field, before: before.clone(), after: after.clone() }),
        (before, after) => {
            let (before, after) = (before.unwrap_or(nothing.clone()), after.unwrap_or(nothing));
            let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in names {
                let below = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                let value = |side: &Map<String, Value>| side.get(name).cloned().unwrap_or_default();
                differ(below, &value(&before), &value(&after), diff);
            }
        }
    }
}

pub(super) fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, ApiError> {
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
