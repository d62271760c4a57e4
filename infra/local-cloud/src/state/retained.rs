//! Retained messages: the last one of a topic, for whoever subscribes later.

use bytes::Bytes;
use rusqlite::params;

use super::{Store, StoreResult};

#[derive(Debug, Clone)]
pub struct Retained {
    pub topic: String,
    pub payload: Bytes,
    pub qos: u8,
    pub modified: i64,
}

impl Store {
    pub fn retained(&self) -> StoreResult<Vec<Retained>> {
        self.with(|db| {
            db.prepare_cached("select topic, payload, qos, modified from retained order by topic")?
                .query_map([], |row| {
                    Ok(Retained {
                        topic: row.get(0)?,
                        payload: Bytes::from(row.get::<_, Vec<u8>>(1)?),
                        qos: row.get(2)?,
                        modified: row.get(3)?,
                    })
                })?
                .collect()
        })
    }

    /// An empty payload takes the retained message away.
    pub fn retain(&self, it: &Retained) -> StoreResult<()> {
        self.with(|db| {
            if it.payload.is_empty() {
                db.execute("delete from retained where topic = ?1", [&it.topic])
            } else {
                db.execute(
                    "insert or replace into retained (topic, payload, qos, modified) values (?1, ?2, ?3, ?4)",
                    params![it.topic, it.payload.as_ref(), it.qos, it.modified],
                )
            }
        })?;
        Ok(())
    }
}
