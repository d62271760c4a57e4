//! What survives a restart: one SQLite database. Each table's statements stand in a file of its own below `state/`.

pub mod aliases;
pub mod certificates;
pub mod policies;
pub mod presence;
pub mod retained;
pub mod rules;
pub mod sessions;
pub mod shadows;
pub mod things;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, params};

/// The database. Clones share it.
#[derive(Clone)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
    permissions: Arc<AtomicU64>,
    parsed: Arc<policies::Parsed>,
}

/// Something is wrong with the database itself.
#[derive(Debug, thiserror::Error)]
#[error("the state database failed: {0}")]
pub struct StoreError(#[from] rusqlite::Error);

pub type StoreResult<T> = Result<T, StoreError>;

impl Store {
    pub fn open(folder: &Path) -> StoreResult<Self> {
        Self::prepare(Connection::open(folder.join("state.sqlite"))?)
    }

    pub fn in_memory() -> StoreResult<Self> {
        Self::prepare(Connection::open_in_memory()?)
    }

    fn prepare(connection: Connection) -> StoreResult<Self> {
        // NORMAL survives the end of the process, which is what an emulator promises; a power cut may cost the last writes.
        connection.execute_batch(
            "pragma journal_mode = wal; pragma synchronous = normal; pragma foreign_keys = on;",
        )?;
        connection.execute_batch(SCHEMA)?;
        connection.set_prepared_statement_cache_capacity(128);
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            permissions: Arc::default(),
            parsed: Arc::default(),
        })
    }

    /// Counts up whenever a policy, an attachment or a certificate's status changed, so that a connection knows
    /// when what it remembers of its permissions is old.
    pub fn permissions_epoch(&self) -> u64 {
        self.permissions.load(Ordering::Acquire)
    }

    fn permissions_changed(&self) {
        self.permissions.fetch_add(1, Ordering::AcqRel);
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> StoreResult<T> {
        Ok(work(&self.connection.lock())?)
    }

    /// All of `work` or nothing of it.
    fn transaction<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> StoreResult<T> {
        let mut connection = self.connection.lock();
        let transaction = connection.transaction()?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    pub fn meta(&self, key: &str) -> StoreResult<Option<String>> {
        self.with(|db| {
            db.prepare_cached("select value from meta where key = ?1")?
                .query_row([key], |row| row.get(0))
                .optional()
        })
    }

    pub fn set_meta(&self, key: &str, value: &str) -> StoreResult<()> {
        self.with(|db| {
            db.execute("insert or replace into meta (key, value) values (?1, ?2)", params![key, value])
        })?;
        Ok(())
    }
}

/// How the next row compares to the last one, and how they are sorted.
fn direction(ascending: bool) -> (&'static str, &'static str) {
    if ascending { (">", "asc") } else { ("<", "desc") }
}

/// Where a list begins that goes by row ids, which count up as things are made.
fn first_row(ascending: bool) -> i64 {
    if ascending { 0 } else { i64::MAX }
}

/// A limit as SQLite takes it.
fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

const SCHEMA: &str = "
create table if not exists meta (key text primary key, value text not null);
create table if not exists things (
    name text primary key, thing_id text not null, thing_type text, attributes text not null, version integer not null
);
create table if not exists certificates (
    id text primary key, pem text not null, status text not null, created integer not null, modified integer not null,
    not_before integer not null, not_after integer not null
);
create table if not exists thing_principals (
    thing text not null references things (name), principal text not null, exclusive integer not null,
    primary key (thing, principal)
);
create index if not exists thing_principals_by_principal on thing_principals (principal);
create table if not exists policies (
    name text primary key, default_version integer not null, next_version integer not null
);
create table if not exists policy_versions (
    policy text not null references policies (name), version integer not null, document text not null,
    created integer not null, primary key (policy, version)
);
create table if not exists policy_targets (
    policy text not null references policies (name), target text not null, primary key (policy, target)
);
create index if not exists policy_targets_by_target on policy_targets (target);
create table if not exists role_aliases (
    alias text primary key, role_arn text not null, duration integer not null, created integer not null,
    modified integer not null
);
create table if not exists rules (
    name text primary key, sql text not null, payload text not null, disabled integer not null, created integer not null
);
create table if not exists destinations (
    arn text primary key, url text not null, status text not null, reason text not null, token text not null,
    token_at integer not null, created integer not null, updated integer not null
);
create table if not exists shadows (
    thing text not null, name text not null, state text not null, metadata text not null, version integer not null,
    deleted integer not null, updated integer not null, primary key (thing, name)
);
create table if not exists retained (
    topic text primary key, payload blob not null, qos integer not null, modified integer not null
);
create table if not exists sessions (
    client_id text primary key, subscriptions text not null, expires integer
);
create table if not exists session_messages (
    position integer primary key autoincrement, client_id text not null, topic text not null, payload blob not null
);
create index if not exists session_messages_by_client on session_messages (client_id, position);
create table if not exists presence (
    client_id text primary key, connected integer not null, version integer not null, at integer not null,
    session text not null, reason text not null
);
";

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}
