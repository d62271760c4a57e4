//! One leader a periodic job: whoever holds its lock, until the transaction ends.

use sqlx::PgConnection;

/// Any numbers, as long as they differ.
pub const HOUSEKEEPING: i64 = 0x7265_6365_0001;
pub const CERTIFICATE_SWEEP: i64 = 0x7265_6365_0002;
pub const PRESENCE: i64 = 0x7265_6365_0010;

#[tracing::instrument(name = "db.leadership.lead", skip_all)]
pub async fn lead(db: &mut PgConnection, job: i64) -> sqlx::Result<bool> {
    let lock = sqlx::query_scalar!("select pg_try_advisory_xact_lock($1) as \"held!\"", job);
    lock.fetch_one(db).await
}
