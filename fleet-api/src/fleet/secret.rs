//! Random words that open something: shown once, kept as their sha256. They are long enough that a
//! hash without salt tells nothing.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// A word of 256 random bits.
pub fn fresh(prefix: &str) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Compares without telling by its time how much was right.
pub fn same(given: &str, wanted: &str) -> bool {
    subtle::ConstantTimeEq::ct_eq(&hash(given)[..], &hash(wanted)[..]).into()
}
