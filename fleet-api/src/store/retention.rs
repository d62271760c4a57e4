//! Partitions made ahead, and what is old taken away. The application owns no table: it asks functions of the
//! schema, which hold the rules.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Sees to room for the log; answers how many partitions that took.
#[tracing::instrument(name = "db.retention.make_ahead", skip_all)]
pub async fn make_ahead(db: &mut PgConnection, rows: i64, ahead: i32) -> sqlx::Result<i32> {
    sqlx::query_scalar!("select audit_partitions_ahead($1, $2) as \"made!\"", rows, ahead).fetch_one(db).await
}

/// The last place of the log's oldest partition, if all of it is older than `before` and more follow.
#[tracing::instrument(name = "db.retention.oldest", skip_all)]
pub async fn oldest(db: &mut PgConnection, before: DateTime<Utc>) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "select p.to_key - 1 as \"last!\" from audit_partitions p
         where p.parent = 'audit_chain' and p.dropped_at is null
           and exists (select from audit_chain where seq = p.to_key - 1 and chained_at < $1)
           and exists (select from audit_chain where seq = p.to_key)
         order by p.from_key limit 1",
        before,
    )
    .fetch_optional(db)
    .await
}

/// Drops at most one partition, and answers its name.
#[tracing::instrument(name = "db.retention.drop_one", skip_all)]
pub async fn drop_one(db: &mut PgConnection, before: DateTime<Utc>) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("select audit_partition_drop($1)", before).fetch_one(db).await
}

/// Takes at most so many uploads out of the ledger; answers how many it took.
#[tracing::instrument(name = "db.retention.forget_uploads", skip_all)]
pub async fn forget_uploads(db: &mut PgConnection, before: DateTime<Utc>, at_most: i32) -> sqlx::Result<i32> {
    sqlx::query_scalar!("select ledger_forget($1, $2) as \"took!\"", before, at_most).fetch_one(db).await
}
