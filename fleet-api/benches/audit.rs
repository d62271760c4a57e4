//! How fast audit entries go in one by one while a leader chains them, beside the same rows in a bare table; and
//! how long a million rows take to chain and to verify. Prints figures; judges nothing. `cargo xtask bench audit`.

#![expect(clippy::cast_precision_loss, reason = "figures are for people")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use fleet_api::{
    aws::checkpoints::Checkpoints,
    clock::{Clock, SystemClock},
    fleet::{
        actor::Actor,
        audit::{Audit, Entry, chain::Chainer, checkpoint::Checkpoint, keys::Keys, verify::verify},
    },
    store::{audit_chain, audit_entries},
};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool, postgres::PgPoolOptions};

/// What a commit waits for is the disk, and those that wait together share it.
const WRITERS: u32 = 64;
const WRITING: Duration = Duration::from_secs(10);
const CHAIN_EVERY: Duration = Duration::from_millis(400);
const ROWS: i64 = 1_000_000;

/// The bucket, in memory: a handful of requests are nothing beside a million rows.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<i64, Vec<u8>>>);

#[async_trait]
impl Checkpoints for Memory {
    async fn put(&self, seq: i64, content: Vec<u8>, _: DateTime<Utc>) -> anyhow::Result<bool> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(all.insert(seq, content).is_none())
    }

    async fn get(&self, seq: i64) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&seq).cloned())
    }

    async fn after(&self, seq: i64) -> anyhow::Result<Vec<i64>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(all.range(seq + 1..).map(|(&seq, _)| seq).collect())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL is not set: `cargo xtask bench audit`")?;
    let db = PgPoolOptions::new().max_connections(WRITERS + 4).connect(&url).await?;
    let audit = Audit {
        keys: Keys::new(&[1; 32], &[])?,
        checkpoints: Arc::new(Memory::default()),
        checkpoint_every: TimeDelta::minutes(5),
        retention: TimeDelta::days(5 * 366),
    };
    going_in(&db, &audit).await?;
    a_million(&db, &audit).await
}

async fn going_in(db: &PgPool, audit: &Audit) -> anyhow::Result<()> {
    let bare = writing(db, async |tx, number| {
        let row = "insert into bare (at, actor, actor_proof, origin, action, after, reason)
            values ($1, 'system', 'system', 'system', 'change.queued', $2, 'a bench')";
        sqlx::query(row).bind(SystemClock.now()).bind(after(number)).execute(tx).await?;
        Ok(())
    });
    sqlx::query("create table bare (like audit_entries including defaults)").execute(db).await?;
    let bare = bare.await?.len();
    let end = Instant::now() + WRITING;
    let entries = writing(db, async |tx, number| {
        let by = Actor::system();
        let mut entry = Entry::new(SystemClock.now(), &by, "change.queued");
        entry.after = Some(after(number));
        entry.reason = Some("a bench");
        audit_entries::add(tx, &entry).await?;
        Ok(())
    });
    let chaining = async {
        let (mut chainer, mut slowest) = (Chainer::default(), Duration::ZERO);
        let mut timer = tokio::time::interval(CHAIN_EVERY);
        while Instant::now() < end {
            timer.tick().await;
            let started = Instant::now();
            chainer.pass(db, audit, &SystemClock).await?;
            slowest = slowest.max(started.elapsed());
        }
        anyhow::Ok(slowest)
    };
    let (waits, slowest) = tokio::try_join!(entries, chaining)?;
    let left = audit_chain::pending(&mut *db.acquire().await?).await?;
    println!(
        "{WRITERS} writers, one entry a transaction: {:.0} entries/s (goal: 2000/s), {:.2} of the {:.0} rows/s that a bare table takes",
        waits.len() as f64 / WRITING.as_secs_f64(),
        waits.len() as f64 / bare as f64,
        bare as f64 / WRITING.as_secs_f64()
    );
    println!("  a transaction takes p50 {:?}, p99 {:?}", at(&waits, 50), at(&waits, 99));
    println!(
        "  the leader looks every {CHAIN_EVERY:?}; its longest pass took {slowest:?}; {left} not chained at the end"
    );
    let waited = "select percentile_cont(array[0.5, 0.99, 1]) within group (order by extract(epoch from chained_at - at)::float8)
        from audit_chain join audit_entries using (entry_id)";
    let waited: Vec<f64> = sqlx::query_scalar(waited).fetch_one(db).await?;
    println!(
        "  an entry waits for its place p50 {:.2} s, p99 {:.2} s, at most {:.2} s",
        waited[0], waited[1], waited[2]
    );
    Ok(())
}

/// How long each transaction took, sorted.
async fn writing(
    db: &PgPool,
    write: impl AsyncFn(&mut PgConnection, u32) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Duration>> {
    let end = Instant::now() + WRITING;
    let writers = (0..WRITERS).map(async |number| {
        let mut waits = Vec::new();
        while Instant::now() < end {
            let started = Instant::now();
            let mut tx = db.begin().await?;
            write(&mut tx, number).await?;
            tx.commit().await?;
            waits.push(started.elapsed());
        }
        anyhow::Ok(waits)
    });
    let mut waits = futures::future::try_join_all(writers).await?.concat();
    waits.sort();
    Ok(waits)
}

fn after(writer: u32) -> Value {
    json!({"lan": {"mode": "static", "address": "192.168.10.9/24"}, "writer": writer})
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}

async fn a_million(db: &PgPool, audit: &Audit) -> anyhow::Result<()> {
    let insert = "insert into audit_entries
            (at, actor, actor_proof, origin, ip, action, thing, pharmacy, before, after, reason, change_id)
        select now(), 'token:bench', 'api_token', 'api', '192.0.2.1', 'change.queued', 'tenpo-' || n, 'P-' || n,
            '{\"lan\": {\"mode\": \"dhcp\"}}', '{\"lan\": {\"mode\": \"static\", \"address\": \"192.168.10.9/24\"}}',
            'a bench', md5(n::text) from generate_series(1, 100000) n";
    let mut rows = 0;
    while rows < ROWS {
        sqlx::query(insert).execute(db).await?;
        rows += 100_000;
    }
    sqlx::query("analyze").execute(db).await?;
    let started = Instant::now();
    let chained = Chainer::default().pass(db, audit, &SystemClock).await?;
    let took = started.elapsed().as_secs_f64();
    println!("chaining {chained} rows that wait: {took:.1} s, {:.0} rows/s", chained as f64 / took);
    let mut connection = db.acquire().await?;
    let head = audit_chain::head(&mut connection).await?.context("nothing is chained")?;
    let checkpoint =
        Checkpoint::sign(&audit.keys, head.seq, head.hash.as_slice().try_into()?, SystemClock.now());
    audit.checkpoints.put(head.seq, serde_json::to_vec(&checkpoint)?, SystemClock.now()).await?;
    sqlx::query("analyze").execute(db).await?;
    let started = Instant::now();
    let report = verify(audit, &mut connection).await?;
    let took = started.elapsed().as_secs_f64();
    println!(
        "verifying {} rows: {took:.1} s, {:.0} rows/s\n{report}",
        report.rows,
        report.rows as f64 / took
    );
    Ok(())
}
