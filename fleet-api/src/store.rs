//! All the SQL there is, one table a file. Nothing here decides anything.

pub mod api_tokens;
pub mod approvals;
pub mod audit_chain;
pub mod audit_checkpoints;
pub mod audit_entries;
pub mod budgets;
pub mod certificates;
pub mod changes;
pub mod devices;
pub mod enrolment_codes;
pub mod feed;
pub mod grants;
pub mod leadership;
pub mod nonces;
pub mod overview;
pub mod password_pages;
pub mod pharmacies;
pub mod presence;
pub mod retention;
pub mod sessions;
pub mod sights;
pub mod slack_jobs;
pub mod slack_messages;
pub mod stats;
pub mod steps;
pub mod takeovers;
pub mod things;
pub mod upload_seals;
pub mod uploads;

use sqlx::postgres::PgDatabaseError;

/// The name of the constraint that refused a row: the schema keeps the rules, we put them into words.
pub fn constraint(error: &sqlx::Error) -> Option<&str> {
    let error = error.as_database_error()?;
    error.try_downcast_ref::<PgDatabaseError>()?.constraint()
}
