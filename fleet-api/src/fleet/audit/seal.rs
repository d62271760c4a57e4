//! Uploads come by the thousand, so they get no entry each: a batch is sealed by one Merkle root, which an entry
//! has, and each of them is proved by that.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{Acquire, PgConnection};

use super::{
    Audit, Entry,
    checkpoint::Checkpoint,
    hash::{self, Fields, Hash},
    merkle,
};
use crate::{
    fleet::{Fleet, actor::Actor},
    store::{
        audit_chain, audit_checkpoints, audit_entries, leadership,
        upload_seals::{self, Sealable},
    },
};

pub const ACTION: &str = "uploads.sealed";
/// How many leaves a tree has at most.
const AT_ONCE: i64 = 1_000;

/// What proves an upload: from its row in the ledger up to a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    pub upload_id: String,
    pub leaf: String,
    pub position: usize,
    pub leaves: usize,
    /// What to hash the leaf with, from below, to come to the root.
    pub path: Vec<String>,
    pub root: String,
    /// The log's row that has the root.
    pub seq: i64,
    /// The checkpoint that vouches for that row.
    pub checkpoint: i64,
}

/// Why an upload is not proved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    #[error("the ledger has no such upload")]
    Unknown,
    #[error("it is not sealed yet, or its seal is not signed yet: ask again after the next checkpoint")]
    NotYet,
    #[error("the ledger's row is not what was sealed")]
    Altered,
    #[error("the batch's leaves do not come to the root that the log has")]
    OtherRoot,
    #[error("row {0} of the audit log is not what was written")]
    BrokenChain(i64),
    #[error("the checkpoint of row {0} does not vouch for the log")]
    BrokenCheckpoint(i64),
}

/// Seals what has no seal yet; answers how many uploads that were.
pub async fn pass(fleet: &Fleet) -> anyhow::Result<usize> {
    let mut tx = fleet.db().begin().await?;
    let db = tx.acquire().await?;
    if !leadership::lead(db, leadership::AUDIT_SEAL).await? {
        return Ok(0);
    }
    let ids = upload_seals::take_unsealed(db, AT_ONCE).await?;
    let uploads = upload_seals::sealable(db, &ids).await?;
    let leaves: Vec<Hash> = uploads.iter().map(leaf).collect();
    if let Some(root) = merkle::root(&leaves) {
        let by = Actor::system();
        let mut entry = Entry::new(fleet.clock().now(), &by, ACTION);
        entry.after = Some(json!({"root": hex::encode(root), "leaves": leaves.len()}));
        let entry_id = audit_entries::add(db, &entry).await?;
        let ids: Vec<String> = uploads.into_iter().map(|upload| upload.upload_id).collect();
        let leaves: Vec<Vec<u8>> = leaves.iter().map(|leaf| leaf.to_vec()).collect();
        upload_seals::add(db, entry_id, &ids, &leaves).await?;
    }
    tx.commit().await?;
    Ok(leaves.len())
}

fn leaf(upload: &Sealable) -> Hash {
    let mut fields = Fields::of("recehub upload v1");
    for text in [&upload.upload_id, &upload.thing, &upload.sha256, &upload.version_id, &upload.object_key] {
        fields.text(Some(text));
    }
    fields.text(upload.pharmacy_id.map(|id| id.to_string()).as_deref());
    fields.number(upload.size).bytes(&upload.path_sealed).bytes(&upload.path_key).time(upload.received_at);
    fields.hash()
}

/// Proves one upload.
pub async fn prove(
    audit: &Audit,
    db: &mut PgConnection,
    upload_id: &str,
) -> anyhow::Result<Result<Proof, Unproved>> {
    let ids = [upload_id.to_owned()];
    let Some(upload) = upload_seals::sealable(db, &ids).await?.pop() else {
        return Ok(Err(Unproved::Unknown));
    };
    let Some(seal) = upload_seals::of(db, upload_id).await? else {
        return Ok(Err(Unproved::NotYet));
    };
    let leaf = leaf(&upload);
    if seal.leaf != leaf {
        return Ok(Err(Unproved::Altered));
    }
    let leaves = upload_seals::leaves(db, seal.entry_id).await?;
    let leaves: Vec<Hash> = leaves.into_iter().filter_map(|leaf| leaf.try_into().ok()).collect();
    let position = usize::try_from(seal.position)?;
    let path = merkle::path(&leaves, position).unwrap_or_default();
    let root = merkle::root_by(&leaf, position, leaves.len(), &path).map(hex::encode);
    let entry = audit_chain::entries(db, &[seal.entry_id]).await?.pop();
    let told = entry.filter(|entry| entry.action == ACTION).and_then(|entry| entry.after);
    let told: Value = told.map_or(Ok(Value::Null), |after| serde_json::from_str(&after))?;
    let Some(root) = root.filter(|root| told["root"] == root.as_str()) else {
        return Ok(Err(Unproved::OtherRoot));
    };
    Ok(signed(audit, db, seal.entry_id).await?.map(|(seq, checkpoint)| Proof {
        upload_id: upload.upload_id,
        leaf: hex::encode(leaf),
        position,
        leaves: leaves.len(),
        path: path.iter().map(hex::encode).collect(),
        root,
        seq,
        checkpoint,
    }))
}

/// The row of an entry and the checkpoint that vouches for it: every row between them is computed anew.
async fn signed(
    audit: &Audit,
    db: &mut PgConnection,
    entry_id: i64,
) -> anyhow::Result<Result<(i64, i64), Unproved>> {
    let Some(link) = audit_chain::of_entry(db, entry_id).await? else {
        return Ok(Err(Unproved::NotYet));
    };
    let Some(known) = audit_checkpoints::covering(db, link.seq).await? else {
        return Ok(Err(Unproved::NotYet));
    };
    let content = audit.checkpoints.get(known.seq).await?;
    let Some(Ok(checkpoint)) = content.map(|content| Checkpoint::read(&content, known.seq, &audit.keys))
    else {
        return Ok(Err(Unproved::BrokenCheckpoint(known.seq)));
    };
    // The row before it is taken as it is: what stands there is bound by the hashes after it.
    let before = audit_chain::at(db, link.seq - 1).await?;
    let mut hash = super::chain::last_hash(before)?;
    let count = known.seq - link.seq + 1;
    let links = audit_chain::after(db, link.seq - 1, count).await?;
    let ids: Vec<i64> = links.iter().map(|link| link.entry_id).collect();
    let entries = audit_chain::entries(db, &ids).await?;
    for (seq, link) in (link.seq..=known.seq).zip(&links) {
        let entry = entries.iter().find(|entry| entry.entry_id == link.entry_id);
        hash = match entry.filter(|_| link.seq == seq) {
            Some(entry) => hash::link(&hash, seq, link.chained_at, entry),
            None => return Ok(Err(Unproved::BrokenChain(seq))),
        };
        if link.hash != hash {
            return Ok(Err(Unproved::BrokenChain(seq)));
        }
    }
    if hash != checkpoint.hash {
        return Ok(Err(Unproved::BrokenCheckpoint(known.seq)));
    }
    Ok(Ok((link.seq, known.seq)))
}
