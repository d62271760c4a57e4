//! The whole system, end to end: each test starts the Testbed that `up` starts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to fail where it stands")]

mod audit;
mod bad_input;
mod browser;
mod chaos;
mod crash;
mod identity;
mod lab_faults;
mod lab_network_manager;
mod lab_topology;
mod lan_change;
mod line;
mod offline;
mod prescription;
mod replicas;
mod share;
mod share_change;
mod slack_away;
mod slack_canary;
mod socket_mode;
mod support;
mod traces;
mod up;
