//! A name for each request, in the log and in the answer, so that a caller and we speak of the same one.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The caller's own name for it, if that is one; else a new one.
#[derive(Clone)]
pub struct RequestId(HeaderValue);

pub async fn name(mut request: Request, next: Next) -> Response {
    let id = request.headers().get(HEADER).filter(|given| is_name(given)).cloned();
    let id = id.unwrap_or_else(|| {
        let fresh = hex::encode(rand::random::<[u8; 16]>());
        HeaderValue::try_from(fresh).unwrap_or(HeaderValue::from_static("-"))
    });
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    response.headers_mut().insert(HEADER, id);
    response
}

impl RequestId {
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or("-")
    }
}

/// What a log can hold without being led astray.
fn is_name(given: &HeaderValue) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&given.len()) && given.as_bytes().iter().all(allowed)
}
