//! `/v1/devices/{thing}/lan`: what is wished and what is so.

use std::collections::BTreeSet;

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use device_model::{
    change::ChangeState,
    change_id::ChangeId,
    draft::Fields,
    fault::Faults,
    lan::LanDraft,
    shadow::{ProbePolicy, Reported},
    share::ShareDraft,
    thing_name::ThingName,
    window::WindowDraft,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::openapi::Object;

use super::{Json, Path, Query};
use crate::{
    auth::{Changer, Reader},
    error::ApiError,
    fleet::{
        Fleet,
        change::{Conditions, Preview, Settings, Wish},
    },
};

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    change_id: ChangeId,
    thing: ThingName,
    state: ChangeState,
}

/// A wish as it comes in. It is read field by field, so that every fault can be told at its field.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "tells the document what is read")]
pub struct WishBody {
    lan: LanDraft,
    /// Left out: the share stays as it is.
    share: Option<ShareBody>,
    probe: Option<ProbePolicy>,
    /// When the box may try it, by its own clock.
    window: Option<WindowDraft>,
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    #[schema(max_length = 100)]
    ticket: Option<String>,
    /// Takes the place of an open change instead of being refused because of it.
    supersede: Option<bool>,
}

/// The share's settings; the password is sealed to the box at once and never shown.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "tells the document what is read")]
pub struct ShareBody {
    name: String,
    user: String,
    workgroup: Option<String>,
    #[schema(write_only, min_length = 1, max_length = 63)]
    password: Option<String>,
}

/// What is wished and what is so.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "tells the document what is answered")]
pub struct LanView {
    /// The newest wish that is open, else the last that was applied.
    desired: Option<Object>,
    reported: Option<Reported>,
    open_change: Option<ChangeId>,
}

/// What a wish would do; nothing was written.
#[derive(Serialize, utoipa::ToSchema)]
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
#[derive(Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Difference {
    field: String,
    before: Value,
    after: Value,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manner {
    #[serde(default)]
    dry_run: bool,
}

#[utoipa::path(
    get, path = "/v1/devices/{thing}/lan", tag = "lan", operation_id = "lan_show",
    params(("thing" = ThingName, Path)),
    responses(
        (status = 200, description = "What is wished and what is so", body = LanView),
        (status = 404, description = "unknown-thing"),
    ),
    security(("token" = []))
)]
pub async fn show(
    _: Reader,
    State(fleet): State<Fleet>,
    Path(thing): Path<ThingName>,
) -> Result<impl IntoResponse, ApiError> {
    let (lan, etag) = fleet.lan(&thing).await?;
    Ok(([(header::ETAG, etag)], Answer(lan)))
}

#[utoipa::path(
    put, path = "/v1/devices/{thing}/lan", tag = "lan", operation_id = "lan_change",
    params(("thing" = ThingName, Path), Manner, ("idempotency-key" = Option<String>, Header, description = "The same key with the same request is the same change", min_length = 1, max_length = 255), ("if-match" = Option<String>, Header, description = "The ETag that the wish was made from")),
    request_body = WishBody,
    responses(
        (status = 200, description = "A dry run: what would change", body = Previewed),
        (status = 202, description = "Written down; the box has it later", body = Accepted),
        (status = 404, description = "unknown-thing"),
        (status = 409, description = "change-open"),
        (status = 412, description = "etag-mismatch"),
        (status = 422, description = "unusable-fields, idempotency-key-reused"),
    ),
    security(("token" = []))
)]
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
        held: false,
        misfits: Faults::default(),
    };
    wish.misfits = fields.finish();
    wish.misfits.extend(probe_misfits.under("probe"));
    wish
}
