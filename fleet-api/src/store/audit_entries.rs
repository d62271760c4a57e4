//! The audit log: rows are added in the transaction of what they tell of, and never altered.

use chrono::{DateTime, Utc};
use device_model::{change_id::ChangeId, thing_name::ThingName};
use serde_json::Value;
use sqlx::PgConnection;

use crate::fleet::audit::Entry;

/// An entry as it stands in the log.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its place in the chain, and what holds it there; none in its first second.
    pub seq: Option<i64>,
    pub hash: Option<Vec<u8>>,
    pub entry_id: i64,
    pub at: DateTime<Utc>,
    pub actor: String,
    pub actor_proof: String,
    pub origin: String,
    pub ip: Option<String>,
    pub action: String,
    pub thing: Option<String>,
    pub pharmacy: Option<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub reason: Option<String>,
    pub ticket: Option<String>,
    pub change_id: Option<String>,
}

/// Adds it, and answers its number.
#[tracing::instrument(name = "db.audit_entries.add", skip_all, fields(action = entry.action))]
pub async fn add(db: &mut PgConnection, entry: &Entry<'_>) -> sqlx::Result<i64> {
    // The pharmacy is the one that held at this moment, unless the entry knows better.
    sqlx::query_scalar!(
        "insert into audit_entries
             (at, actor, actor_proof, origin, ip, action, thing, pharmacy, before, after, reason, ticket, change_id)
         values ($1, $2, $3, $4, $5, $6, $7,
             coalesce($8, (select p.code from assignments a join pharmacies p using (pharmacy_id)
                           where a.thing = $7 and a.to_at is null)),
             $9, $10, $11, $12, $13)
         returning entry_id",
        entry.at,
        entry.by.name,
        entry.by.proof.as_str(),
        entry.by.origin.as_str(),
        entry.by.ip.map(|ip| ip.to_string()),
        entry.action,
        entry.thing.map(ThingName::as_str),
        entry.pharmacy,
        entry.before,
        entry.after,
        entry.reason,
        entry.ticket,
        entry.change_id.map(ChangeId::as_str),
    )
    .fetch_one(db)
    .await
}

/// Where a page of the list begins: behind a place, and behind an entry that had none yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct After {
    pub seq: i64,
    pub waiting: i64,
}

/// Up to `limit` entries with a place, by place, so that an earlier page never changes; and then up to `limit`
/// that have none yet. One statement, or an entry could get its place between two of them.
#[tracing::instrument(name = "db.audit_entries.list", skip_all)]
pub async fn list(
    db: &mut PgConnection,
    thing: Option<&str>,
    change_id: Option<&str>,
    after: After,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        "(select c.seq as \"seq?\", c.hash as \"hash?\", e.entry_id as \"entry_id!\", e.at as \"at!\", e.actor as \"actor!\",
              e.actor_proof as \"actor_proof!\", e.origin as \"origin!\", e.ip, e.action as \"action!\", e.thing, e.pharmacy,
              e.before, e.after, e.reason, e.ticket, e.change_id
          from audit_chain c join audit_entries e using (entry_id)
          where c.seq > $3 and ($1::text is null or e.thing = $1) and ($2::text is null or e.change_id = $2)
          order by c.seq limit $4)
         union all
         (select null, null, e.entry_id, e.at, e.actor, e.actor_proof, e.origin, e.ip, e.action, e.thing, e.pharmacy,
              e.before, e.after, e.reason, e.ticket, e.change_id
          from audit_pending p join audit_entries e using (entry_id)
          where e.entry_id > $5 and ($1::text is null or e.thing = $1) and ($2::text is null or e.change_id = $2)
          order by e.entry_id limit $4)",
        thing,
        change_id,
        after.seq,
        limit,
        after.waiting,
    )
    .fetch_all(db)
    .await
}
