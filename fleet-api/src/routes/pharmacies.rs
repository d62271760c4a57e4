//! `/v1/pharmacies`

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{Json, Page, Path, Query, limit, position};
use crate::{
    auth::{Admin, Changer, Reader},
    error::ApiError,
    fleet::{Fleet, device::Pharmacy, pharmacies::Edit},
};

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PharmacyView {
    code: String,
    name: String,
    kana: Option<String>,
    customer_number: Option<String>,
    phone: Option<String>,
    opening_hours: Option<String>,
    receipt_computer_vendor: Option<String>,
}

/// What is to be another way. Left out: it stays; null: it is taken away, which a name is not.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
#[expect(clippy::option_option, reason = "null takes away, and what is not there stays")]
pub struct PharmacyEdit {
    #[serde(deserialize_with = "told")]
    #[schema(value_type = String, required = false)]
    name: Option<Option<String>>,
    #[serde(deserialize_with = "told")]
    #[schema(value_type = Option<String>)]
    kana: Option<Option<String>>,
    #[serde(deserialize_with = "told")]
    #[schema(value_type = Option<String>)]
    customer_number: Option<Option<String>>,
    #[serde(deserialize_with = "told")]
    #[schema(value_type = Option<String>)]
    phone: Option<Option<String>>,
    #[serde(deserialize_with = "told")]
    #[schema(value_type = Option<String>)]
    opening_hours: Option<Option<String>>,
    #[serde(deserialize_with = "told")]
    #[schema(value_type = Option<String>)]
    receipt_computer_vendor: Option<Option<String>>,
}

/// Null is something other than nothing here.
#[expect(clippy::option_option, reason = "null takes away, and what is not there stays")]
fn told<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    cursor: Option<String>,
    limit: Option<i64>,
}

#[utoipa::path(
    post, path = "/v1/pharmacies", tag = "pharmacies", operation_id = "pharmacies_add",
    request_body = PharmacyView,
    responses(
        (status = 201, description = "Added", body = PharmacyView),
        (status = 409, description = "pharmacy-exists"),
        (status = 422, description = "unusable-fields"),
    ),
    security(("token" = []))
)]
pub async fn add(
    Admin(by): Admin,
    State(fleet): State<Fleet>,
    Json(body): Json<PharmacyView>,
) -> Result<impl IntoResponse, ApiError> {
    let pharmacy = fleet.add_pharmacy(body.into(), &by).await?;
    let location = [(header::LOCATION, format!("/v1/pharmacies/{}", pharmacy.code))];
    Ok((StatusCode::CREATED, location, Answer(PharmacyView::from(pharmacy))))
}

#[utoipa::path(
    get, path = "/v1/pharmacies", tag = "pharmacies", operation_id = "pharmacies_list",
    params(Listing),
    responses(
        (status = 200, description = "Pharmacies, by code", body = Page<PharmacyView>),
    ),
    security(("token" = []))
)]
pub async fn list(
    _: Reader,
    State(fleet): State<Fleet>,
    Query(listing): Query<Listing>,
) -> Result<Answer<Page<PharmacyView>>, ApiError> {
    let size = limit(listing.limit)?;
    let after: Option<String> = position(listing.cursor.as_deref())?;
    let rows = fleet.pharmacies(&after.unwrap_or_default(), size.with_next()).await?;
    Ok(Answer(Page::of(rows, size, |row| row.code.clone(), PharmacyView::from)))
}

#[utoipa::path(
    get, path = "/v1/pharmacies/{code}", tag = "pharmacies", operation_id = "pharmacies_one",
    params(("code" = String, Path)),
    responses(
        (status = 200, description = "The pharmacy", body = PharmacyView),
        (status = 404, description = "unknown-pharmacy"),
    ),
    security(("token" = []))
)]
pub async fn one(
    _: Reader,
    State(fleet): State<Fleet>,
    Path(code): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    Ok(shown(fleet.pharmacy(&code).await?))
}

#[utoipa::path(
    patch, path = "/v1/pharmacies/{code}", tag = "pharmacies", operation_id = "pharmacies_edit",
    params(("code" = String, Path), ("if-match" = Option<String>, Header, description = "The ETag that the edit was made from")),
    request_body = PharmacyEdit,
    responses(
        (status = 200, description = "The pharmacy as it is now", body = PharmacyView),
        (status = 404, description = "unknown-pharmacy"),
        (status = 412, description = "etag-mismatch"),
        (status = 422, description = "unusable-fields"),
    ),
    security(("token" = []))
)]
pub async fn edit(
    Changer(by): Changer,
    State(fleet): State<Fleet>,
    Path(code): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Map<String, Value>>,
) -> Result<impl IntoResponse, ApiError> {
    // An object first: serde would take an empty list for an edit of nothing.
    let body: PharmacyEdit = serde_json::from_value(body.into())
        .map_err(|_| ApiError::malformed("the JSON is not of the form that is expected here"))?;
    let if_match = super::lan::text(&headers, &header::IF_MATCH)?;
    Ok(shown(fleet.edit_pharmacy(&code, body.into(), if_match.as_deref(), &by).await?))
}

fn shown(pharmacy: Pharmacy) -> impl IntoResponse + use<> {
    ([(header::ETAG, pharmacy.etag())], Answer(PharmacyView::from(pharmacy)))
}

impl From<PharmacyEdit> for Edit {
    fn from(body: PharmacyEdit) -> Self {
        Self {
            name: body.name,
            kana: body.kana,
            customer_number: body.customer_number,
            phone: body.phone,
            opening_hours: body.opening_hours,
            receipt_computer_vendor: body.receipt_computer_vendor,
        }
    }
}

impl From<Pharmacy> for PharmacyView {
    fn from(pharmacy: Pharmacy) -> Self {
        Self {
            code: pharmacy.code,
            name: pharmacy.name,
            kana: pharmacy.kana,
            customer_number: pharmacy.customer_number,
            phone: pharmacy.phone,
            opening_hours: pharmacy.opening_hours,
            receipt_computer_vendor: pharmacy.receipt_computer_vendor,
        }
    }
}

impl From<PharmacyView> for Pharmacy {
    fn from(view: PharmacyView) -> Self {
        Self {
            code: view.code,
            name: view.name,
            kana: view.kana,
            customer_number: view.customer_number,
            phone: view.phone,
            opening_hours: view.opening_hours,
            receipt_computer_vendor: view.receipt_computer_vendor,
        }
    }
}
