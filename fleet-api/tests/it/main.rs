//! The fleet API over HTTP: a real Postgres database a test, AWS in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod again;
mod changes;
mod coverage;
mod feed;
mod handover;
mod identity;
mod life;
mod oidc;
mod openapi;
mod pace;
mod password_pages;
mod places;
mod presence;
mod reconciling;
mod refusals;
mod revocation;
mod slack;
mod support;
mod uploads;
mod what_runs;
mod withdrawal;
