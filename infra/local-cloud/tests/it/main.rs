//! The local cloud, driven by the clients it is made for.

mod credentials;
mod endpoint;
mod iot;
mod mqtt;
mod packets;
mod policy;
mod rules;
mod s3;
mod shadow;
mod sts;
mod support;
mod template;
