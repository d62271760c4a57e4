//! After a restore the log goes on behind what was lost: a signed record names the range, and stands where the
//! range ends. Somebody has to say so, or cutting off the log's tail would go unnoticed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{Acquire, PgConnection};

use super::{
    Audit, Entry,
    chain::{last_hash, newest},
    hash::{self, Hash},
    keys::{Keys, Signed},
};
use crate::{
    error::ApiError,
    fleet::{Fleet, actor::Actor},
    store::{
        audit_chain::{self, Link},
        audit_entries, leadership,
    },
};

pub const ACTION: &str = "audit.restored";

/// What the record's entry has in `after`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    pub lost_from: i64,
    /// The newest row that a checkpoint knew; what came after that row is lost as well, and nobody can say how
    /// much that was.
    pub lost_to: i64,
    /// The log's hash before the gap.
    #[serde(with = "hex", rename = "lastHash")]
    here: Hash,
    /// The lost log's hash at `lost_to`.
    #[serde(with = "hex", rename = "lostHash")]
    gone: Hash,
    key_id: String,
    #[serde(with = "hex")]
    signature: Vec<u8>,
}

impl Restored {
    fn sign(keys: &Keys, lost: (i64, i64), here: Hash, gone: Hash) -> Self {
        let Signed { key_id, signature } = keys.sign(&message(lost, &here, &gone));
        Self { lost_from: lost.0, lost_to: lost.1, here, gone, key_id, signature }
    }

    /// Reads the record that stands at `seq` after a gap that begins at `from`. None: it explains no such gap.
    pub fn explains(after: &str, from: i64, seq: i64, here: &Hash, keys: &Keys) -> Option<Self> {
        let read: Self = serde_json::from_str(after).ok()?;
        let signed = Signed { key_id: read.key_id.clone(), signature: read.signature.clone() };
        let message = message((read.lost_from, read.lost_to), &read.here, &read.gone);
        let fits = read.lost_from == from && read.lost_to == seq - 1 && read.here == *here;
        (fits && keys.vouch(&message, &signed)).then_some(read)
    }
}

fn message(lost: (i64, i64), here: &Hash, gone: &Hash) -> String {
    let (from, to) = lost;
    format!("recehub audit restored v1\n{from}\n{to}\n{}\n{}\n", hex::encode(here), hex::encode(gone))
}

/// Between when and when what was written down is lost, for each restore that a signed record tells of. None: the
/// log ends before a checkpoint, and nobody has said yet whether that was a restore.
pub async fn lost_times(
    audit: &Audit,
    db: &mut PgConnection,
) -> anyhow::Result<Option<Vec<(DateTime<Utc>, DateTime<Utc>)>>> {
    let ends = audit_chain::head(db).await?.map_or(0, |head| head.seq);
    if newest(audit, db).await?.is_some_and(|known| known.seq > ends) {
        return Ok(None);
    }
    let mut times = Vec::new();
    for record in audit_chain::restores(db).await? {
        let (from, since) =
            record.before.as_ref().map_or((1, DateTime::UNIX_EPOCH), |link| (link.seq + 1, link.chained_at));
        let here = last_hash(record.before)?;
        if Restored::explains(&record.after, from, record.seq, &here, &audit.keys).is_some() {
            times.push((since, record.at));
        }
    }
    Ok(Some(times))
}

impl Fleet {
    /// Writes down that the database was restored, and answers what was lost. None: the log has every row
    /// that a checkpoint knows.
    pub async fn restored(&self, by: &Actor, reason: &str) -> Result<Option<Restored>, ApiError> {
        let audit = &self.parts.audit;
        let mut tx = self.db().begin().await?;
        let db = tx.acquire().await?;
        leadership::wait(db, leadership::AUDIT_CHAIN).await?;
        let head = audit_chain::head(db).await?;
        let ends = head.as_ref().map_or(0, |head| head.seq);
        let known = newest(audit, db).await.map_err(|error| ApiError::unavailable("AWS S3", error))?;
        let Some(known) = known.filter(|known| known.seq > ends) else {
            return Ok(None);
        };
        let here = last_hash(head)?;
        let record = Restored::sign(&audit.keys, (ends + 1, known.seq), here, known.hash);
        let now = self.clock().now();
        let mut entry = Entry::new(now, by, ACTION);
        entry.after = Some(serde_json::to_value(&record).map_err(anyhow::Error::from)?);
        entry.reason = Some(reason);
        let entry_id = audit_entries::add(db, &entry).await?;
        audit_chain::take_one(db, entry_id).await?;
        let told = audit_chain::entries(db, &[entry_id]).await?.pop();
        let told =
            told.ok_or_else(|| anyhow::anyhow!("the record is not in the log that it was written to"))?;
        let seq = known.seq + 1;
        let hash = hash::link(&here, seq, now, &told).to_vec();
        audit_chain::append(db, vec![Link { seq, entry_id, chained_at: now, hash }]).await?;
        tx.commit().await?;
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_record_that_a_key_of_ours_signed_explains_a_gap() {
        let keys = Keys::new(&[1; 32], &[]).unwrap();
        let record = Restored::sign(&keys, (8, 12), [2; 32], [3; 32]);
        let explains = |record: &Restored, keys: &Keys| {
            let text = serde_json::to_string(record).unwrap();
            Restored::explains(&text, 8, 13, &[2; 32], keys).is_some()
        };

        assert!(explains(&record, &keys));
        assert!(!explains(&record, &Keys::new(&[9; 32], &[]).unwrap()));
        assert!(!explains(&Restored { gone: [4; 32], ..record.clone() }, &keys));
        // Signed, and of another gap.
        for (lost, here) in [((7, 12), [2; 32]), ((8, 11), [2; 32]), ((8, 12), [4; 32])] {
            assert!(!explains(&Restored::sign(&keys, lost, here, [3; 32]), &keys), "{lost:?}");
        }
    }
}
