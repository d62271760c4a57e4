//! Persistent MQTT sessions: subscriptions, and the messages that wait for an offline client.

use std::collections::BTreeMap;

use bytes::Bytes;
use rusqlite::params;

use super::{Store, StoreResult};

#[derive(Debug, Clone)]
pub struct StoredSession {
    pub client_id: String,
    /// Filter to `QoS`.
    pub subscriptions: BTreeMap<String, u8>,
    /// When an offline session ends, in seconds since 1970.
    pub expires: Option<i64>,
    pub waiting: Vec<(String, Bytes)>,
}

impl Store {
    pub fn sessions(&self) -> StoreResult<Vec<StoredSession>> {
        self.with(|db| {
            let mut messages = db.prepare(
                "select topic, payload from session_messages where client_id = ?1 order by position",
            )?;
            db.prepare("select client_id, subscriptions, expires from sessions")?
                .query_map([], |row| {
                    let client_id: String = row.get(0)?;
                    let subscriptions: String = row.get(1)?;
                    Ok(StoredSession {
                        waiting: messages
                            .query_map([&client_id], |row| {
                                Ok((row.get(0)?, Bytes::from(row.get::<_, Vec<u8>>(1)?)))
                            })?
                            .collect::<Result<_, _>>()?,
                        client_id,
                        subscriptions: serde_json::from_str(&subscriptions).unwrap_or_default(),
                        expires: row.get(2)?,
                    })
                })?
                .collect()
        })
    }

    pub fn put_session(
        &self,
        client_id: &str,
        subscriptions: &BTreeMap<String, u8>,
        expires: Option<i64>,
    ) -> StoreResult<()> {
        let subscriptions = serde_json::json!(subscriptions).to_string();
        self.with(|db| {
            db.execute(
                "insert or replace into sessions (client_id, subscriptions, expires) values (?1, ?2, ?3)",
                params![client_id, subscriptions, expires],
            )
        })?;
        Ok(())
    }

    pub fn queue_message(&self, client_id: &str, topic: &str, payload: &[u8]) -> StoreResult<()> {
        self.with(|db| {
            db.execute(
                "insert into session_messages (client_id, topic, payload) values (?1, ?2, ?3)",
                params![client_id, topic, payload],
            )
        })?;
        Ok(())
    }

    /// Replaces all that waits for `client_id`.
    pub fn set_queue(&self, client_id: &str, messages: &[(&str, &[u8])]) -> StoreResult<()> {
        self.transaction(|db| {
            db.execute("delete from session_messages where client_id = ?1", [client_id])?;
            for (topic, payload) in messages {
                db.execute(
                    "insert into session_messages (client_id, topic, payload) values (?1, ?2, ?3)",
                    params![client_id, topic, payload],
                )?;
            }
            Ok(())
        })
    }

    pub fn delete_session(&self, client_id: &str) -> StoreResult<()> {
        self.transaction(|db| {
            db.execute("delete from session_messages where client_id = ?1", [client_id])?;
            db.execute("delete from sessions where client_id = ?1", [client_id])
        })?;
        Ok(())
    }
}
