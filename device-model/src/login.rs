//! How a box logs in: a signed STS `GetCallerIdentity`, which the fleet API rebuilds from a few
//! fields and sends itself. Everything that both sides must write alike stands here.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::thing_name::ThingName;

pub const METHOD: &str = "POST";
pub const PATH: &str = "/";
pub const SERVICE: &str = "sts";
pub const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";
pub const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
pub const NONCE_HEADER: &str = "x-recehub-nonce";
pub const SERVER_ID_HEADER: &str = "x-recehub-server-id";
pub const THING_HEADER: &str = "x-recehub-thing";
/// Exactly these headers are signed, in this order.
pub const SIGNED_HEADERS: &str =
    "content-type;host;x-amz-date;x-amz-security-token;x-recehub-nonce;x-recehub-server-id;x-recehub-thing";
/// The form of `amzDate`, for chrono.
pub const AMZ_DATE_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// `POST /v1/device/nonce`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NonceRequest {
    pub thing: ThingName,
}

#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NonceAnswer {
    pub nonce: String,
    pub expires_at: DateTime<Utc>,
    /// The cloud's clock: the box learns its own offset from it.
    pub now: DateTime<Utc>,
}

/// `POST /v1/device/login`
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LoginRequest {
    pub thing: ThingName,
    pub nonce: String,
    pub access_key_id: String,
    pub amz_date: String,
    pub session_token: String,
    /// 64 lower-case hexadecimal digits.
    pub signature: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LoginAnswer {
    pub token: String,
    pub expires_at: DateTime<Utc>,
    /// The highest sequence in the ledger: after a lost spool the box counts on above it.
    pub sequence_floor: u64,
}
