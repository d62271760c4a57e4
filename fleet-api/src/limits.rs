//! Bounds that more than one part needs to know, so that no part has to ask one above it.

/// The most that a request may bring, uploads aside.
pub const BODY_LIMIT: u64 = 64 * 1024;

/// How much may be said about why something is done.
pub const MAX_REASON: usize = 500;
