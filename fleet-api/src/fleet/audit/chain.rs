//! The leader gives each entry its place in the chain, a moment after it was written; and goes no further when
//! a checkpoint knows more than the log does, for then the log was cut off, or the database restored.

use sqlx::{Acquire, PgConnection, PgPool};

use super::{
    Audit,
    checkpoint::Checkpoint,
    hash::{self, Hash},
};
use crate::{
    clock::Clock,
    store::{
        audit_chain::{self, Link, Told},
        leadership,
    },
};

/// How many entries one transaction takes.
const AT_ONCE: i64 = 2_000;

/// What one process remembers of the chain.
#[derive(Debug, Default)]
pub struct Chainer {
    /// The last row that it saw. None: it has not compared the log with the checkpoints yet.
    seen: Option<i64>,
}

/// The checkpoints know of more than the log has.
#[derive(Debug, thiserror::Error)]
#[error(
    "the audit log ends at row {ends}, but a checkpoint knows of row {known}: it was cut off, or the database was \
     restored, which `fleet-api audit restored` writes down"
)]
pub struct Behind {
    pub ends: i64,
    pub known: i64,
}

impl Chainer {
    /// Chains what waits; answers how much that was.
    pub async fn pass(&mut self, db: &PgPool, audit: &Audit, clock: &dyn Clock) -> anyhow::Result<usize> {
        let mut all = 0;
        loop {
            let chained = self.batch(db, audit, clock).await?;
            all += chained;
            if i64::try_from(chained)? < AT_ONCE {
                return Ok(all);
            }
        }
    }

    async fn batch(&mut self, db: &PgPool, audit: &Audit, clock: &dyn Clock) -> anyhow::Result<usize> {
        let mut tx = db.begin().await?;
        let db = tx.acquire().await?;
        if !leadership::lead(db, leadership::AUDIT_CHAIN).await? {
            return Ok(0);
        }
        let head = audit_chain::head(db).await?;
        let ends = head.as_ref().map_or(0, |head| head.seq);
        // A database that knows less than before is another one.
        if self.seen.is_none_or(|seen| ends < seen) {
            self.seen = None;
            compare(audit, db, ends).await?;
        }
        let pending = audit_chain::take_pending(db, AT_ONCE).await?;
        let entries = audit_chain::entries(db, &pending).await?;
        anyhow::ensure!(
            entries.len() == pending.len(),
            "an entry that waits for its place is not in the log"
        );
        let count = entries.len();
        if count > 0 {
            let links = links(ends, last_hash(head)?, &entries, clock.now());
            audit_chain::append(db, links).await?;
        }
        tx.commit().await?;
        self.seen = Some(ends + i64::try_from(count)?);
        Ok(count)
    }
}

/// The entries' places after `ends`.
fn links(ends: i64, mut hash: Hash, entries: &[Told], now: chrono::DateTime<chrono::Utc>) -> Vec<Link> {
    (ends + 1..)
        .zip(entries)
        .map(|(seq, entry)| {
            hash = hash::link(&hash, seq, now, entry);
            Link { seq, entry_id: entry.entry_id, chained_at: now, hash: hash.to_vec() }
        })
        .collect()
}

pub fn last_hash(head: Option<Link>) -> anyhow::Result<Hash> {
    match head {
        None => Ok(hash::BEGINNING),
        Some(head) => Ok(head.hash.as_slice().try_into()?),
    }
}

/// An error if the newest checkpoint is not of a row that the log has.
async fn compare(audit: &Audit, db: &mut PgConnection, ends: i64) -> anyhow::Result<()> {
    let Some(known) = newest(audit, db).await? else {
        return Ok(());
    };
    if known.seq > ends {
        return Err(Behind { ends, known: known.seq }.into());
    }
    let link = audit_chain::at(db, known.seq).await?;
    // Of a row that was lost in a restore nothing is left to compare with.
    anyhow::ensure!(
        link.is_none_or(|link| link.hash == known.hash),
        "row {} of the audit log is not the one that a checkpoint vouches for",
        known.seq
    );
    Ok(())
}

/// The newest checkpoint in the bucket; an error if no key of ours has signed it.
pub async fn newest(audit: &Audit, db: &mut PgConnection) -> anyhow::Result<Option<Checkpoint>> {
    let Some(seq) = newest_seq(audit, db).await? else {
        return Ok(None);
    };
    let content = audit.checkpoints.get(seq).await?;
    let content =
        content.ok_or_else(|| anyhow::anyhow!("S3 lists a checkpoint of row {seq} and does not give it"))?;
    let read = Checkpoint::read(&content, seq, &audit.keys);
    read.map(Some).map_err(|error| error.context(format!("the checkpoint of row {seq} cannot be used")))
}

/// The database only says where to begin to look; the bucket is what counts.
async fn newest_seq(audit: &Audit, db: &mut PgConnection) -> anyhow::Result<Option<i64>> {
    if let Some(known) = crate::store::audit_checkpoints::newest(db).await?
        && audit.checkpoints.get(known.seq).await?.is_some()
    {
        return Ok(audit.checkpoints.after(known.seq).await?.pop().or(Some(known.seq)));
    }
    Ok(audit.checkpoints.after(0).await?.pop())
}
