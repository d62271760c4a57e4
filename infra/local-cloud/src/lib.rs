//! AWS on a laptop: IoT Core (MQTT, shadows, rules, credentials provider), STS and S3.
//!
//! It speaks AWS's own protocols and knows nothing of who uses it: any official SDK, pointed at it, sees what it
//! would see at AWS, refusals included.

pub mod keys;
pub mod policy;
pub mod s3;
pub mod sigv4;
pub mod sts;
pub mod template;
