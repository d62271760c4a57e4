//! The agent's parts, each on what it really runs on: a real folder, a real database, a real server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod capture;
mod capture_model;
mod enrolment;
mod failing_disk;
mod hostile;
mod lan_apply;
mod lan_bed;
mod lan_drift;
mod lan_foreign;
mod lan_local;
mod lan_matrix;
mod lan_schedules;
mod lan_shadow;
mod polling;
mod power_loss;
mod program;
mod receipt_computer;
mod retention;
mod shadow;
mod share;
mod share_change;
mod spool;
mod support;
mod upload;
mod wan;
