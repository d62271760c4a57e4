//! `/v1/changes`: the story of each change.

use axum::{
    Json as Answer,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::IntoResponse,
};
use chrono::{DateTime, Utc};
use device_model::{change::ChangeState, change_id::ChangeId, outcome::Clock, thing_name::ThingName};
use serde::{Deserialize, Serialize};

use super::{Page, Path, Query, limit, position};
use crate::{
    auth::{Changer, Reader},
    error::ApiError,
    fleet::{
        Fleet,
        change::{Change, Conditions, Settings, Sight, Step, Withdrawing},
    },
    store,
};

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeView {
    change_id: ChangeId,
    thing: ThingName,
    pharmacy: Option<String>,
    state: ChangeState,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawing: Option<Withdrawing>,
    requested_at: DateTime<Utc>,
    requested_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_by: Option<String>,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    /// The change that this one takes the place of.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<ChangeId>,
    before: Option<Settings>,
    /// Null: it was recovered from the shadow of a box, which only tells how it ended.
    after: Option<Settings>,
    /// It stood in the shadow of the box, and the database did not know it; left out if it is not so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    recovered: bool,
    /// Left out in lists, and if the box does not host its share.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt_computer: Option<Sight>,
    /// What became of it and when, oldest first.
    timeline: Vec<StepView>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    state: ChangeState,
    at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<Clock>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    thing: Option<String>,
    pharmacy: Option<String>,
    state: Option<ChangeState>,
    #[serde(default)]
    open: bool,
    cursor: Option<String>,
    limit: Option<i64>,
}

#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cancellation {
    reason: Option<String>,
}

#[utoipa::path(
    get, path = "/v1/changes", tag = "changes", operation_id = "changes_list",
    params(Listing),
    responses(
        (status = 200, description = "Changes, newest first", body = Page<ChangeView>),
    ),
    security(("token" = []))
)]
pub async fn list(
    _: Reader,
    State(fleet): State<Fleet>,
    Query(listing): Query<Listing>,
) -> Result<Answer<Page<ChangeView>>, ApiError> {
    let size = limit(listing.limit)?;
    let filter = store::changes::Filter {
        thing: listing.thing,
        pharmacy: listing.pharmacy,
        state: listing.state.map(|state| state.as_str().to_owned()),
        open: listing.open,
        before: position(listing.cursor.as_deref())?,
        limit: size.with_next(),
    };
    let rows = fleet.changes(&filter).await?;
    Ok(Answer(Page::of(rows, size, |row| row.seq, ChangeView::from)))
}

#[utoipa::path(
    get, path = "/v1/changes/{id}", tag = "changes", operation_id = "changes_one",
    params(("id" = ChangeId, Path)),
    responses(
        (status = 200, description = "The change with its timeline", body = ChangeView),
        (status = 404, description = "unknown-change"),
    ),
    security(("token" = []))
)]
pub async fn one(
    _: Reader,
    State(fleet): State<Fleet>,
    Path(id): Path<ChangeId>,
) -> Result<Answer<ChangeView>, ApiError> {
    Ok(Answer(fleet.change(&id).await?.into()))
}

#[utoipa::path(
    post, path = "/v1/changes/{id}/cancel", tag = "changes", operation_id = "changes_cancel",
    params(("id" = ChangeId, Path)),
    request_body = Option<Cancellation>,
    responses(
        (status = 202, description = "Cancelled, or on its way to be: the box has the last word", body = ChangeView),
        (status = 404, description = "unknown-change"),
        (status = 409, description = "change-closed"),
        (status = 422, description = "unusable-fields"),
    ),
    security(("token" = []))
)]
pub async fn cancel(
    Changer(by): Changer,
    State(fleet): State<Fleet>,
    Path(id): Path<ChangeId>,
    body: Bytes,
) -> Result<impl IntoResponse, ApiError> {
    let body: Cancellation = super::optional(&body)?;
    let change = fleet.cancel_change(&id, &by, super::reason(body.reason.as_deref())?).await?;
    Ok((StatusCode::ACCEPTED, Answer(ChangeView::from(change))))
}

#[utoipa::path(
    post, path = "/v1/changes/{id}/retry", tag = "changes", operation_id = "changes_retry",
    params(("id" = ChangeId, Path), ("idempotency-key" = Option<String>, Header, description = "The same key with the same request is the same change", min_length = 1, max_length = 255)),
    request_body = Option<Cancellation>,
    responses(
        (status = 202, description = "A change of its own that asks for the same once more", body = ChangeView),
        (status = 404, description = "unknown-change"),
        (status = 409, description = "change-open, change-not-retryable"),
        (status = 422, description = "unusable-fields, idempotency-key-reused"),
    ),
    security(("token" = []))
)]
pub async fn retry(
    Changer(by): Changer,
    State(fleet): State<Fleet>,
    Path(id): Path<ChangeId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<impl IntoResponse, ApiError> {
    let body: Cancellation = super::optional(&body)?;
    let reason = super::reason(body.reason.as_deref())?;
    let change = fleet.retry_change(&id, &by, reason, &conditions(&headers)?).await?;
    Ok(opened(change))
}

#[utoipa::path(
    post, path = "/v1/changes/{id}/revert", tag = "changes", operation_id = "changes_revert",
    params(("id" = ChangeId, Path), ("idempotency-key" = Option<String>, Header, description = "The same key with the same request is the same change", min_length = 1, max_length = 255)),
    request_body = Option<Cancellation>,
    responses(
        (status = 202, description = "A change of its own that asks for what was last applied before", body = ChangeView),
        (status = 404, description = "unknown-change"),
        (status = 409, description = "change-open, nothing-to-revert-to"),
        (status = 422, description = "unusable-fields, idempotency-key-reused"),
    ),
    security(("token" = []))
)]
pub async fn revert(
    Changer(by): Changer,
    State(fleet): State<Fleet>,
    Path(id): Path<ChangeId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<impl IntoResponse, ApiError> {
    let body: Cancellation = super::optional(&body)?;
    let reason = super::reason(body.reason.as_deref())?;
    let change = fleet.revert_change(&id, &by, reason, &conditions(&headers)?).await?;
    Ok(opened(change))
}

fn conditions(headers: &HeaderMap) -> Result<Conditions, ApiError> {
    let key = super::lan::text(headers, &HeaderName::from_static("idempotency-key"))?;
    Ok(Conditions { idempotency_key: key, ..Conditions::default() })
}

/// A change of its own, which has another address than the one that it was asked for at.
fn opened(change: Change) -> impl IntoResponse + use<> {
    let location = [(header::LOCATION, format!("/v1/changes/{}", change.change_id))];
    (StatusCode::ACCEPTED, location, Answer(ChangeView::from(change)))
}

impl From<Change> for ChangeView {
    fn from(change: Change) -> Self {
        Self {
            change_id: change.change_id,
            thing: change.thing,
            pharmacy: change.pharmacy,
            state: change.state,
            withdrawing: change.withdrawing,
            requested_at: change.requested_at,
            requested_by: change.requested_by,
            approved_by: change.approved_by,
            reason: change.reason,
            ticket: change.ticket,
            replaces: change.replaces,
            before: change.before.map(Settings::without_secrets),
            after: change.after.map(Settings::without_secrets),
            recovered: change.recovered,
            receipt_computer: change.sight,
            timeline: change.steps.into_iter().map(StepView::from).collect(),
        }
    }
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        Self {
            state: step.state,
            at: step.at,
            device_at: step.device_at,
            clock: step.clock,
            code: step.code,
            detail: step.detail,
        }
    }
}
