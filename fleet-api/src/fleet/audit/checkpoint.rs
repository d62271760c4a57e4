//! A checkpoint says which hash the log had at which row, signed. What lies in the bucket nobody can take back,
//! so a log that was cut off or written anew is found by it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::Acquire;

use super::{
    hash::Hash,
    keys::{Keys, Signed},
};
use crate::{
    fleet::Fleet,
    store::{audit_chain, audit_checkpoints, leadership},
};

/// So much longer than the rows it vouches for a checkpoint stays locked.
const BEYOND: TimeDelta = TimeDelta::days(366);

/// As it lies in the bucket. No name and no prescription stands in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    version: u8,
    pub seq: i64,
    #[serde(with = "hex")]
    pub hash: Hash,
    pub at: DateTime<Utc>,
    key_id: String,
    #[serde(with = "hex")]
    signature: Vec<u8>,
}

impl Checkpoint {
    pub fn sign(keys: &Keys, seq: i64, hash: Hash, at: DateTime<Utc>) -> Self {
        let Signed { key_id, signature } = keys.sign(&message(seq, &hash, at));
        Self { version: 1, seq, hash, at, key_id, signature }
    }

    pub fn is_genuine(&self, keys: &Keys) -> bool {
        let signed = Signed { key_id: self.key_id.clone(), signature: self.signature.clone() };
        self.version == 1 && keys.vouch(&message(self.seq, &self.hash, self.at), &signed)
    }

    /// What lies in the bucket under `seq`; an error if a key of ours did not sign it for that row.
    pub fn read(content: &[u8], seq: i64, keys: &Keys) -> anyhow::Result<Self> {
        let read: Self = serde_json::from_slice(content)?;
        anyhow::ensure!(read.seq == seq && read.is_genuine(keys), "no key that is trusted has signed it");
        Ok(read)
    }

    fn row(&self) -> audit_checkpoints::Row {
        audit_checkpoints::Row {
            seq: self.seq,
            hash: self.hash.to_vec(),
            signed_at: self.at,
            key_id: self.key_id.clone(),
            signature: self.signature.clone(),
        }
    }
}

fn message(seq: i64, hash: &Hash, at: DateTime<Utc>) -> String {
    format!("recehub audit checkpoint v1\n{seq}\n{}\n{}\n", hex::encode(hash), at.timestamp_micros())
}

/// Signs where the log stands, if it went on since the last checkpoint and `every` has passed. True: it did.
pub async fn pass(fleet: &Fleet, every: TimeDelta) -> anyhow::Result<bool> {
    let mut tx = fleet.db().begin().await?;
    let db = tx.acquire().await?;
    if !leadership::lead(db, leadership::AUDIT_CHECKPOINT).await? {
        return Ok(false);
    }
    let newest = audit_checkpoints::newest(db).await?;
    let now = fleet.clock().now();
    let is_due = |seq| newest.is_none_or(|newest| newest.seq < seq && newest.signed_at + every <= now);
    let head = audit_chain::head(db).await?.filter(|head| is_due(head.seq));
    if let Some(head) = &head {
        let made = put(fleet, head.seq, &head.hash).await?;
        audit_checkpoints::add(db, &made.row()).await?;
    }
    // Whoever leads gives that up at once, whatever there was to do.
    tx.commit().await?;
    Ok(head.is_some())
}

/// Signs an older row, so that the rest can be verified from there once what is before it is gone.
pub async fn of_row(fleet: &Fleet, seq: i64) -> anyhow::Result<()> {
    let mut db = fleet.db().acquire().await?;
    if audit_checkpoints::covering(&mut db, seq).await?.is_some_and(|known| known.seq == seq) {
        return Ok(());
    }
    let link = audit_chain::at(&mut db, seq).await?;
    let link = link.ok_or_else(|| anyhow::anyhow!("the log has no row {seq}"))?;
    let made = put(fleet, seq, &link.hash).await?;
    audit_checkpoints::add(&mut db, &made.row()).await?;
    Ok(())
}

/// Puts it into the bucket, and answers what lies there: a crash may have come before this database knew.
async fn put(fleet: &Fleet, seq: i64, hash: &[u8]) -> anyhow::Result<Checkpoint> {
    let (audit, now) = (&fleet.parts.audit, fleet.clock().now());
    let made = Checkpoint::sign(&audit.keys, seq, hash.try_into()?, now);
    let until = now + audit.retention + BEYOND;
    if audit.checkpoints.put(seq, serde_json::to_vec(&made)?, until).await? {
        return Ok(made);
    }
    let there = audit.checkpoints.get(seq).await?;
    let there =
        there.ok_or_else(|| anyhow::anyhow!("S3 has a checkpoint of row {seq} and does not give it"))?;
    let there = Checkpoint::read(&there, seq, &audit.keys)?;
    anyhow::ensure!(
        there.hash == made.hash,
        "row {seq} of the log is not the one that a checkpoint vouches for"
    );
    Ok(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_for_that_row_is_read() {
        let keys = Keys::new(&[1; 32], &[]).unwrap();
        let made = Checkpoint::sign(&keys, 7, [2; 32], "2026-11-26T00:00:00.5Z".parse().unwrap());
        let text = serde_json::to_vec(&made).unwrap();

        assert_eq!(Checkpoint::read(&text, 7, &keys).unwrap(), made);
        assert!(Checkpoint::read(&text, 8, &keys).is_err());
        assert!(Checkpoint::read(&text, 7, &Keys::new(&[9; 32], &[]).unwrap()).is_err());
        for altered in [
            Checkpoint { seq: 8, ..made.clone() },
            Checkpoint { hash: [3; 32], ..made.clone() },
            Checkpoint { at: made.at + TimeDelta::microseconds(1), ..made.clone() },
            Checkpoint { version: 2, ..made.clone() },
        ] {
            assert!(!altered.is_genuine(&keys), "{altered:?}");
        }
    }
}
