//! Topic rules and the HTTP destinations they may post to.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{Store, StoreResult};

/// `payload` is the rule as the API takes and gives it (`TopicRulePayload`), as JSON text.
#[derive(Debug, Clone)]
pub struct StoredRule {
    pub name: String,
    pub sql: String,
    pub payload: String,
    pub disabled: bool,
    pub created: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub arn: String,
    pub url: String,
    pub status: String,
    pub reason: String,
    pub token: String,
    pub token_at: i64,
    pub created: i64,
    pub updated: i64,
}

fn rule(row: &Row<'_>) -> rusqlite::Result<StoredRule> {
    Ok(StoredRule {
        name: row.get(0)?,
        sql: row.get(1)?,
        payload: row.get(2)?,
        disabled: row.get(3)?,
        created: row.get(4)?,
    })
}

fn destination(row: &Row<'_>) -> rusqlite::Result<Destination> {
    Ok(Destination {
        arn: row.get(0)?,
        url: row.get(1)?,
        status: row.get(2)?,
        reason: row.get(3)?,
        token: row.get(4)?,
        token_at: row.get(5)?,
        created: row.get(6)?,
        updated: row.get(7)?,
    })
}

const DESTINATIONS: &str =
    "select arn, url, status, reason, token, token_at, created, updated from destinations";

impl Store {
    pub fn rules(&self) -> StoreResult<Vec<StoredRule>> {
        self.with(|db| {
            db.prepare_cached("select name, sql, payload, disabled, created from rules order by name")?
                .query_map([], rule)?
                .collect()
        })
    }

    pub fn put_rule(&self, it: &StoredRule) -> StoreResult<()> {
        self.with(|db| {
            db.execute(
                "insert into rules (name, sql, payload, disabled, created) values (?1, ?2, ?3, ?4, ?5)
                 on conflict (name) do update set sql = ?2, payload = ?3, disabled = ?4",
                params![it.name, it.sql, it.payload, it.disabled, it.created],
            )
        })?;
        Ok(())
    }

    pub fn delete_rule(&self, name: &str) -> StoreResult<()> {
        self.with(|db| db.execute("delete from rules where name = ?1", [name]))?;
        Ok(())
    }

    pub fn destinations(&self) -> StoreResult<Vec<Destination>> {
        self.with(|db| {
            db.prepare_cached(&format!("{DESTINATIONS} order by created, arn"))?
                .query_map([], destination)?
                .collect()
        })
    }

    pub fn destination(&self, arn: &str) -> StoreResult<Option<Destination>> {
        self.with(|db| {
            db.prepare_cached(&format!("{DESTINATIONS} where arn = ?1"))?
                .query_row([arn], destination)
                .optional()
        })
    }

    pub fn put_destination(&self, it: &Destination) -> StoreResult<()> {
        self.with(|db| {
            db.execute(
                "insert or replace into destinations (arn, url, status, reason, token, token_at, created, updated)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![it.arn, it.url, it.status, it.reason, it.token, it.token_at, it.created, it.updated],
            )
        })?;
        Ok(())
    }

    pub fn delete_destination(&self, arn: &str) -> StoreResult<bool> {
        let gone = self.with(|db| db.execute("delete from destinations where arn = ?1", [arn]))?;
        Ok(gone > 0)
    }
}
