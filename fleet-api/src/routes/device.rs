//! `/v1/device/…`: how a box enrols and logs in. These prove who they are by what they carry.

use axum::{Json as Answer, extract::State};
use device_model::{
    enrolment::{EnrollAnswer, EnrollRequest},
    login::{LoginAnswer, LoginRequest, NonceAnswer, NonceRequest},
};

use super::Json;
use crate::{auth::Origination, error::ApiError, fleet::Fleet};

pub async fn enroll(
    State(fleet): State<Fleet>,
    Origination(ip): Origination,
    Json(request): Json<EnrollRequest>,
) -> Result<Answer<EnrollAnswer>, ApiError> {
    Ok(Answer(fleet.enroll(request, ip).await?))
}

pub async fn nonce(
    State(fleet): State<Fleet>,
    Json(request): Json<NonceRequest>,
) -> Result<Answer<NonceAnswer>, ApiError> {
    Ok(Answer(fleet.nonce(&request.thing).await?))
}

pub async fn login(
    State(fleet): State<Fleet>,
    Origination(ip): Origination,
    Json(request): Json<LoginRequest>,
) -> Result<Answer<LoginAnswer>, ApiError> {
    Ok(Answer(fleet.login(request, ip).await?))
}
