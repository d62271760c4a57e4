//! The local cloud, driven by the clients it is made for.
#![expect(clippy::unwrap_used, reason = "the helpers of tests, too, stop at the first thing that is wrong")]

mod certificates;
mod conditions;
mod crash;
mod credentials;
mod endpoint;
mod faults;
mod foreign;
mod iot;
mod least;
mod lists;
mod mqtt;
mod packets;
mod policy;
mod policy_model;
mod process;
mod rules;
mod s3;
mod s3_beside;
mod shadow;
mod sts;
mod support;
mod template;
mod variables;
