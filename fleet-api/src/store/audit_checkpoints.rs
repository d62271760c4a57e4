//! Checkpoints of the audit log that lie in the bucket under a lock, as far as this database knows.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub seq: i64,
    pub hash: Vec<u8>,
    pub signed_at: DateTime<Utc>,
    pub key_id: String,
    pub signature: Vec<u8>,
}

#[tracing::instrument(name = "db.audit_checkpoints.add", skip_all, fields(seq = row.seq))]
pub async fn add(db: &mut PgConnection, row: &Row) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into audit_checkpoints (seq, hash, signed_at, key_id, signature) values ($1, $2, $3, $4, $5)
         on conflict on constraint audit_checkpoints_pkey do nothing",
        row.seq,
        row.hash,
        row.signed_at,
        row.key_id,
        row.signature,
    )
    .execute(db)
    .await?;
    Ok(())
}

#[tracing::instrument(name = "db.audit_checkpoints.newest", skip_all)]
pub async fn newest(db: &mut PgConnection) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        "select seq, hash, signed_at, key_id, signature from audit_checkpoints order by seq desc limit 1"
    )
    .fetch_optional(db)
    .await
}

/// The first one that covers `seq`.
#[tracing::instrument(name = "db.audit_checkpoints.covering", skip_all)]
pub async fn covering(db: &mut PgConnection, seq: i64) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        "select seq, hash, signed_at, key_id, signature from audit_checkpoints where seq >= $1
         order by seq limit 1",
        seq,
    )
    .fetch_optional(db)
    .await
}
