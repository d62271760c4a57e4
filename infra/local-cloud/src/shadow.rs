//! The Device Shadow service: one state behind both doors, MQTT and HTTP.
//!
//! Every operation answers what is to be published besides, so that whoever calls it need not know the topics.

pub mod merge;
pub mod request;
pub mod topics;

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::state::{Store, shadows::StoredShadow};
use merge::{Section, delta, stamp};
use request::{Change, ShadowError, Update};

/// The largest document: desired and reported, without metadata.
const MAX_BYTES: usize = 8 * 1024;
/// How long a deleted shadow's version is remembered.
const VERSION_KEPT_SECONDS: i64 = 48 * 3600;

/// What an update did: the answer, and what is published on `delta` and `documents`.
#[derive(Debug, Clone, PartialEq)]
pub struct Updated {
    pub accepted: Value,
    pub delta: Option<Value>,
    pub documents: Value,
}

/// The shadows of all things. Clones share them.
#[derive(Clone)]
pub struct Shadows {
    store: Store,
    /// Reading, merging and writing a document is one step.
    writing: Arc<Mutex<()>>,
}

#[derive(Debug, Clone, Default)]
struct Document {
    desired: Section,
    reported: Section,
    version: i64,
    exists: bool,
}

impl Shadows {
    pub fn new(store: Store) -> Self {
        Self { store, writing: Arc::default() }
    }

    /// The whole document; `now` is in seconds since 1970.
    pub fn get(&self, thing: &str, name: &str, now: i64) -> Result<Value, ShadowError> {
        let document = self.load(thing, name, now)?;
        if !document.exists {
            return Err(ShadowError::no_shadow(thing, name));
        }
        let mut state = document.state();
        let delta = delta(&document.desired, &document.reported.state);
        if !delta.is_empty() {
            state.insert("delta".to_owned(), Value::Object(delta.state));
        }
        Ok(json!({
            "state": state, "metadata": document.metadata(), "version": document.version, "timestamp": now
        }))
    }

    pub fn update(&self, thing: &str, name: &str, update: &Update, now: i64) -> Result<Updated, ShadowError> {
        let _one_at_a_time = self.writing.lock();
        let before = self.load(thing, name, now)?;
        if update.version.is_some_and(|version| version != before.version) {
            return Err(ShadowError::version_conflict());
        }
        let mut after = before.clone();
        after.exists = true;
        after.version += 1;
        apply(&mut after.desired, update.desired.as_ref(), now);
        apply(&mut after.reported, update.reported.as_ref(), now);
        let state = Value::Object(after.state()).to_string();
        if state.len() > MAX_BYTES {
            return Err(ShadowError::too_large());
        }
        self.save(thing, name, &after, state, now)?;
        Ok(updated(&before, &after, update, now))
    }

    /// Deletes the document; its version goes on for two days.
    pub fn delete(&self, thing: &str, name: &str, now: i64) -> Result<Value, ShadowError> {
        let _one_at_a_time = self.writing.lock();
        let before = self.load(thing, name, now)?;
        if !before.exists {
            return Err(ShadowError::no_shadow(thing, name));
        }
        let gone = Document { version: before.version, ..Document::default() };
        self.save(thing, name, &gone, "{}".to_owned(), now)?;
        Ok(json!({ "version": before.version, "timestamp": now }))
    }

    pub fn names(&self, thing: &str, after: &str, limit: usize) -> Result<Vec<String>, ShadowError> {
        self.store.shadow_names(thing, after, limit).map_err(|_| ShadowError::internal())
    }

    fn load(&self, thing: &str, name: &str, now: i64) -> Result<Document, ShadowError> {
        let stored = self.store.shadow(thing, name).map_err(|_| ShadowError::internal())?;
        let forgotten = |it: &StoredShadow| it.deleted && now - it.updated > VERSION_KEPT_SECONDS;
        let Some(stored) = stored.filter(|it| !forgotten(it)) else { return Ok(Document::default()) };
        let sides = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
        let (mut state, mut metadata) = (sides(&stored.state), sides(&stored.metadata));
        let mut section =
            |side: &str| Section { state: take(&mut state, side), metadata: take(&mut metadata, side) };
        Ok(Document {
            desired: section("desired"),
            reported: section("reported"),
            version: stored.version,
            exists: !stored.deleted,
        })
    }

    fn save(
        &self,
        thing: &str,
        name: &str,
        document: &Document,
        state: String,
        now: i64,
    ) -> Result<(), ShadowError> {
        let stored = StoredShadow {
            state,
            metadata: Value::Object(document.metadata()).to_string(),
            version: document.version,
            deleted: !document.exists,
            updated: now,
        };
        self.store.put_shadow(thing, name, &stored).map_err(|error| {
            tracing::error!(error = %error, "a shadow could not be written");
            ShadowError::internal()
        })
    }
}

impl Document {
    fn sides(&self, pick: impl Fn(&Section) -> Map<String, Value>) -> Map<String, Value> {
        [("desired", &self.desired), ("reported", &self.reported)]
            .into_iter()
            .filter(|(_, section)| !section.is_empty())
            .map(|(side, section)| (side.to_owned(), Value::Object(pick(section))))
            .collect()
    }

    fn state(&self) -> Map<String, Value> {
        self.sides(|section| section.state.clone())
    }

    fn metadata(&self) -> Map<String, Value> {
        self.sides(|section| section.metadata.clone())
    }

    fn snapshot(&self) -> Value {
        json!({ "state": self.state(), "metadata": self.metadata(), "version": self.version })
    }
}

fn apply(section: &mut Section, change: Option<&Change>, now: i64) {
    match change {
        None => {}
        Some(Change::Clear) => *section = Section::default(),
        Some(Change::Merge(patch)) => section.merge(patch, now),
    }
}

fn updated(before: &Document, after: &Document, update: &Update, now: i64) -> Updated {
    let stamps: Map<String, Value> = [("desired", &update.desired), ("reported", &update.reported)]
        .into_iter()
        .filter_map(|(side, change)| match change {
            Some(Change::Merge(patch)) => Some((side.to_owned(), Value::Object(stamp(patch, now)))),
            _ => None,
        })
        .collect();
    let delta = delta(&after.desired, &after.reported.state);
    let previous = if before.exists { before.snapshot() } else { Value::Null };
    let with_token = |mut message: Value| {
        if let Some(token) = &update.client_token {
            message["clientToken"] = json!(token);
        }
        message
    };
    Updated {
        accepted: with_token(json!({
            "state": update.state, "metadata": stamps, "version": after.version, "timestamp": now
        })),
        delta: (!delta.is_empty()).then(|| {
            with_token(json!({
                "version": after.version, "timestamp": now, "state": delta.state, "metadata": delta.metadata
            }))
        }),
        documents: with_token(json!({
            "previous": previous, "current": after.snapshot(), "timestamp": now
        })),
    }
}

fn take(sides: &mut Map<String, Value>, side: &str) -> Map<String, Value> {
    match sides.remove(side) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use request::parse_update;

    fn shadows() -> Shadows {
        Shadows::new(Store::in_memory().unwrap())
    }

    fn update(shadows: &Shadows, body: &Value, now: i64) -> Result<Updated, ShadowError> {
        shadows.update("t", "lan", &parse_update(body.to_string().as_bytes()).unwrap(), now)
    }

    #[test]
    fn an_update_answers_with_what_was_asked_and_tells_before_and_after() {
        let shadows = shadows();
        update(&shadows, &json!({"state": {"reported": {"a": 1}}}), 10).unwrap();

        let updated =
            update(&shadows, &json!({"state": {"desired": {"a": 2, "b": null}}, "clientToken": "t"}), 20)
                .unwrap();

        assert_eq!(
            updated.accepted,
            json!({"state": {"desired": {"a": 2, "b": null}}, "metadata": {"desired": {"a": {"timestamp": 20}}},
                   "version": 2, "timestamp": 20, "clientToken": "t"})
        );
        assert_eq!(
            updated.delta,
            Some(
                json!({"version": 2, "timestamp": 20, "state": {"a": 2}, "metadata": {"a": {"timestamp": 20}},
                        "clientToken": "t"})
            )
        );
        assert_eq!(
            updated.documents,
            json!({
                "previous": {"state": {"reported": {"a": 1}}, "metadata": {"reported": {"a": {"timestamp": 10}}}, "version": 1},
                "current": {"state": {"desired": {"a": 2}, "reported": {"a": 1}},
                            "metadata": {"desired": {"a": {"timestamp": 20}}, "reported": {"a": {"timestamp": 10}}},
                            "version": 2},
                "timestamp": 20, "clientToken": "t"
            })
        );
    }

    #[test]
    fn versions_go_on_after_a_delete_and_a_stale_one_conflicts() {
        let shadows = shadows();
        update(&shadows, &json!({"state": {"desired": {"a": 1}}}), 1).unwrap();
        let stale = update(&shadows, &json!({"state": {"desired": {"a": 2}}, "version": 7}), 1).unwrap_err();
        assert_eq!((stale.code, stale.message.as_str()), (409, "Version conflict"));

        shadows.delete("t", "lan", 2).unwrap();
        assert_eq!(shadows.get("t", "lan", 3).unwrap_err().message, "No shadow exists with name: 'lan'");
        assert_eq!(shadows.delete("t", "lan", 2).unwrap_err().code, 404);

        let again = update(&shadows, &json!({"state": {"desired": {"b": 1}}}), 4).unwrap();
        assert_eq!(again.accepted["version"], 2);
        assert_eq!(again.documents["previous"], Value::Null);
        assert_eq!(shadows.get("t", "lan", 5).unwrap()["state"]["desired"], json!({"b": 1}));
    }

    #[test]
    fn a_deleted_shadow_s_version_is_remembered_for_two_days_and_no_longer() {
        for (later, version) in [(VERSION_KEPT_SECONDS, 3), (VERSION_KEPT_SECONDS + 1, 1)] {
            let shadows = shadows();
            update(&shadows, &json!({"state": {"desired": {"a": 1}}}), 1).unwrap();
            update(&shadows, &json!({"state": {"desired": {"a": 2}}}), 1).unwrap();
            shadows.delete("t", "lan", 10).unwrap();

            let again = update(&shadows, &json!({"state": {"desired": {"a": 3}}}), 10 + later).unwrap();

            assert_eq!(again.accepted["version"], version);
        }
    }

    #[test]
    fn eight_kilobytes_of_desired_and_reported_are_the_most_and_a_refused_update_changes_nothing() {
        let frame = r#"{"desired":{"a":""},"reported":{"b":""}}"#.len();
        let shadows = shadows();
        let desired = "x".repeat(4000);
        update(&shadows, &json!({"state": {"desired": {"a": desired}}}), 1).unwrap();
        let reported = |length: usize| json!({"state": {"reported": {"b": "y".repeat(length)}}});
        let most = 8192 - frame - desired.len();

        let refused = update(&shadows, &reported(most + 1), 2).unwrap_err();

        assert_eq!(
            (refused.code, refused.message.as_str()),
            (413, "The payload exceeds the maximum size allowed")
        );
        assert_eq!(shadows.get("t", "lan", 3).unwrap()["version"], 1);
        assert_eq!(update(&shadows, &reported(most), 4).unwrap().accepted["version"], 2);
    }

    #[test]
    fn clearing_a_side_takes_it_out_of_the_document() {
        let shadows = shadows();
        update(&shadows, &json!({"state": {"desired": {"a": 1}, "reported": {"a": 1}}}), 1).unwrap();
        update(&shadows, &json!({"state": {"desired": null}}), 2).unwrap();

        assert_eq!(shadows.get("t", "lan", 3).unwrap()["state"], json!({"reported": {"a": 1}}));

        update(&shadows, &json!({"state": {"desired": {"a": 1}}}), 4).unwrap();
        let cleared = update(&shadows, &json!({ "state": null }), 5).unwrap();
        assert_eq!(cleared.accepted, json!({"state": null, "metadata": {}, "version": 4, "timestamp": 5}));
        assert_eq!(shadows.get("t", "lan", 6).unwrap()["state"], json!({}));
    }
}
