//! The audit log: rows are added in the transaction of what they tell of, and never altered.

use chrono::{DateTime, Utc};
use device_model::{change_id::ChangeId, thing_name::ThingName};
use serde_json::Value;
use sqlx::PgConnection;

use crate::fleet::audit::Entry;

/// An entry as it stands in the log.
#[derive(Debug, Clone)]
pub struct Row {
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

#[tracing::instrument(name = "db.audit_entries.add", skip_all, fields(action = entry.action))]
pub async fn add(db: &mut PgConnection, entry: &Entry<'_>) -> sqlx::Result<()> {
    // The pharmacy is the one that held at this moment, unless the entry knows better.
    sqlx::query!(
        "insert into audit_entries
             (at, actor, actor_proof, origin, ip, action, thing, pharmacy, before, after, reason, ticket, change_id)
         values ($1, $2, $3, $4, $5, $6, $7,
             coalesce($8, (select p.code from assignments a join pharmacies p using (pharmacy_id)
                           where a.thing = $7 and a.to_at is null)),
             $9, $10, $11, $12, $13)",
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
    .execute(db)
    .await?;
    Ok(())
}

/// Entries after `after`, oldest first.
#[tracing::instrument(name = "db.audit_entries.list", skip_all)]
pub async fn list(
    db: &mut PgConnection,
    thing: Option<&str>,
    change_id: Option<&str>,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        "select entry_id, at, actor, actor_proof, origin, ip, action, thing, pharmacy, before, after, reason, ticket,
                change_id
         from audit_entries
         where entry_id > $3 and ($1::text is null or thing = $1) and ($2::text is null or change_id = $2)
         order by entry_id limit $4",
        thing,
        change_id,
        after,
        limit,
    )
    .fetch_all(db)
    .await
}
