//! IoT policies, their versions, and what they are attached to.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreResult, direction, first_row, rows};
use crate::policy::Document;

/// Documents as they were parsed, by their text: a fleet's connections hold one policy, not one each.
#[derive(Default)]
pub(super) struct Parsed(Mutex<HashMap<String, Weak<Document>>>);

#[derive(Debug, Clone)]
pub struct PolicyVersion {
    pub version: i64,
    pub document: String,
    pub is_default: bool,
    pub created: i64,
}

impl Parsed {
    /// None for what is no policy; such a one cannot be created.
    fn document(&self, text: String) -> Option<Arc<Document>> {
        let mut parsed = self.0.lock();
        if let Some(document) = parsed.get(&text).and_then(Weak::upgrade) {
            return Some(document);
        }
        let document = Arc::new(Document::parse(&text).ok()?);
        parsed.retain(|_, document| document.strong_count() > 0);
        parsed.insert(text, Arc::downgrade(&document));
        Some(document)
    }
}

impl Store {
    /// The default version's document of every policy attached to `target`.
    pub fn policy_documents_of(&self, target: &str) -> StoreResult<Vec<Arc<Document>>> {
        let texts: Vec<String> = self.with(|db| {
            db.prepare_cached(
                "select v.document from policy_targets t join policies p on p.name = t.policy
                 join policy_versions v on v.policy = p.name and v.version = p.default_version
                 where t.target = ?1 order by p.name",
            )?
            .query_map([target], |row| row.get(0))?
            .collect()
        })?;
        Ok(texts.into_iter().filter_map(|text| self.parsed.document(text)).collect())
    }

    /// Names by age, each with its row's id; `after` is the row of the last one of the page before.
    pub fn policies(
        &self,
        after: Option<i64>,
        ascending: bool,
        limit: usize,
    ) -> StoreResult<Vec<(i64, String)>> {
        let (compare, order) = direction(ascending);
        let after = after.unwrap_or(first_row(ascending));
        self.with(|db| {
            db.prepare_cached(&format!(
                "select rowid, name from policies where rowid {compare} ?1 order by rowid {order} limit ?2"
            ))?
            .query_map(params![after, rows(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
        })
    }

    pub fn policy_versions(&self, policy: &str) -> StoreResult<Vec<PolicyVersion>> {
        self.with(|db| {
            db.prepare_cached(
                "select v.version, v.document, v.version = p.default_version, v.created
                 from policy_versions v join policies p on p.name = v.policy where v.policy = ?1 order by v.version desc",
            )?
            .query_map([policy], |row| {
                Ok(PolicyVersion {
                    version: row.get(0)?,
                    document: row.get(1)?,
                    is_default: row.get(2)?,
                    created: row.get(3)?,
                })
            })?
            .collect()
        })
    }

    /// Makes the policy with its version 1.
    pub fn create_policy(&self, name: &str, document: &str, now: i64) -> StoreResult<()> {
        self.transaction(|db| {
            db.execute(
                "insert into policies (name, default_version, next_version) values (?1, 1, 2)",
                [name],
            )?;
            db.execute(
                "insert into policy_versions (policy, version, document, created) values (?1, 1, ?2, ?3)",
                params![name, document, now],
            )
        })?;
        Ok(())
    }

    /// Adds a version and answers its number.
    pub fn create_policy_version(
        &self,
        name: &str,
        document: &str,
        default: bool,
        now: i64,
    ) -> StoreResult<i64> {
        let version = self.transaction(|db| {
            let version: i64 =
                db.query_row("select next_version from policies where name = ?1", [name], |row| row.get(0))?;
            db.execute("update policies set next_version = next_version + 1 where name = ?1", [name])?;
            db.execute(
                "insert into policy_versions (policy, version, document, created) values (?1, ?2, ?3, ?4)",
                params![name, version, document, now],
            )?;
            if default {
                db.execute(
                    "update policies set default_version = ?2 where name = ?1",
                    params![name, version],
                )?;
            }
            Ok(version)
        })?;
        self.permissions_changed();
        Ok(version)
    }

    pub fn set_default_policy_version(&self, name: &str, version: i64) -> StoreResult<()> {
        self.with(|db| {
            db.execute("update policies set default_version = ?2 where name = ?1", params![name, version])
        })?;
        self.permissions_changed();
        Ok(())
    }

    pub fn delete_policy_version(&self, name: &str, version: i64) -> StoreResult<()> {
        self.with(|db| {
            db.execute(
                "delete from policy_versions where policy = ?1 and version = ?2",
                params![name, version],
            )
        })?;
        Ok(())
    }

    pub fn delete_policy(&self, name: &str) -> StoreResult<()> {
        self.transaction(|db| {
            db.execute("delete from policy_versions where policy = ?1", [name])?;
            db.execute("delete from policies where name = ?1", [name])
        })?;
        self.permissions_changed();
        Ok(())
    }

    pub fn attach_policy(&self, policy: &str, target: &str) -> StoreResult<()> {
        self.with(|db| {
            db.execute(
                "insert or ignore into policy_targets (policy, target) values (?1, ?2)",
                params![policy, target],
            )
        })?;
        self.permissions_changed();
        Ok(())
    }

    pub fn detach_policy(&self, policy: &str, target: &str) -> StoreResult<()> {
        self.with(|db| {
            db.execute(
                "delete from policy_targets where policy = ?1 and target = ?2",
                params![policy, target],
            )
        })?;
        self.permissions_changed();
        Ok(())
    }

    pub fn targets_of_policy(&self, policy: &str) -> StoreResult<Vec<String>> {
        self.with(|db| {
            db.prepare_cached("select target from policy_targets where policy = ?1 order by target")?
                .query_map([policy], |row| row.get(0))?
                .collect()
        })
    }

    pub fn policies_of_target(&self, target: &str) -> StoreResult<Vec<String>> {
        self.with(|db| {
            db.prepare_cached("select policy from policy_targets where target = ?1 order by policy")?
                .query_map([target], |row| row.get(0))?
                .collect()
        })
    }

    pub fn policy_exists(&self, name: &str) -> StoreResult<bool> {
        self.with(|db| {
            db.prepare_cached("select 1 from policies where name = ?1")?
                .query_row([name], |_| Ok(()))
                .optional()
        })
        .map(|found| found.is_some())
    }
}
