//! Role aliases: the name under which a certificate may take on an IAM role.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{Store, StoreResult, direction, first_row, rows};

#[derive(Debug, Clone)]
pub struct RoleAlias {
    pub alias: String,
    pub role_arn: String,
    pub duration: i64,
    pub created: i64,
    pub modified: i64,
}

fn role_alias(row: &Row<'_>) -> rusqlite::Result<RoleAlias> {
    Ok(RoleAlias {
        alias: row.get(0)?,
        role_arn: row.get(1)?,
        duration: row.get(2)?,
        created: row.get(3)?,
        modified: row.get(4)?,
    })
}

const COLUMNS: &str = "select alias, role_arn, duration, created, modified from role_aliases";

impl Store {
    pub fn role_alias(&self, alias: &str) -> StoreResult<Option<RoleAlias>> {
        self.with(|db| {
            db.prepare_cached(&format!("{COLUMNS} where alias = ?1"))?
                .query_row([alias], role_alias)
                .optional()
        })
    }

    /// Names by age, each with its row's id; `after` is the row of the last one of the page before.
    pub fn role_aliases(
        &self,
        after: Option<i64>,
        ascending: bool,
        limit: usize,
    ) -> StoreResult<Vec<(i64, String)>> {
        let (compare, order) = direction(ascending);
        let after = after.unwrap_or(first_row(ascending));
        self.with(|db| {
            db.prepare_cached(&format!(
                "select rowid, alias from role_aliases where rowid {compare} ?1 order by rowid {order} limit ?2"
            ))?
            .query_map(params![after, rows(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
        })
    }

    pub fn put_role_alias(&self, it: &RoleAlias) -> StoreResult<()> {
        self.with(|db| {
            db.execute(
                "insert into role_aliases (alias, role_arn, duration, created, modified) values (?1, ?2, ?3, ?4, ?5)
                 on conflict (alias) do update set role_arn = ?2, duration = ?3, modified = ?5",
                params![it.alias, it.role_arn, it.duration, it.created, it.modified],
            )
        })?;
        Ok(())
    }

    pub fn delete_role_alias(&self, alias: &str) -> StoreResult<bool> {
        let gone = self.with(|db| db.execute("delete from role_aliases where alias = ?1", [alias]))?;
        Ok(gone > 0)
    }
}
