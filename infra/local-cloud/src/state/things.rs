//! Things, and which principals (certificates) are attached to them.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Row, params};

use super::{Store, StoreResult, rows};

#[derive(Debug, Clone)]
pub struct Thing {
    pub name: String,
    pub id: String,
    pub thing_type: Option<String>,
    pub attributes: BTreeMap<String, String>,
    pub version: i64,
}

#[derive(Debug, Clone)]
pub struct Attachment {
    pub thing: String,
    pub principal: String,
    pub exclusive: bool,
}

fn thing(row: &Row<'_>) -> rusqlite::Result<Thing> {
    let attributes: String = row.get(3)?;
    Ok(Thing {
        name: row.get(0)?,
        id: row.get(1)?,
        thing_type: row.get(2)?,
        attributes: serde_json::from_str(&attributes).unwrap_or_default(),
        version: row.get(4)?,
    })
}

fn attachment(row: &Row<'_>) -> rusqlite::Result<Attachment> {
    Ok(Attachment { thing: row.get(0)?, principal: row.get(1)?, exclusive: row.get(2)? })
}

const COLUMNS: &str = "select name, thing_id, thing_type, attributes, version from things";
const ATTACHMENTS: &str = "select thing, principal, exclusive from thing_principals";

impl Store {
    pub fn thing(&self, name: &str) -> StoreResult<Option<Thing>> {
        self.with(|db| {
            db.prepare_cached(&format!("{COLUMNS} where name = ?1"))?.query_row([name], thing).optional()
        })
    }

    /// Things in the order of their names, those after `after` first.
    pub fn things(&self, after: &str, limit: usize) -> StoreResult<Vec<Thing>> {
        self.with(|db| {
            db.prepare_cached(&format!("{COLUMNS} where name > ?1 order by name limit ?2"))?
                .query_map(params![after, rows(limit)], thing)?
                .collect()
        })
    }

    /// Writes the thing, new or changed.
    pub fn put_thing(&self, it: &Thing) -> StoreResult<()> {
        let attributes = serde_json::json!(it.attributes).to_string();
        self.with(|db| {
            db.execute(
                "insert into things (name, thing_id, thing_type, attributes, version) values (?1, ?2, ?3, ?4, ?5)
                 on conflict (name) do update set thing_type = ?3, attributes = ?4, version = ?5",
                params![it.name, it.id, it.thing_type, attributes, it.version],
            )
        })?;
        self.permissions_changed();
        Ok(())
    }

    pub fn delete_thing(&self, name: &str) -> StoreResult<()> {
        self.transaction(|db| {
            db.execute("delete from thing_principals where thing = ?1", [name])?;
            db.execute("delete from things where name = ?1", [name])
        })?;
        self.permissions_changed();
        Ok(())
    }

    pub fn attachments_of_thing(&self, thing: &str) -> StoreResult<Vec<Attachment>> {
        self.with(|db| {
            db.prepare_cached(&format!("{ATTACHMENTS} where thing = ?1 order by principal"))?
                .query_map([thing], attachment)?
                .collect()
        })
    }

    pub fn attachments_of_principal(&self, principal: &str) -> StoreResult<Vec<Attachment>> {
        self.with(|db| {
            db.prepare_cached(&format!("{ATTACHMENTS} where principal = ?1 order by thing"))?
                .query_map([principal], attachment)?
                .collect()
        })
    }

    /// Whether the principal is attached so now. An exclusive attachment stands beside no other, and one thing's is
    /// of one kind. One statement, so that of two requests at once one comes too late.
    pub fn attach_principal(&self, it: &Attachment) -> StoreResult<bool> {
        let changed = self.with(|db| {
            db.execute(
                "insert into thing_principals (thing, principal, exclusive) select ?1, ?2, ?3 where not exists (
                     select 1 from thing_principals where principal = ?2
                     and iif(thing = ?1, exclusive <> ?3, exclusive or ?3)
                 ) on conflict (thing, principal) do update set exclusive = ?3",
                params![it.thing, it.principal, it.exclusive],
            )
        })?;
        self.permissions_changed();
        Ok(changed > 0)
    }

    /// Whether there was anything to detach.
    pub fn detach_principal(&self, thing: &str, principal: &str) -> StoreResult<bool> {
        let gone = self.with(|db| {
            db.execute(
                "delete from thing_principals where thing = ?1 and principal = ?2",
                params![thing, principal],
            )
        })?;
        self.permissions_changed();
        Ok(gone > 0)
    }
}
