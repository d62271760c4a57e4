//! Whether the log is what was written: every row's hash is computed anew, and the checkpoints that lie where
//! nobody can alter them say how far it has to reach.

mod fault;
mod walk;

use std::collections::HashMap;

use serde::Serialize;
use sqlx::PgConnection;

pub use fault::Fault;
use walk::{Step, Walk};

use super::{
    Audit,
    checkpoint::Checkpoint,
    hash::{BEGINNING, Hash},
};
use crate::store::{audit_chain, audit_checkpoints};

/// How many rows are read at once.
const PAGE: i64 = 5_000;

/// What was found.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// True: nothing was altered, and nothing is missing but what `lost` names.
    pub intact: bool,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
    /// How many rows were computed anew.
    pub rows: i64,
    /// The first of them, and the last.
    pub first: Option<i64>,
    pub last: Option<i64>,
    /// The newest checkpoint that vouches for the log: what came after it is chained, and nobody has signed it.
    pub checkpoint: Option<i64>,
    /// Entries that have no place yet.
    pub waiting: i64,
    /// What was lost in restores, as signed records say.
    pub lost: Vec<Lost>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Lost {
    pub from: i64,
    pub to: i64,
}

/// Verifies all of the log. An error says that it could not be done.
pub async fn verify(audit: &Audit, db: &mut PgConnection) -> anyhow::Result<Report> {
    // What is signed from here on is not asked for: the rows are read after this.
    let bucket = Bucket::look(audit, db).await?;
    let mut report = Report {
        intact: false,
        fault: None,
        rows: 0,
        first: None,
        last: None,
        checkpoint: None,
        waiting: audit_chain::pending(db).await?,
        lost: Vec::new(),
    };
    report.fault = judge(audit, db, &bucket, &mut report).await?;
    report.intact = report.fault.is_none();
    Ok(report)
}

async fn judge(
    audit: &Audit,
    db: &mut PgConnection,
    bucket: &Bucket,
    report: &mut Report,
) -> anyhow::Result<Option<Fault>> {
    let mut walk = match base(audit, db, bucket).await? {
        Ok(walk) => walk,
        Err(fault) => return Ok(Some(fault)),
    };
    loop {
        let links = audit_chain::after(db, walk.last_seen(), PAGE).await?;
        if links.is_empty() {
            break;
        }
        let ids: Vec<i64> = links.iter().map(|link| link.entry_id).collect();
        let entries = audit_chain::entries(db, &ids).await?;
        let entries: HashMap<i64, _> = entries.into_iter().map(|entry| (entry.entry_id, entry)).collect();
        for link in &links {
            match walk.step(link, entries.get(&link.entry_id), &audit.keys) {
                Ok(Step::Next) => {}
                Ok(Step::Over(lost)) => report.lost.push(lost),
                Err(fault) => return Ok(Some(fault)),
            }
            report.rows += 1;
            report.first.get_or_insert(link.seq);
            report.last = Some(link.seq);
        }
    }
    let is_lost = |seq: i64| report.lost.iter().any(|lost| (lost.from..=lost.to).contains(&seq));
    let known = bucket.seqs.iter().rev().copied().find(|&seq| !is_lost(seq));
    if let Some(known) = known {
        let reach = report.last.unwrap_or(walk.base());
        if known > reach {
            return Ok(Some(Fault::Truncated { seq: reach + 1, checkpoint: known }));
        }
        if let Some(fault) = vouched(audit, db, &walk, bucket, is_lost, known).await? {
            return Ok(Some(fault));
        }
        report.checkpoint = Some(known);
    }
    stray(db).await
}

/// Where the log begins: at its first row, or after what retention has dropped, where a checkpoint vouches.
async fn base(audit: &Audit, db: &mut PgConnection, bucket: &Bucket) -> anyhow::Result<Result<Walk, Fault>> {
    let first = audit_chain::after(db, 0, 1).await?.pop();
    let Some(first) = first.filter(|first| first.seq > 1) else {
        return Ok(Ok(Walk::from(0, BEGINNING)));
    };
    let base = first.seq - 1;
    Ok(match bucket.read(audit, base).await? {
        // A log that begins with the record of a restore lost everything before it, and no checkpoint is asked.
        Some(checkpoint) if !is_first_after_restore(db, first.entry_id).await? => match checkpoint {
            Ok(checkpoint) => Ok(Walk::from(base, checkpoint.hash)),
            Err(fault) => Err(fault),
        },
        _ => Ok(Walk::from(0, BEGINNING)),
    })
}

async fn is_first_after_restore(db: &mut PgConnection, entry_id: i64) -> anyhow::Result<bool> {
    let entry = audit_chain::entries(db, &[entry_id]).await?.pop();
    Ok(entry.is_some_and(|entry| entry.action == super::restored::ACTION))
}

/// None: the newest checkpoint vouches for all before it. Else the rows between the last checkpoint that still
/// fits and the first that does not: a log that was written anew from some row on is consistent in itself.
async fn vouched(
    audit: &Audit,
    db: &mut PgConnection,
    walk: &Walk,
    bucket: &Bucket,
    is_lost: impl Fn(i64) -> bool,
    known: i64,
) -> anyhow::Result<Option<Fault>> {
    if let Some(fault) = fits(audit, db, walk, bucket, known).await? {
        if matches!(fault, Fault::Forged { .. }) {
            return Ok(Some(fault));
        }
        let all = bucket.all(audit).await?;
        let all: Vec<i64> = all.into_iter().filter(|&seq| !is_lost(seq) && seq > walk.base()).collect();
        // Hashes go one way: once one does not fit, none after it does.
        let (mut good, mut bad) = (None, all.len().saturating_sub(1));
        let mut low = 0;
        while low < bad {
            let middle = low.midpoint(bad);
            match fits(audit, db, walk, bucket, all[middle]).await? {
                None => (good, low) = (Some(all[middle]), middle + 1),
                Some(_) => bad = middle,
            }
        }
        let first_bad = all.get(bad).copied().unwrap_or(known);
        return Ok(Some(Fault::Rewritten { seq: good.unwrap_or(walk.base()) + 1, until: first_bad }));
    }
    Ok(None)
}

async fn fits(
    audit: &Audit,
    db: &mut PgConnection,
    walk: &Walk,
    bucket: &Bucket,
    seq: i64,
) -> anyhow::Result<Option<Fault>> {
    let checkpoint = match bucket.read(audit, seq).await? {
        None => return Ok(Some(Fault::Forged { seq })),
        Some(Err(fault)) => return Ok(Some(fault)),
        Some(Ok(checkpoint)) => checkpoint,
    };
    let here: Option<Hash> = if seq == walk.base() {
        Some(walk.base_hash())
    } else {
        audit_chain::at(db, seq).await?.and_then(|link| link.hash.try_into().ok())
    };
    Ok((here != Some(checkpoint.hash)).then_some(Fault::Rewritten { seq, until: seq }))
}

/// An entry that was slipped in beside the chain.
async fn stray(db: &mut PgConnection) -> anyhow::Result<Option<Fault>> {
    let mut after = 0;
    while let Some((stray, last)) = audit_chain::stray(db, after, PAGE).await? {
        if let Some(entry_id) = stray {
            return Ok(Some(Fault::Stray { entry_id }));
        }
        after = last;
    }
    Ok(None)
}

/// The checkpoints from the newest one on that this database knows of, if the bucket has that one; else all.
struct Bucket {
    seqs: Vec<i64>,
}

impl Bucket {
    async fn look(audit: &Audit, db: &mut PgConnection) -> anyhow::Result<Self> {
        let known = audit_checkpoints::newest(db).await?.map(|known| known.seq);
        let seqs = match known {
            Some(known) if audit.checkpoints.get(known).await?.is_some() => {
                let mut seqs = vec![known];
                seqs.extend(audit.checkpoints.after(known).await?);
                seqs
            }
            _ => audit.checkpoints.after(0).await?,
        };
        Ok(Self { seqs })
    }

    async fn all(&self, audit: &Audit) -> anyhow::Result<Vec<i64>> {
        let newest = self.seqs.last().copied().unwrap_or_default();
        let mut all = audit.checkpoints.after(0).await?;
        all.retain(|&seq| seq <= newest);
        Ok(all)
    }

    async fn read(&self, audit: &Audit, seq: i64) -> anyhow::Result<Option<Result<Checkpoint, Fault>>> {
        let content = audit.checkpoints.get(seq).await?;
        Ok(content
            .map(|content| Checkpoint::read(&content, seq, &audit.keys).map_err(|_| Fault::Forged { seq })))
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.fault {
            None => writeln!(f, "the audit log is what was written")?,
            Some(fault) => writeln!(f, "{fault}")?,
        }
        if let (Some(first), Some(last)) = (self.first, self.last) {
            writeln!(f, "verified: rows {first} to {last}")?;
        }
        for lost in &self.lost {
            writeln!(f, "lost in a restore: rows {} to {}", lost.from, lost.to)?;
        }
        match self.checkpoint {
            Some(seq) => writeln!(f, "signed up to row {seq}")?,
            None => writeln!(f, "no checkpoint vouches for it")?,
        }
        write!(f, "waiting for their place: {} entries", self.waiting)
    }
}
