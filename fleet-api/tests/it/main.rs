//! The fleet API over HTTP: a real Postgres database a test, AWS in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod again;
mod audit;
mod audit_restore;
mod audit_rights;
mod audit_tampering;
mod changes;
mod coverage;
mod feed;
mod handover;
mod identity;
mod ledger_rebuild;
mod life;
mod oidc;
mod openapi;
mod pace;
mod password_pages;
mod pharmacies;
mod places;
mod presence;
mod reconciling;
mod recovered;
mod refusals;
mod retention;
mod revocation;
mod sealed_uploads;
mod slack;
mod support;
mod uploads;
mod what_runs;
mod withdrawal;
