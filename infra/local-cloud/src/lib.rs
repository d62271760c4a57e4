//! AWS on a laptop: IoT Core (MQTT, shadows, rules, credentials provider), STS and S3.
//!
//! It speaks AWS's own protocols and knows nothing of who uses it: any official SDK, pointed at it, sees what it
//! would see at AWS, refusals included.
//!
//! Three doors lead in. `mqtt` takes devices over TLS, `credentials` gives them temporary keys over TLS, `front` takes
//! everything that is signed: `iot` (control and data plane), `sts`, `s3`. Behind them stands the `hub`: whatever is
//! published, by whichever door, goes to subscribers (`mqtt::broker`), to the `shadow` service and to the `rules`.
//! Who may do what is asked of `authority` (certificates, IoT policies) and `keys` with `policy` (signed callers, IAM).
//! All that lasts is in `state`; at the start `stack` brings it to what the CloudFormation `template` says.

pub mod admin;
pub mod authority;
pub mod boot;
pub mod ca;
pub mod calls;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod faults;
pub mod front;
pub mod hub;
pub mod iot;
pub mod keys;
pub mod limits;
pub mod mqtt;
pub mod policy;
pub mod rules;
pub mod s3;
pub mod shadow;
pub mod sigv4;
pub mod stack;
pub mod state;
pub mod sts;
pub mod template;
