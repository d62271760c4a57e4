//! The LAN machine on disk: each state before its side effect, each verdict with the state that it ends.

use std::collections::HashSet;

use device_model::{change_id::ChangeId, outcome::Verdict};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use crate::{
    lan::state::{Machine, Profile},
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

#[derive(Clone)]
pub struct Journal(pub Store);

impl Journal {
    pub async fn read(&self) -> Result<Found, StoreError> {
        let (text, is_lost) = self
            .0
            .run(|db| {
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

    /// Writes both in one transaction: a verdict never stands beside a state that contradicts it.
    pub async fn write(&self, machine: &Machine, verdict: Option<Verdict>) -> Result<(), StoreError> {
        let machine =
            serde_json::to_string(machine).map_err(|error| StoreError::Sqlite(error.to_string()))?;
        self.0
            .run(move |db| {
                db.execute("insert or replace into lan_journal values (1, ?1)", [machine])?;
                verdict.map_or(Ok(()), |verdict| add(db, &verdict))
            })
            .await
    }

    pub async fn verdicts(&self, limit: usize) -> Result<Vec<Verdict>, StoreError> {
        self.0.run(move |db| verdicts(db, limit)).await
    }

    /// The changes that have ended.
    pub async fn ended(&self) -> Result<HashSet<ChangeId>, StoreError> {
        self.0
            .run(|db| {
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

/// The last verdicts, newest first.
pub fn verdicts(db: &Connection, limit: usize) -> rusqlite::Result<Vec<Verdict>> {
    let mut rows = db.prepare("select verdict from lan_verdicts order by number desc limit ?1")?;
    let texts = rows.query_map([limit], |row| row.get::<_, String>(0))?;
    texts.filter_map(|text| text.map(|text| serde_json::from_str(&text).ok()).transpose()).collect()
}

fn add(db: &Connection, verdict: &Verdict) -> rusqlite::Result<()> {
    let text = serde_json::to_string(verdict)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    // The first word on a change is the last one.
    db.execute(
        "insert or ignore into lan_verdicts (change_id, verdict) values (?1, ?2)",
        params![verdict.change_id.to_string(), text],
    )?;
    db.execute(
        "delete from lan_verdicts where number <= (select max(number) from lan_verdicts) - ?1",
        [REMEMBERED],
    )
    .map(drop)
}
