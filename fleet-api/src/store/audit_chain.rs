//! The chain over the audit log: which entry has which place, and the hash that holds it there.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// An entry as it is hashed: JSON as the text that Postgres writes it as.
#[derive(Debug, Clone)]
pub struct Told {
    pub entry_id: i64,
    pub at: DateTime<Utc>,
    pub actor: String,
    pub actor_proof: String,
    pub origin: String,
    pub ip: Option<String>,
    pub action: String,
    pub thing: Option<String>,
    pub pharmacy: Option<String>,
    pub before: Option<String>,
    pub after: Option<String>,
    pub reason: Option<String>,
    pub ticket: Option<String>,
    pub change_id: Option<String>,
}

/// A place in the chain.
#[derive(Debug, Clone)]
pub struct Link {
    pub seq: i64,
    pub entry_id: i64,
    pub chained_at: DateTime<Utc>,
    pub hash: Vec<u8>,
}

/// Takes up to `limit` entries that have no place yet, lowest number first.
#[tracing::instrument(name = "db.audit_chain.take_pending", skip_all)]
pub async fn take_pending(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!(
        "delete from audit_pending where entry_id in (select entry_id from audit_pending order by entry_id limit $1)
         returning entry_id",
        limit,
    )
    .fetch_all(db)
    .await
}

/// Gives back one that was put in its place by hand.
#[tracing::instrument(name = "db.audit_chain.take_one", skip_all)]
pub async fn take_one(db: &mut PgConnection, entry_id: i64) -> sqlx::Result<bool> {
    let taken = sqlx::query!("delete from audit_pending where entry_id = $1", entry_id).execute(db).await?;
    Ok(taken.rows_affected() == 1)
}

/// How many entries have no place yet.
#[tracing::instrument(name = "db.audit_chain.pending", skip_all)]
pub async fn pending(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!("select count(*) as \"count!\" from audit_pending").fetch_one(db).await
}

#[tracing::instrument(name = "db.audit_chain.entries", skip_all)]
pub async fn entries(db: &mut PgConnection, ids: &[i64]) -> sqlx::Result<Vec<Told>> {
    sqlx::query_as!(
        Told,
        "select entry_id, at, actor, actor_proof, origin, ip, action, thing, pharmacy, before::text, after::text,
             reason, ticket, change_id
         from audit_entries where entry_id = any($1) order by entry_id",
        ids,
    )
    .fetch_all(db)
    .await
}

/// The last place that was given.
#[tracing::instrument(name = "db.audit_chain.head", skip_all)]
pub async fn head(db: &mut PgConnection) -> sqlx::Result<Option<Link>> {
    sqlx::query_as!(Link, "select seq, entry_id, chained_at, hash from audit_chain order by seq desc limit 1")
        .fetch_optional(db)
        .await
}

#[tracing::instrument(name = "db.audit_chain.append", skip_all, fields(count = links.len()))]
pub async fn append(db: &mut PgConnection, links: Vec<Link>) -> sqlx::Result<()> {
    let (mut seqs, mut ids, mut times, mut hashes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for link in links {
        seqs.push(link.seq);
        ids.push(link.entry_id);
        times.push(link.chained_at);
        hashes.push(link.hash);
    }
    sqlx::query!(
        "insert into audit_chain (seq, entry_id, chained_at, hash)
         select * from unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::bytea[])",
        &seqs,
        &ids,
        &times,
        &hashes,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Places after `after`, in their order.
#[tracing::instrument(name = "db.audit_chain.after", skip_all)]
pub async fn after(db: &mut PgConnection, after: i64, limit: i64) -> sqlx::Result<Vec<Link>> {
    sqlx::query_as!(
        Link,
        "select seq, entry_id, chained_at, hash from audit_chain where seq > $1 order by seq limit $2",
        after,
        limit,
    )
    .fetch_all(db)
    .await
}

#[tracing::instrument(name = "db.audit_chain.at", skip_all)]
pub async fn at(db: &mut PgConnection, seq: i64) -> sqlx::Result<Option<Link>> {
    sqlx::query_as!(Link, "select seq, entry_id, chained_at, hash from audit_chain where seq = $1", seq)
        .fetch_optional(db)
        .await
}

/// The place of an entry.
#[tracing::instrument(name = "db.audit_chain.of_entry", skip_all)]
pub async fn of_entry(db: &mut PgConnection, entry_id: i64) -> sqlx::Result<Option<Link>> {
    sqlx::query_as!(
        Link,
        "select seq, entry_id, chained_at, hash from audit_chain where entry_id = $1 order by seq limit 1",
        entry_id,
    )
    .fetch_optional(db)
    .await
}

/// The first entry after `after` that has no place and waits for none, among the `limit` next ones; and the
/// last of those. None: there are no more. Those whose place may have been dropped with its partition are let by.
#[tracing::instrument(name = "db.audit_chain.stray", skip_all)]
pub async fn stray(
    db: &mut PgConnection,
    after: i64,
    limit: i64,
) -> sqlx::Result<Option<(Option<i64>, i64)>> {
    let row = sqlx::query!(
        "select min(e.entry_id) filter (where c.entry_id is null and p.entry_id is null) as stray,
             max(e.entry_id) as last
         from (select entry_id from audit_entries
               where entry_id > greatest($1, (select max(last_entry) from audit_partitions))
               order by entry_id limit $2) e
         left join audit_chain c using (entry_id) left join audit_pending p using (entry_id)",
        after,
        limit,
    )
    .fetch_one(db)
    .await?;
    Ok(row.last.map(|last| (row.stray, last)))
}

/// An entry that says that the database was restored, and the place before it that there is.
#[derive(Debug)]
pub struct Restore {
    pub seq: i64,
    pub at: DateTime<Utc>,
    pub after: String,
    /// None: it is the first.
    pub before: Option<Link>,
}

#[tracing::instrument(name = "db.audit_chain.restores", skip_all)]
pub async fn restores(db: &mut PgConnection) -> sqlx::Result<Vec<Restore>> {
    let rows = sqlx::query!(
        "select c.seq, e.at, e.after::text as \"after!\", b.seq as \"before_seq?\", b.entry_id as \"before_id?\",
             b.chained_at as \"before_at?\", b.hash as \"before_hash?\"
         from audit_entries e join audit_chain c using (entry_id)
         left join lateral
             (select * from audit_chain earlier where earlier.seq < c.seq order by earlier.seq desc limit 1) b on true
         where e.action = 'audit.restored' and e.after is not null order by c.seq",
    );
    let rows = rows.fetch_all(db).await?.into_iter();
    let link = |seq, entry_id, chained_at, hash| {
        Some(Link { seq: seq?, entry_id: entry_id?, chained_at: chained_at?, hash: hash? })
    };
    let records = rows.map(|row| Restore {
        seq: row.seq,
        at: row.at,
        after: row.after,
        before: link(row.before_seq, row.before_id, row.before_at, row.before_hash),
    });
    Ok(records.collect())
}
