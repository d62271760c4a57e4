//! A refusal as problem+json (RFC 9457), of the same shape as everywhere else in the API: a stable
//! `type` to match on, and words that quote nothing of the request.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// `name` is the stable end of the type.
pub fn problem(status: StatusCode, name: &str, detail: &str) -> Response {
    let body = json!({
        "type": format!("urn:recehub:problem:{name}"),
        "title": name.replace('-', " "),
        "status": status.as_u16(),
        "detail": detail,
    });
    let mut response = (status, Json(body)).into_response();
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
