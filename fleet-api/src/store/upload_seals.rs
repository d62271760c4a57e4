//! Which upload is a leaf of which batch's Merkle tree.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A ledger row as it is hashed into its leaf.
#[derive(Debug, Clone)]
pub struct Sealable {
    pub upload_id: String,
    pub thing: String,
    pub pharmacy_id: Option<i64>,
    pub sha256: String,
    pub size: i64,
    pub version_id: String,
    pub object_key: String,
    pub path_sealed: Vec<u8>,
    pub path_key: Vec<u8>,
    pub received_at: DateTime<Utc>,
}

/// An upload's place: the entry that has the batch's root, and the leaf's position in it.
#[derive(Debug, Clone)]
pub struct Seal {
    pub entry_id: i64,
    pub position: i32,
    pub leaf: Vec<u8>,
}

/// Takes up to `limit` uploads that have no seal yet.
#[tracing::instrument(name = "db.upload_seals.take_unsealed", skip_all)]
pub async fn take_unsealed(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "delete from uploads_unsealed
         where upload_id in (select upload_id from uploads_unsealed order by upload_id limit $1)
         returning upload_id",
        limit,
    )
    .fetch_all(db)
    .await
}

/// Ledger rows by their ids, in their order.
#[tracing::instrument(name = "db.upload_seals.sealable", skip_all)]
pub async fn sealable(db: &mut PgConnection, ids: &[String]) -> sqlx::Result<Vec<Sealable>> {
    sqlx::query_as!(
        Sealable,
        "select upload_id, thing, pharmacy_id, sha256, size, version_id, object_key, path_sealed, path_key, received_at
         from uploads where upload_id = any($1) order by upload_id",
        ids,
    )
    .fetch_all(db)
    .await
}

#[tracing::instrument(name = "db.upload_seals.add", skip_all, fields(count = ids.len()))]
pub async fn add(
    db: &mut PgConnection,
    entry_id: i64,
    ids: &[String],
    leaves: &[Vec<u8>],
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into upload_seals (entry_id, position, upload_id, leaf)
         select $1, (it.number - 1)::int, it.upload_id, it.leaf
         from unnest($2::text[], $3::bytea[]) with ordinality as it (upload_id, leaf, number)",
        entry_id,
        ids,
        leaves,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The newest seal of an upload: one that was restored from the bucket is sealed anew.
#[tracing::instrument(name = "db.upload_seals.of", skip_all, fields(upload.id = %upload_id))]
pub async fn of(db: &mut PgConnection, upload_id: &str) -> sqlx::Result<Option<Seal>> {
    sqlx::query_as!(
        Seal,
        "select entry_id, position, leaf from upload_seals where upload_id = $1 order by entry_id desc limit 1",
        upload_id,
    )
    .fetch_optional(db)
    .await
}

/// All leaves of a batch, in their order.
#[tracing::instrument(name = "db.upload_seals.leaves", skip_all)]
pub async fn leaves(db: &mut PgConnection, entry_id: i64) -> sqlx::Result<Vec<Vec<u8>>> {
    sqlx::query_scalar!("select leaf from upload_seals where entry_id = $1 order by position", entry_id)
        .fetch_all(db)
        .await
}
