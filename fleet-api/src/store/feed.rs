//! The feed: one row a receipt and a step of a change, written by triggers in the transaction of each.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A place in the feed: after this row of this transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub transaction: u64,
    pub feed_id: i64,
}

/// A row with what it tells of; what is null is the other kind's.
#[derive(Debug, Clone)]
pub struct Row {
    pub transaction: String,
    pub feed_id: i64,
    pub at: DateTime<Utc>,
    pub thing: String,
    pub pharmacy: Option<String>,
    pub upload_id: Option<String>,
    pub sha256: Option<String>,
    pub size: Option<i64>,
    pub object_key: Option<String>,
    pub version_id: Option<String>,
    pub observed_at: Option<DateTime<Utc>>,
    pub received_at: Option<DateTime<Utc>>,
    pub change_id: Option<String>,
    pub state: Option<String>,
    pub step_at: Option<DateTime<Utc>>,
    pub device_at: Option<DateTime<Utc>>,
    pub clock: Option<String>,
    pub code: Option<String>,
    pub detail: Option<String>,
}

/// What comes next, as far as no open transaction can still come before it.
#[tracing::instrument(name = "db.feed.after", skip_all)]
pub async fn after(db: &mut PgConnection, place: &Place, limit: i64) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        "select f.transaction::text as \"transaction!\", f.feed_id, f.at, f.thing, p.code as \"pharmacy?\",
             f.upload_id, u.sha256 as \"sha256?\", u.size as \"size?\", u.object_key as \"object_key?\",
             u.version_id as \"version_id?\", o.observed_at as \"observed_at?\", o.received_at as \"received_at?\",
             f.change_id, f.state, s.at as \"step_at?\", s.device_at, s.clock, s.code, s.detail
         from feed f
         left join uploads u on u.upload_id = f.upload_id
         left join observations o on o.upload_id = f.upload_id and o.sequence = f.sequence
         left join lan_changes c on c.change_id = f.change_id
         left join change_steps s on s.change_id = f.change_id and s.state = f.state
         left join pharmacies p on p.pharmacy_id = coalesce(u.pharmacy_id, c.pharmacy_id)
         where (f.transaction, f.feed_id) > ($1::text::xid8, $2)
           and f.transaction < pg_snapshot_xmin(pg_current_snapshot())
         order by f.transaction, f.feed_id limit $3",
        place.transaction.to_string(),
        place.feed_id,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Before everything that is still to come.
#[tracing::instrument(name = "db.feed.end", skip_all)]
pub async fn end(db: &mut PgConnection) -> sqlx::Result<Place> {
    let transaction =
        sqlx::query_scalar!("select pg_snapshot_xmin(pg_current_snapshot())::text as \"transaction!\"");
    let transaction = transaction.fetch_one(db).await?;
    Ok(Place { transaction: transaction.parse().unwrap_or(u64::MAX), feed_id: 0 })
}

/// Forgets what everybody had time enough to read.
#[tracing::instrument(name = "db.feed.sweep", skip_all)]
pub async fn sweep(db: &mut PgConnection, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let gone = sqlx::query!(
        "delete from feed where (transaction, feed_id) in
             (select transaction, feed_id from feed where at < $1 limit 20000)",
        before
    );
    Ok(gone.execute(db).await?.rows_affected())
}
