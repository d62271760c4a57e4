//! Shadow documents. A deleted one leaves its version behind, since versions go on after a delete.

use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreResult, rows};

/// `name` is empty for the classic shadow; `state` and `metadata` are JSON text.
#[derive(Debug, Clone)]
pub struct StoredShadow {
    pub state: String,
    pub metadata: String,
    pub version: i64,
    pub deleted: bool,
    pub updated: i64,
}

impl Store {
    pub fn shadow(&self, thing: &str, name: &str) -> StoreResult<Option<StoredShadow>> {
        self.with(|db| {
            db.prepare_cached(
                "select state, metadata, version, deleted, updated from shadows where thing = ?1 and name = ?2",
            )?
            .query_row([thing, name], |row| {
                Ok(StoredShadow {
                    state: row.get(0)?,
                    metadata: row.get(1)?,
                    version: row.get(2)?,
                    deleted: row.get(3)?,
                    updated: row.get(4)?,
                })
            })
            .optional()
        })
    }

    pub fn put_shadow(&self, thing: &str, name: &str, it: &StoredShadow) -> StoreResult<()> {
        self.with(|db| {
            db.prepare_cached(
                "insert into shadows (thing, name, state, metadata, version, deleted, updated)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 on conflict (thing, name) do update
                 set state = ?3, metadata = ?4, version = ?5, deleted = ?6, updated = ?7",
            )?
            .execute(params![
                thing,
                name,
                it.state,
                it.metadata,
                it.version,
                it.deleted,
                it.updated
            ])
        })?;
        Ok(())
    }

    /// The names of a thing's named shadows, those after `after` first.
    pub fn shadow_names(&self, thing: &str, after: &str, limit: usize) -> StoreResult<Vec<String>> {
        self.with(|db| {
            db.prepare_cached(
                "select name from shadows where thing = ?1 and name > ?2 and name <> '' and deleted = 0
                 order by name limit ?3",
            )?
            .query_map(params![thing, after, rows(limit)], |row| row.get(0))?
            .collect()
        })
    }
}
