//! The whole system, end to end: each test starts the Testbed that `up` starts.

mod bad_input;
mod identity;
mod lan_change;
mod offline;
mod prescription;
mod share;
mod support;
mod up;
