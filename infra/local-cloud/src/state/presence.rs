//! Who was connected when: what lifecycle events count on and the fleet index answers from.

use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreResult};

/// `at` is in milliseconds since 1970.
#[derive(Debug, Clone)]
pub struct Presence {
    pub connected: bool,
    pub version: i64,
    pub at: i64,
    pub session: String,
    pub reason: String,
}

impl Store {
    pub fn presence(&self, client_id: &str) -> StoreResult<Option<Presence>> {
        self.with(|db| {
            db.prepare_cached(
                "select connected, version, at, session, reason from presence where client_id = ?1",
            )?
            .query_row([client_id], |row| {
                Ok(Presence {
                    connected: row.get(0)?,
                    version: row.get(1)?,
                    at: row.get(2)?,
                    session: row.get(3)?,
                    reason: row.get(4)?,
                })
            })
            .optional()
        })
    }

    pub fn put_presence(&self, client_id: &str, it: &Presence) -> StoreResult<()> {
        self.with(|db| {
            db.prepare_cached(
                "insert or replace into presence (client_id, connected, version, at, session, reason)
                 values (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![client_id, it.connected, it.version, it.at, it.session, it.reason])
        })?;
        Ok(())
    }

    /// At start nobody is connected, whatever the last stop left behind.
    pub fn everyone_is_offline(&self) -> StoreResult<()> {
        self.with(|db| {
            db.execute("update presence set connected = 0, reason = 'SERVER_ERROR' where connected = 1", [])
        })?;
        Ok(())
    }
}
