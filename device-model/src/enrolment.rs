//! How a box gets its certificate: a one-time code and a signing request, made on the box.

use serde::{Deserialize, Serialize};

use crate::thing_name::ThingName;

/// `POST /v1/device/enroll`
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct EnrollRequest {
    pub thing: ThingName,
    pub code: String,
    /// PKCS#10 in PEM. The private key never leaves the box.
    pub csr: String,
    /// The public half of the box's sealing key, with which share passwords are sealed to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_key: Option<SealingKey>,
}

/// An X25519 public key, vouched for by the certificate's key.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SealingKey {
    /// 32 bytes, base64.
    pub public_key: String,
    /// ECDSA P-256 with SHA-256 over [`SEALING_KEY_CONTEXT`] and the 32 bytes, ASN.1 DER, base64.
    pub signature: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct EnrollAnswer {
    pub thing: ThingName,
    pub certificate_id: String,
    pub certificate_pem: String,
}

/// Keeps the signature of a sealing key from being taken for a signature of anything else.
pub const SEALING_KEY_CONTEXT: &[u8] = b"recehub sealing key v1\0";
/// HPKE's `info` for a share password: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305,
/// base mode; what is sealed is `encapsulated key || ciphertext`, the thing's name is the `aad`.
pub const SHARE_PASSWORD_INFO: &[u8] = b"recehub share password v1";
