//! What can be refused, as problem+json with a stable `type`; and what failed, which is logged here
//! once and told to nobody.

use std::time::Duration;

use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use device_model::{change_id::ChangeId, fault::Faults, thing_name::ThingName};
use serde_json::json;

/// Every `type` that a refusal may have, with its status, for the document; a test holds it to [`ApiError::kind`].
pub const PROBLEMS: &[(&str, u16)] = &[
    ("unknown-thing", 404),
    ("unknown-pharmacy", 404),
    ("unknown-change", 404),
    ("unknown-upload", 404),
    ("unknown-route", 404),
    ("wrong-method", 405),
    ("change-open", 409),
    ("change-closed", 409),
    ("change-not-retryable", 409),
    ("events-gone", 410),
    ("too-many-followers", 503),
    ("nothing-to-revert-to", 409),
    ("pharmacy-exists", 409),
    ("thing-enrolled", 409),
    ("unknown-token", 404),
    ("token-exists", 409),
    ("etag-mismatch", 412),
    ("idempotency-key-reused", 422),
    ("unusable-fields", 422),
    ("malformed-request", 400),
    ("digest-mismatch", 400),
    ("upload-id-mismatch", 400),
    ("length-mismatch", 400),
    ("length-required", 411),
    ("too-large", 413),
    ("media-type", 415),
    ("request-timeout", 408),
    ("too-many-requests", 429),
    ("unauthenticated", 401),
    ("login-refused", 401),
    ("enrolment-refused", 403),
    ("forbidden", 403),
    ("unavailable", 503),
    ("internal", 500),
    ("not-ready", 503),
];

/// Everything a caller can tell apart.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("no thing is called {0}")]
    UnknownThing(ThingName),
    #[error("no pharmacy has the code {0}")]
    UnknownPharmacy(String),
    #[error("there is no such change")]
    UnknownChange,
    #[error("there is no such upload")]
    UnknownUpload,
    #[error("there is nothing at this address")]
    UnknownRoute,
    #[error("this address does not take this method")]
    WrongMethod,
    #[error("change {0} is still open")]
    ChangeOpen(ChangeId),
    #[error("change {0} is closed already")]
    ChangeClosed(ChangeId),
    #[error("change {0} is not one that can be retried: only what ended without being applied can")]
    NotRetryable(ChangeId),
    #[error("the events after that id are not kept any more: read the lists, then follow from now")]
    FeedGone,
    #[error("too many follow the events already")]
    TooManyFollowers,
    #[error("nobody knows what ran before change {0}")]
    NothingToRevertTo(ChangeId),
    #[error("a pharmacy has the code {0} already")]
    PharmacyExists(String),
    #[error("{0} has a certificate already: revoke it first")]
    ThingEnrolled(ThingName),
    #[error("an API token has this name already")]
    TokenExists,
    #[error("no API token has this name")]
    UnknownToken,
    #[error("it is not what the ETag stands for any more")]
    EtagMismatch,
    #[error("this Idempotency-Key was used for another request")]
    IdempotencyKeyReused,
    #[error("some fields cannot be used")]
    Faults(Faults),
    /// The request is not what its contract says; the text says what is wrong and quotes nothing secret.
    #[error("{0}")]
    Malformed(String),
    #[error("the content is not that of the digest")]
    DigestMismatch,
    #[error("the upload id is not that of thing, path and content")]
    UploadIdMismatch,
    #[error("the body is not as long as Content-Length says")]
    LengthMismatch,
    #[error("Content-Length is needed")]
    LengthRequired,
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    #[error("the body must be application/json")]
    MediaType,
    #[error("the request took too long")]
    TooSlow,
    #[error("too many requests")]
    TooFast(Duration),
    #[error("credentials are needed")]
    Unauthenticated,
    #[error("the login was refused")]
    LoginRefused,
    #[error("the enrolment code is not valid")]
    EnrolmentRefused,
    #[error("these credentials may not do this")]
    Forbidden,
    /// Something that we lean on does not answer, or told us to wait.
    #[error("{what} is not available now")]
    Unavailable {
        what: &'static str,
        #[source]
        cause: anyhow::Error,
    },
    #[error("something failed on our side")]
    Internal(#[from] anyhow::Error),
}

impl ApiError {
    /// The stable name that clients match on, and the status it travels with.
    pub fn kind(&self) -> (&'static str, StatusCode) {
        match self {
            Self::UnknownThing(_) => ("unknown-thing", StatusCode::NOT_FOUND),
            Self::UnknownPharmacy(_) => ("unknown-pharmacy", StatusCode::NOT_FOUND),
            Self::UnknownChange => ("unknown-change", StatusCode::NOT_FOUND),
            Self::UnknownUpload => ("unknown-upload", StatusCode::NOT_FOUND),
            Self::UnknownRoute => ("unknown-route", StatusCode::NOT_FOUND),
            Self::WrongMethod => ("wrong-method", StatusCode::METHOD_NOT_ALLOWED),
            Self::ChangeOpen(_) => ("change-open", StatusCode::CONFLICT),
            Self::ChangeClosed(_) => ("change-closed", StatusCode::CONFLICT),
            Self::NotRetryable(_) => ("change-not-retryable", StatusCode::CONFLICT),
            Self::FeedGone => ("events-gone", StatusCode::GONE),
            Self::TooManyFollowers => ("too-many-followers", StatusCode::SERVICE_UNAVAILABLE),
            Self::NothingToRevertTo(_) => ("nothing-to-revert-to", StatusCode::CONFLICT),
            Self::PharmacyExists(_) => ("pharmacy-exists", StatusCode::CONFLICT),
            Self::ThingEnrolled(_) => ("thing-enrolled", StatusCode::CONFLICT),
            Self::UnknownToken => ("unknown-token", StatusCode::NOT_FOUND),
            Self::TokenExists => ("token-exists", StatusCode::CONFLICT),
            Self::EtagMismatch => ("etag-mismatch", StatusCode::PRECONDITION_FAILED),
            Self::IdempotencyKeyReused => ("idempotency-key-reused", StatusCode::UNPROCESSABLE_ENTITY),
            Self::Faults(_) => ("unusable-fields", StatusCode::UNPROCESSABLE_ENTITY),
            Self::Malformed(_) => ("malformed-request", StatusCode::BAD_REQUEST),
            Self::DigestMismatch => ("digest-mismatch", StatusCode::BAD_REQUEST),
            Self::UploadIdMismatch => ("upload-id-mismatch", StatusCode::BAD_REQUEST),
            Self::LengthMismatch => ("length-mismatch", StatusCode::BAD_REQUEST),
            Self::LengthRequired => ("length-required", StatusCode::LENGTH_REQUIRED),
            Self::TooLarge(_) => ("too-large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::MediaType => ("media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::TooSlow => ("request-timeout", StatusCode::REQUEST_TIMEOUT),
            Self::TooFast(_) => ("too-many-requests", StatusCode::TOO_MANY_REQUESTS),
            Self::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
            Self::LoginRefused => ("login-refused", StatusCode::UNAUTHORIZED),
            Self::EnrolmentRefused => ("enrolment-refused", StatusCode::FORBIDDEN),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN),
            Self::Unavailable { .. } => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::Internal(_) => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    pub fn unavailable(what: &'static str, cause: impl Into<anyhow::Error>) -> Self {
        Self::Unavailable { what, cause: cause.into() }
    }

    pub fn malformed(text: impl Into<String>) -> Self {
        Self::Malformed(text.into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (name, status) = self.kind();
        match &self {
            Self::Internal(cause) => tracing::error!(error = format!("{cause:#}"), "a request failed"),
            Self::Unavailable { what, cause } => {
                tracing::warn!(error = format!("{cause:#}"), "{what} did not answer");
            }
            _ => {}
        }
        let mut problem = json!({
            "type": format!("urn:recehub:problem:{name}"),
            "title": name.replace('-', " "),
            "status": status.as_u16(),
            "detail": self.to_string(),
        });
        match &self {
            Self::Faults(faults) => problem["errors"] = json!(faults),
            Self::ChangeOpen(id) | Self::ChangeClosed(id) => problem["changeId"] = json!(id),
            _ => {}
        }
        // Whole seconds, rounded up: whoever comes a moment early is only sent away again.
        let wait = match &self {
            Self::TooFast(wait) => Some(wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => Some(2),
            _ => None,
        };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = wait {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) => Self::unavailable("the database", error),
            sqlx::Error::Database(ref told) if told.code().is_some_and(|code| passes(&code)) => {
                Self::unavailable("the database", error)
            }
            // Judged before it came here, as far as anybody thought of it: a NUL in a text or in JSON,
            // and a time that no calendar has.
            sqlx::Error::Database(refusal)
                if matches!(refusal.code().as_deref(), Some("22021" | "22P05" | "22008")) =>
            {
                Self::malformed("a text or a time in the request is none that can be kept")
            }
            _ => Self::Internal(error.into()),
        }
    }
}

/// Whether what Postgres told passes by itself: it waited too long for a lock or for anything else, it
/// stops, crashes, starts or moves, or it has no room for one more connection.
fn passes(code: &str) -> bool {
    matches!(code, "55P03" | "57014" | "57P01" | "57P02" | "57P03" | "25006")
        || code.starts_with("08")
        || code.starts_with("53")
}

impl From<Faults> for ApiError {
    fn from(faults: Faults) -> Self {
        Self::Faults(faults)
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::Malformed(rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::Malformed(rejection.body_text())
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge(crate::limits::BODY_LIMIT),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::MediaType,
            // serde's own text may quote what was typed, a password among it: only the kind is told.
            _ => Self::Malformed(match rejection {
                JsonRejection::JsonDataError(_) => {
                    "the JSON is not of the form that is expected here".to_owned()
                }
                _ => "the body is not JSON".to_owned(),
            }),
        }
    }
}
