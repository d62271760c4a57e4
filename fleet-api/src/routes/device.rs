//! `/v1/device/…`: how a box enrols and logs in. These prove who they are by what they carry.

use axum::{Json as Answer, extract::State};
use device_model::{
    enrolment::{EnrollAnswer, EnrollRequest},
    login::{LoginAnswer, LoginRequest, NonceAnswer, NonceRequest},
};

use super::Json;
use crate::{auth::Origination, error::ApiError, fleet::Fleet};

#[utoipa::path(
    post, path = "/v1/device/enroll", tag = "boxes themselves", operation_id = "device_enroll",
    request_body = EnrollRequest,
    responses(
        (status = 200, description = "The certificate", body = EnrollAnswer),
        (status = 403, description = "enrolment-refused"),
    ),
)]
pub async fn enroll(
    State(fleet): State<Fleet>,
    Origination(ip): Origination,
    Json(request): Json<EnrollRequest>,
) -> Result<Answer<EnrollAnswer>, ApiError> {
    Ok(Answer(fleet.enroll(request, ip).await?))
}

#[utoipa::path(
    post, path = "/v1/device/nonce", tag = "boxes themselves", operation_id = "device_nonce",
    request_body = NonceRequest,
    responses(
        (status = 200, description = "A word that serves for one login", body = NonceAnswer),
    ),
)]
pub async fn nonce(
    State(fleet): State<Fleet>,
    Json(request): Json<NonceRequest>,
) -> Result<Answer<NonceAnswer>, ApiError> {
    Ok(Answer(fleet.nonce(&request.thing).await?))
}

#[utoipa::path(
    post, path = "/v1/device/login", tag = "boxes themselves", operation_id = "device_login",
    request_body = LoginRequest,
    responses(
        (status = 200, description = "A session", body = LoginAnswer),
        (status = 401, description = "login-refused"),
    ),
)]
pub async fn login(
    State(fleet): State<Fleet>,
    Origination(ip): Origination,
    Json(request): Json<LoginRequest>,
) -> Result<Answer<LoginAnswer>, ApiError> {
    Ok(Answer(fleet.login(request, ip).await?))
}
