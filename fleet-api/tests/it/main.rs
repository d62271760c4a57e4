//! The fleet API over HTTP: a real Postgres database a test, AWS in memory.

mod changes;
mod coverage;
mod identity;
mod refusals;
mod slack;
mod support;
mod uploads;
mod withdrawal;
