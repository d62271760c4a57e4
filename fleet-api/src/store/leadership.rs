//! One leader a periodic job: whoever holds its lock, until the transaction ends.

use sqlx::PgConnection;

/// Any numbers, as long as they differ.
pub const HOUSEKEEPING: i64 = 0x7265_6365_0001;
pub const CERTIFICATE_SWEEP: i64 = 0x7265_6365_0002;
pub const PRESENCE: i64 = 0x7265_6365_0010;
pub const AUDIT_CHAIN: i64 = 0x7265_6365_0011;
pub const AUDIT_CHECKPOINT: i64 = 0x7265_6365_0012;
pub const AUDIT_SEAL: i64 = 0x7265_6365_0013;
pub const RETENTION: i64 = 0x7265_6365_0014;

#[tracing::instrument(name = "db.leadership.lead", skip_all)]
pub async fn lead(db: &mut PgConnection, job: i64) -> sqlx::Result<bool> {
    let lock = sqlx::query_scalar!("select pg_try_advisory_xact_lock($1) as \"held!\"", job);
    lock.fetch_one(db).await
}

/// Waits for its turn, no longer than for any lock.
#[tracing::instrument(name = "db.leadership.wait", skip_all)]
pub async fn wait(db: &mut PgConnection, job: i64) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock($1)", job).execute(db).await?;
    Ok(())
}
