//! `/v1/devices`

use axum::{
    Json as Answer,
    body::Bytes,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::IntoResponse,
};
use chrono::{DateTime, Utc};
use device_model::{change_id::ChangeId, shadow::Reported, status::Status, thing_name::ThingName};
use serde::{Deserialize, Serialize};

use super::{Json, Page, Path, Query, limit, pharmacies::PharmacyView, position};
use crate::{
    auth::{Admin, Reader},
    error::ApiError,
    fleet::{
        Fleet,
        device::{Device, DeviceState},
    },
    store::devices,
};

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView {
    thing: ThingName,
    /// The code of the pharmacy where it stands.
    pharmacy: Option<String>,
    pharmacy_details: Option<PharmacyView>,
    /// Since when it has stood there.
    pharmacy_since: Option<DateTime<Utc>>,
    tags: Vec<String>,
    state: DeviceState,
    /// Of its best certificate: `none`, `active` or `revoked`.
    certificate: &'static str,
    /// Null: nobody knows. A box that has just gone counts as online for half a minute.
    online: Option<bool>,
    /// When anything was last heard of it.
    last_seen_at: Option<DateTime<Utc>>,
    connection: Option<ConnectionView>,
    /// How it says it is: backlog, certificate's age, alarms and more; and when that was heard.
    status: Option<Status>,
    status_at: Option<DateTime<Utc>>,
    open_change: Option<ChangeId>,
    reported: Option<Reported>,
    reported_at: Option<DateTime<Utc>>,
    /// Since when it has run something else than it was asked to.
    drift_since: Option<DateTime<Utc>>,
    /// When a wish that is not ours was last found in its shadow.
    foreign_desired_at: Option<DateTime<Utc>>,
    /// When two clients with its certificate last threw each other out: a copy of the certificate, most likely.
    duplicate_client_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

/// A box's connection to AWS IoT Core.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionView {
    /// When it last began or ended.
    since: DateTime<Utc>,
    /// When and why one last ended, as AWS says it.
    last_disconnected_at: Option<DateTime<Utc>>,
    last_disconnect_reason: Option<String>,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// The code of a pharmacy where the box stands, or stood at any time.
    pharmacy: Option<String>,
    /// Only boxes that stand in that pharmacy now.
    #[serde(default)]
    now_there: bool,
    /// Part of the thing's name, or of its pharmacy's code, name or kana.
    q: Option<String>,
    tag: Option<String>,
    state: Option<DeviceState>,
    online: Option<bool>,
    /// An alarm that the box raises, such as `DISK_LOW`; or `DUPLICATE_CLIENTID`, of the last day.
    alarm: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    thing: ThingName,
    pharmacy: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    thing: ThingName,
    enrolment_code: String,
    expires_at: DateTime<Utc>,
}

#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Revocation {
    reason: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Revoked {
    thing: ThingName,
    /// The ids of all its certificates that are no good.
    revoked: Vec<String>,
}

#[utoipa::path(
    post, path = "/v1/devices", tag = "devices", operation_id = "devices_register",
    request_body = Registration,
    responses(
        (status = 201, description = "The thing, and a code by which its box enrols once", body = Registered),
        (status = 404, description = "unknown-pharmacy"),
        (status = 409, description = "thing-enrolled"),
        (status = 422, description = "unusable-fields"),
    ),
    security(("token" = []))
)]
pub async fn register(
    Admin(by): Admin,
    State(fleet): State<Fleet>,
    Json(body): Json<Registration>,
) -> Result<impl IntoResponse, ApiError> {
    let made = fleet.register(&body.thing, body.pharmacy.as_deref(), &by).await?;
    let answer =
        Registered { thing: made.thing, enrolment_code: made.enrolment_code, expires_at: made.expires_at };
    Ok((StatusCode::CREATED, Answer(answer)))
}

#[utoipa::path(
    get, path = "/v1/devices", tag = "devices", operation_id = "devices_list",
    params(Listing),
    responses(
        (status = 200, description = "Boxes, by name", body = Page<DeviceView>),
    ),
    security(("token" = []))
)]
pub async fn list(
    _: Reader,
    State(fleet): State<Fleet>,
    RawQuery(address): RawQuery,
    Query(listing): Query<Listing>,
) -> Result<impl IntoResponse, ApiError> {
    let json = [(header::CONTENT_TYPE, "application/json")];
    let (address, now) = (address.unwrap_or_default(), fleet.clock().now());
    let snapshot = fleet.snapshot().await?;
    if let Some(body) = fleet.pages.get(&address, &snapshot, now) {
        return Ok((json, body));
    }
    let size = limit(listing.limit)?;
    let filter = devices::Filter {
        pharmacy: listing.pharmacy,
        now_there: listing.now_there,
        text: listing.q,
        tag: listing.tag,
        state: listing.state,
        online: listing.online,
        alarm: listing.alarm,
        after: position(listing.cursor.as_deref())?.unwrap_or_default(),
        limit: size.with_next(),
    };
    let rows = fleet.devices(&filter).await?;
    let page = Page::of(rows, size, |row| row.thing.clone(), DeviceView::from);
    let body = Bytes::from(serde_json::to_vec(&page).map_err(anyhow::Error::from)?);
    fleet.pages.put(&address, snapshot, now, body.clone());
    Ok((json, body))
}

#[utoipa::path(
    get, path = "/v1/devices/{thing}", tag = "devices", operation_id = "devices_one",
    params(("thing" = ThingName, Path)),
    responses(
        (status = 200, description = "The box", body = DeviceView),
        (status = 404, description = "unknown-thing"),
    ),
    security(("token" = []))
)]
pub async fn one(
    _: Reader,
    State(fleet): State<Fleet>,
    Path(thing): Path<ThingName>,
) -> Result<Answer<DeviceView>, ApiError> {
    Ok(Answer(fleet.device(&thing).await?.into()))
}

#[utoipa::path(
    post, path = "/v1/devices/{thing}/revoke", tag = "devices", operation_id = "devices_revoke",
    params(("thing" = ThingName, Path)),
    request_body = Option<Revocation>,
    responses(
        (status = 200, description = "No certificate of it is good any more", body = Revoked),
        (status = 404, description = "unknown-thing"),
        (status = 422, description = "unusable-fields"),
    ),
    security(("token" = []))
)]
pub async fn revoke(
    Admin(by): Admin,
    State(fleet): State<Fleet>,
    Path(thing): Path<ThingName>,
    body: Bytes,
) -> Result<Answer<Revoked>, ApiError> {
    let body: Revocation = super::optional(&body)?;
    let revoked = fleet.revoke(&thing, &by, super::reason(body.reason.as_deref())?).await?;
    Ok(Answer(Revoked { thing, revoked }))
}

impl From<Device> for DeviceView {
    fn from(device: Device) -> Self {
        Self {
            thing: device.thing,
            pharmacy: device.pharmacy.as_ref().map(|pharmacy| pharmacy.code.clone()),
            pharmacy_details: device.pharmacy.map(PharmacyView::from),
            pharmacy_since: device.stands_since,
            tags: device.tags,
            state: device.state,
            certificate: device.state.certificate(),
            online: device.connection.as_ref().map(|connection| connection.online),
            last_seen_at: device.seen_at,
            connection: device.connection.map(|connection| ConnectionView {
                since: connection.since,
                last_disconnected_at: connection.disconnected_at,
                last_disconnect_reason: connection.disconnect_reason,
            }),
            status: device.status,
            status_at: device.status_at,
            open_change: device.open_change,
            reported: device.reported,
            reported_at: device.reported_at,
            drift_since: device.drift_since,
            foreign_desired_at: device.foreign_desired_at,
            duplicate_client_at: device.duplicate_client_at,
            created_at: device.created_at,
        }
    }
}
