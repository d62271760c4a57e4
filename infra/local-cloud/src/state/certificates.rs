//! Certificates that this cloud has issued, and their status.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{Store, StoreResult, direction, first_row, rows};

/// Times are seconds since 1970.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub id: String,
    pub pem: String,
    pub status: String,
    pub created: i64,
    pub modified: i64,
    pub not_before: i64,
    pub not_after: i64,
}

impl Certificate {
    pub fn active(&self) -> bool {
        self.status == "ACTIVE"
    }
}

fn certificate(row: &Row<'_>) -> rusqlite::Result<Certificate> {
    Ok(Certificate {
        id: row.get(0)?,
        pem: row.get(1)?,
        status: row.get(2)?,
        created: row.get(3)?,
        modified: row.get(4)?,
        not_before: row.get(5)?,
        not_after: row.get(6)?,
    })
}

const COLUMNS: &str = "select id, pem, status, created, modified, not_before, not_after from certificates";

impl Store {
    pub fn certificate(&self, id: &str) -> StoreResult<Option<Certificate>> {
        self.with(|db| {
            db.prepare_cached(&format!("{COLUMNS} where id = ?1"))?.query_row([id], certificate).optional()
        })
    }

    /// Certificates by age; `after` is the (created, id) of the last one of the page before.
    pub fn certificates(
        &self,
        after: Option<(i64, String)>,
        ascending: bool,
        limit: usize,
    ) -> StoreResult<Vec<Certificate>> {
        let (compare, order) = direction(ascending);
        let (created, id) = after.unwrap_or((first_row(ascending), String::new()));
        self.with(|db| {
            db.prepare_cached(&format!(
                "{COLUMNS} where (created, id) {compare} (?1, ?2) order by created {order}, id {order} limit ?3"
            ))?
            .query_map(params![created, id, rows(limit)], certificate)?
            .collect()
        })
    }

    pub fn add_certificate(&self, it: &Certificate) -> StoreResult<()> {
        self.with(|db| {
            db.execute(
                "insert into certificates (id, pem, status, created, modified, not_before, not_after)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![it.id, it.pem, it.status, it.created, it.modified, it.not_before, it.not_after],
            )
        })?;
        Ok(())
    }

    /// Whether the certificate has that status now: one that is REVOKED keeps it for good.
    pub fn set_certificate_status(&self, id: &str, status: &str, now: i64) -> StoreResult<bool> {
        let changed = self.with(|db| {
            db.execute(
                "update certificates set status = ?2, modified = ?3
                 where id = ?1 and (status <> 'REVOKED' or ?2 = 'REVOKED')",
                params![id, status, now],
            )
        })?;
        self.permissions_changed();
        Ok(changed > 0)
    }

    pub fn delete_certificate(&self, id: &str, arn: &str) -> StoreResult<()> {
        self.transaction(|db| {
            db.execute("delete from policy_targets where target = ?1", [arn])?;
            db.execute("delete from thing_principals where principal = ?1", [arn])?;
            db.execute("delete from certificates where id = ?1", [id])
        })?;
        self.permissions_changed();
        Ok(())
    }
}
