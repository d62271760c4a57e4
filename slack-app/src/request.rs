//! The door: a body gets in if it is small, signed by Slack a moment ago, and of our workspace and app.
//!
//! What is refused leaves no trace but a reason in words: no payload is logged, nothing is written.

use axum::{
    body,
    extract::{FromRequest, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use device_model::draft::is_prose;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{SlackApp, fleet::Ports, problem::problem, settings::Settings, signature::Proof};

/// Slack's largest request is a submitted modal: far below this.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// A body that Slack has signed.
pub struct Signed(Bytes);

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// Not Slack's, or not for us.
    Stranger,
    TooLarge,
    /// Slack's, but not in a form we know.
    Malformed,
    /// We could not write it down; Slack shows its failure text.
    Failed,
    WrongMethod,
    NoSuchPlace,
}

/// From which workspace and for which app a request is.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "Slack's own names")]
pub struct Origin<'a> {
    /// None for an app that is installed in a whole organisation.
    pub team_id: Option<&'a str>,
    pub enterprise_id: Option<&'a str>,
    pub app_id: Option<&'a str>,
}

impl<P: Ports> FromRequest<SlackApp<P>> for Signed {
    type Rejection = Turned;

    async fn from_request(request: Request, app: &SlackApp<P>) -> Result<Self, Turned> {
        let stranger = |reason| {
            tracing::warn!(error = %reason, "turned away a request that is not Slack's");
            Turned::Stranger
        };
        // The headers first: nobody unsigned makes us read a body.
        let proof = Proof::read(request.headers(), app.now()).map_err(stranger)?;
        let body = body::to_bytes(request.into_body(), MAX_BODY_BYTES).await;
        let body = body.map_err(|_| Turned::TooLarge)?;
        let checked = proof.check(&app.settings().signing_secrets, &body);
        checked.map(|()| Self(body)).map_err(stranger)
    }
}

impl Signed {
    /// Reads `application/x-www-form-urlencoded`.
    pub fn form<T: DeserializeOwned>(&self) -> Result<T, Turned> {
        // The URL crate's parser takes anything; text that is no UTF-8 must not become other text.
        let text = std::str::from_utf8(&self.0).map_err(|_| Turned::Malformed)?;
        let mut fields = serde_json::Map::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            // Of a field that is given twice nobody knows which one was meant.
            if !is_prose(&value) || fields.insert(name.into_owned(), value.into_owned().into()).is_some() {
                return Err(Turned::Malformed);
            }
        }
        serde_json::from_value(fields.into()).map_err(|_| Turned::Malformed)
    }

    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Turned> {
        read_json(&self.0)
    }

    /// Slack asks now and then whether our certificate is good; there is nothing else in such a form.
    pub fn is_ssl_check(&self) -> bool {
        #[derive(Deserialize)]
        struct Check {
            ssl_check: String,
        }
        self.form::<Check>().is_ok_and(|check| check.ssl_check == "1")
    }
}

/// Reads JSON. What holds a NUL could not be written down, and is nothing that Slack sends.
pub fn read_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, Turned> {
    let value: Value = serde_json::from_slice(json).map_err(|_| Turned::Malformed)?;
    if has_nul(&value) {
        return Err(Turned::Malformed);
    }
    serde_json::from_value(value).map_err(|_| Turned::Malformed)
}

/// As deep as the reader goes, which has a bound.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(parts) => parts.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

impl Origin<'_> {
    /// A team that is not told is let through: the signature proves the app, and roles fail closed.
    pub fn check(&self, settings: &Settings) -> Result<(), Turned> {
        let foreign = |told: Option<&str>, ours: &Option<String>| {
            told.zip(ours.as_deref()).is_some_and(|(t, o)| t != o)
        };
        if foreign(self.team_id, &settings.team_id)
            || foreign(self.enterprise_id, &settings.enterprise_id)
            || foreign(self.app_id, &settings.app_id)
        {
            tracing::warn!("turned away a request of another workspace, organisation or app");
            return Err(Turned::Stranger);
        }
        Ok(())
    }
}

impl IntoResponse for Turned {
    fn into_response(self) -> Response {
        let (status, name, detail) = match self {
            Self::Stranger => (
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "the request is not one that Slack signed for us",
            ),
            Self::TooLarge => {
                (StatusCode::BAD_REQUEST, "too-large", "the body is larger than any that Slack sends")
            }
            Self::Malformed => {
                (StatusCode::BAD_REQUEST, "malformed-request", "the body is not of a form that is known here")
            }
            Self::Failed => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the request could not be written down")
            }
            Self::WrongMethod => {
                (StatusCode::METHOD_NOT_ALLOWED, "wrong-method", "this address does not take this method")
            }
            Self::NoSuchPlace => (StatusCode::NOT_FOUND, "unknown-route", "there is nothing at this address"),
        };
        problem(status, name, detail)
    }
}
