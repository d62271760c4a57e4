//! The LAN machine on disk: each state before its side effect, each verdict with the state that it ends,
//! and what ran when.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use device_model::{
    change_id::ChangeId,
    outcome::{self, Verdict},
};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde_json::Value;

use crate::{
    lan::{
        history,
        state::{Machine, Profile},
    },
    store::{Store, StoreError},
};

/// Verdicts that are remembered, so that no change is ever tried twice; years of them.
const REMEMBERED: i64 = 1000;

/// What the journal holds.
pub enum Found {
    Nothing,
    Machine(Box<Machine>),
    /// A state that this agent cannot read.
    Corrupt(Box<Corrupt>),
}

/// What can be made out of a state that is none.
#[derive(Debug)]
pub struct Corrupt {
    pub error: String,
    /// The change that was in hand, and what it asked for.
    pub change: Option<ChangeId>,
    pub wanted: Option<Profile>,
}

/// When something is written, by the box's clock.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    pub at: DateTime<Utc>,
    pub clock: outcome::Clock,
}

#[derive(Clone)]
pub struct Journal(pub Store);

impl Journal {
    pub async fn read(&self) -> Result<Found, StoreError> {
        let (text, is_lost) = self
            .0
            .read(|db| {
                let machine =
                    db.query_row("select machine from lan_journal", [], |row| row.get::<_, String>(0));
                let is_lost = db.prepare("select 1 from meta where key = 'replaced'")?.exists([])?;
                Ok((machine.optional()?, is_lost))
            })
            .await?;
        Ok(match text.as_deref().map(serde_json::from_str) {
            None if is_lost => Found::Corrupt(Box::new(Corrupt::lost())),
            None => Found::Nothing,
            Some(Ok(machine)) => Found::Machine(Box::new(machine)),
            Some(Err(error)) => Found::Corrupt(Box::new(Corrupt::of(&text.unwrap_or_default(), &error))),
        })
    }

    /// Writes it all in one transaction: a verdict never stands beside a state that contradicts it.
    pub async fn write(
        &self,
        machine: &Machine,
        verdict: Option<Verdict>,
        stamp: Stamp,
    ) -> Result<(), StoreError> {
        let machine = machine.clone();
        self.0
            .run(move |db| {
                let text = to_json(&machine)?;
                db.prepare_cached("insert or replace into lan_journal values (1, ?1)")?.execute([text])?;
                history::remember(db, &machine.current, verdict.as_ref(), stamp)?;
                verdict.map_or(Ok(()), |verdict| add(db, &verdict))
            })
            .await
    }

    pub async fn verdicts(&self, limit: usize) -> Result<Vec<Verdict>, StoreError> {
        self.0.read(move |db| verdicts(db, limit)).await
    }

    /// The changes that have ended.
    pub async fn ended(&self) -> Result<HashSet<ChangeId>, StoreError> {
        self.0
            .read(|db| {
                let mut rows = db.prepare("select change_id from lan_verdicts")?;
                let ids = rows.query_map([], |row| row.get::<_, String>(0))?;
                ids.filter_map(|id| id.map(|id| id.parse().ok()).transpose()).collect()
            })
            .await
    }
}

impl Corrupt {
    /// It went with a database that could not be read.
    fn lost() -> Self {
        Self { error: "the database was replaced".to_owned(), change: None, wanted: None }
    }

    fn of(text: &str, error: &serde_json::Error) -> Self {
        let journal: Value = serde_json::from_str(text).unwrap_or_default();
        let wish = &journal["state"]["wish"];
        Self {
            error: error.to_string(),
            change: wish["changeId"].as_str().and_then(|id| id.parse().ok()),
            wanted: serde_json::from_value(wish["profile"].clone()).ok(),
        }
    }
}

/// The machine as it stands there, if it can be read.
pub fn machine(db: &Connection) -> rusqlite::Result<Option<Machine>> {
    let text = db.query_row("select machine from lan_journal", [], |row| row.get::<_, String>(0));
    Ok(text.optional()?.and_then(|text| serde_json::from_str(&text).ok()))
}

/// The verdict on this change, if there is one.
pub fn verdict(db: &Connection, change: &ChangeId) -> rusqlite::Result<Option<Verdict>> {
    let mut rows = db.prepare("select verdict from lan_verdicts where change_id = ?1")?;
    let text = rows.query_row([change.as_str()], |row| row.get::<_, String>(0)).optional()?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// The last verdicts, newest first.
pub fn verdicts(db: &Connection, limit: usize) -> rusqlite::Result<Vec<Verdict>> {
    let mut rows = db.prepare("select verdict from lan_verdicts order by number desc limit ?1")?;
    let texts = rows.query_map([limit], |row| row.get::<_, String>(0))?;
    texts.filter_map(|text| text.map(|text| serde_json::from_str(&text).ok()).transpose()).collect()
}

fn add(db: &Connection, verdict: &Verdict) -> rusqlite::Result<()> {
    // The first word on a change is the last one.
    db.execute(
        "insert or ignore into lan_verdicts (change_id, verdict) values (?1, ?2)",
        params![verdict.change_id.as_str(), to_json(verdict)?],
    )?;
    // Who asked on the spot has the answer.
    db.execute("delete from lan_request where change_id = ?1", [verdict.change_id.as_str()])?;
    db.execute(
        "delete from lan_verdicts where number <= (select max(number) from lan_verdicts) - ?1",
        [REMEMBERED],
    )
    .map(drop)
}

pub(super) fn to_json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn it_can_be_read_when_nobody_can_write() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let journal = Journal(store.clone());
        let (open, gate) = mpsc::channel::<()>();
        let mut held = Box::pin(store.run(move |_| Ok(gate.recv().is_ok())));
        let mut failing = Box::pin(store.run(|_| {
            let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
            Err::<(), _>(rusqlite::Error::SqliteFailure(full, None))
        }));
        let (mut state, mut verdicts) = (Box::pin(journal.read()), Box::pin(journal.verdicts(10)));
        let mut ended = Box::pin(journal.ended());
        // While one is at work the others come, and wait together.
        assert!(futures::poll!(&mut held).is_pending() && futures::poll!(&mut failing).is_pending());
        assert!(futures::poll!(&mut state).is_pending() && futures::poll!(&mut verdicts).is_pending());
        assert!(futures::poll!(&mut ended).is_pending());

        drop(open);

        assert!(failing.await.is_err());
        assert!(state.await.is_ok() && verdicts.await.is_ok() && ended.await.is_ok());
    }
}
