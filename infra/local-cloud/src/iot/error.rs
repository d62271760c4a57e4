//! The IoT APIs' errors: AWS's names and statuses, in restJson1.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::shadow::request::ShadowError;
use crate::state::StoreError;

#[derive(Debug, Clone, thiserror::Error)]
#[error("{name}: {message}")]
pub struct IotError {
    pub status: StatusCode,
    pub name: &'static str,
    pub message: String,
    /// Fields that some errors have besides the message.
    pub extra: Map<String, Value>,
}

impl IotError {
    fn new(status: StatusCode, name: &'static str, message: impl Into<String>) -> Self {
        Self { status, name, message: message.into(), extra: Map::new() }
    }

    pub fn invalid(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequestException", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
    }

    pub fn exists(message: impl Into<String>, id: &str, arn: &str) -> Self {
        let mut error = Self::new(StatusCode::CONFLICT, "ResourceAlreadyExistsException", message);
        error.extra.insert("resourceId".to_owned(), json!(id));
        error.extra.insert("resourceArn".to_owned(), json!(arn));
        error
    }

    pub fn delete_conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "DeleteConflictException", message)
    }

    pub fn version_conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "VersionConflictException", message)
    }

    pub fn certificate_state(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "CertificateStateException", message)
    }

    pub fn malformed_policy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MalformedPolicyException", message)
    }

    pub fn versions_limit(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "VersionsLimitExceededException", message)
    }

    pub fn sql_parse(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "SqlParseException", message)
    }

    /// The control plane's, which has another status than the data plane's.
    pub fn throttled() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ThrottlingException", "Rate exceeded")
    }

    pub fn access_denied(who: &str, action: &str, resource: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "AccessDeniedException",
            format!("User: {who} is not authorized to perform: {action} on resource: {resource}"),
        )
    }

    /// The data plane's refusal, which says nothing.
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "ForbiddenException", "Forbidden")
    }

    /// An error of another service's making, such as a wrong signature.
    pub fn other(status: StatusCode, name: &'static str, message: impl Into<String>) -> Self {
        Self::new(status, name, message)
    }

    /// Something is wrong on our side: the log says what.
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(error = %error, "a request failed on our side");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailureException", "Internal failure")
    }

    /// A name for what is told of an injected fault.
    pub fn injected(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let name = match status.as_u16() {
            429 => "ThrottlingException",
            503 => "ServiceUnavailableException",
            _ => "InternalFailureException",
        };
        Self::new(status, name, "a fault was asked for")
    }
}

impl From<StoreError> for IotError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<ShadowError> for IotError {
    fn from(error: ShadowError) -> Self {
        let name = match error.code {
            401 => "UnauthorizedException",
            403 => "ForbiddenException",
            404 => "ResourceNotFoundException",
            409 => "ConflictException",
            413 => "RequestEntityTooLargeException",
            415 => "UnsupportedDocumentEncodingException",
            429 => "ThrottlingException",
            500 => "InternalFailureException",
            _ => "InvalidRequestException",
        };
        Self::new(StatusCode::from_u16(error.code).unwrap_or(StatusCode::BAD_REQUEST), name, error.message)
    }
}

impl IntoResponse for IotError {
    fn into_response(self) -> Response {
        let mut body = self.extra;
        body.insert("message".to_owned(), json!(self.message));
        body.insert("traceId".to_owned(), json!(crate::hub::uuid()));
        let headers = [("x-amzn-errortype", self.name), ("x-amzn-requestid", &crate::hub::uuid())];
        (self.status, headers, Json(Value::Object(body))).into_response()
    }
}

pub async fn unknown_operation() -> IotError {
    IotError::new(
        StatusCode::NOT_FOUND,
        "UnknownOperationException",
        "This cloud does not know this operation",
    )
}

pub async fn method_not_allowed() -> IotError {
    IotError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowedException",
        "The specified combination of HTTP verb and URI is not supported",
    )
}
