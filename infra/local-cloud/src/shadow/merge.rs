//! How an update goes into a shadow's state, and what differs afterwards. Pure functions on JSON.

use serde_json::{Map, Value, json};

/// One side of a shadow (desired or reported): its values, and when each was set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Section {
    pub state: Map<String, Value>,
    pub metadata: Map<String, Value>,
}

impl Section {
    /// Merges `patch`: objects key by key, `null` deletes, anything else (arrays too) replaces whole.
    /// Only what the patch touches gets the time `now`.
    pub fn merge(&mut self, patch: &Map<String, Value>, now: i64) {
        merge(&mut self.state, &mut self.metadata, patch, now);
    }

    pub fn is_empty(&self) -> bool {
        self.state.is_empty()
    }
}

/// The metadata of a patch by itself: each value's place holds its time, nulls are left out.
pub fn stamp(patch: &Map<String, Value>, now: i64) -> Map<String, Value> {
    patch
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.clone(), stamp_value(value, now)))
        .collect()
}

/// What `desired` holds that `reported` does not hold in the same way, with desired's metadata of just that.
pub fn delta(desired: &Section, reported: &Map<String, Value>) -> Section {
    let mut delta = Section::default();
    for (key, wanted) in &desired.state {
        let stamps = desired.metadata.get(key);
        match (wanted, reported.get(key)) {
            (wanted, Some(actual)) if same(wanted, actual) => {}
            (Value::Object(wanted), Some(Value::Object(actual))) => {
                let inner = Section {
                    state: wanted.clone(),
                    metadata: stamps.and_then(Value::as_object).cloned().unwrap_or_default(),
                };
                let inner = self::delta(&inner, actual);
                if !inner.is_empty() {
                    delta.state.insert(key.clone(), Value::Object(inner.state));
                    delta.metadata.insert(key.clone(), Value::Object(inner.metadata));
                }
            }
            (wanted, _) => {
                delta.state.insert(key.clone(), wanted.clone());
                if let Some(stamps) = stamps {
                    delta.metadata.insert(key.clone(), stamps.clone());
                }
            }
        }
    }
    delta
}

fn merge(
    state: &mut Map<String, Value>,
    metadata: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    now: i64,
) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                state.remove(key);
                metadata.remove(key);
            }
            Value::Object(inner) => {
                if let (Some(Value::Object(old)), Some(Value::Object(stamps))) =
                    (state.get_mut(key), metadata.get_mut(key))
                {
                    merge(old, stamps, inner, now);
                } else if let Some(fresh) = without_nulls(inner) {
                    metadata.insert(key.clone(), Value::Object(stamp(&fresh, now)));
                    state.insert(key.clone(), Value::Object(fresh));
                } else {
                    state.remove(key);
                    metadata.remove(key);
                }
            }
            other => {
                state.insert(key.clone(), other.clone());
                metadata.insert(key.clone(), stamp_value(other, now));
            }
        }
    }
}

/// A new object as it is stored: no nulls, and none at all if nothing but nulls was in it. One that came empty stays.
fn without_nulls(patch: &Map<String, Value>) -> Option<Map<String, Value>> {
    let kept: Map<String, Value> = patch
        .iter()
        .filter_map(|(key, value)| match value {
            Value::Null => None,
            Value::Object(inner) => Some((key.clone(), Value::Object(without_nulls(inner)?))),
            other => Some((key.clone(), other.clone())),
        })
        .collect();
    (patch.is_empty() || !kept.is_empty()).then_some(kept)
}

fn stamp_value(value: &Value, now: i64) -> Value {
    match value {
        Value::Object(inner) => Value::Object(stamp(inner, now)),
        Value::Array(items) => Value::Array(items.iter().map(|item| stamp_value(item, now)).collect()),
        _ => json!({ "timestamp": now }),
    }
}

/// Equal as values: `1` and `1.0` are the same number.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn merged(before: &Value, patch: &Value) -> Value {
        let mut section = Section::default();
        section.merge(&map(before), 1);
        section.merge(&map(patch), 2);
        Value::Object(section.state)
    }

    #[test]
    fn objects_merge_key_by_key_and_null_deletes() {
        let after = merged(
            &json!({"lan": {"address": "a", "gateway": "g"}, "x": 1}),
            &json!({"lan": {"address": "b", "gateway": null}, "x": null}),
        );

        assert_eq!(after, json!({"lan": {"address": "b"}}));
    }

    #[test]
    fn an_array_is_replaced_whole() {
        assert_eq!(merged(&json!({"dns": [1, 2, 3]}), &json!({"dns": [9]})), json!({"dns": [9]}));
    }

    #[test]
    fn an_object_takes_the_place_of_a_scalar_and_the_other_way_round() {
        assert_eq!(merged(&json!({"a": 1}), &json!({"a": {"b": 2}})), json!({"a": {"b": 2}}));
        assert_eq!(merged(&json!({"a": {"b": 2}}), &json!({"a": 1})), json!({"a": 1}));
    }

    #[test]
    fn nulls_in_a_new_object_are_never_stored() {
        assert_eq!(
            merged(&json!({}), &json!({"a": {"b": null}, "c": {"d": 1, "e": null}})),
            json!({"c": {"d": 1}})
        );
    }

    #[test]
    fn an_object_emptied_by_nulls_stays_an_empty_object() {
        assert_eq!(merged(&json!({"a": {"b": 1}}), &json!({"a": {"b": null}})), json!({"a": {}}));
    }

    #[test]
    fn only_what_the_patch_touched_gets_a_new_time() {
        let mut section = Section::default();
        section.merge(&map(&json!({"a": 1, "b": {"c": 1, "d": 1}})), 10);
        section.merge(&map(&json!({"b": {"d": 1}, "e": ["x", "y"]})), 20);

        assert_eq!(
            Value::Object(section.metadata),
            json!({
                "a": {"timestamp": 10}, "b": {"c": {"timestamp": 10}, "d": {"timestamp": 20}},
                "e": [{"timestamp": 20}, {"timestamp": 20}]
            })
        );
    }

    #[test]
    fn the_delta_is_what_is_wanted_and_not_reported() {
        let mut desired = Section::default();
        desired.merge(&map(&json!({"a": 1, "b": {"c": 1, "d": [1, 2]}, "e": 1.0})), 5);

        let delta = delta(&desired, &map(&json!({"a": 2, "b": {"c": 1, "d": [1]}, "e": 1, "f": 0})));

        assert_eq!(Value::Object(delta.state), json!({"a": 1, "b": {"d": [1, 2]}}));
        assert_eq!(
            Value::Object(delta.metadata),
            json!({"a": {"timestamp": 5}, "b": {"d": [{"timestamp": 5}, {"timestamp": 5}]}})
        );
    }

    /// Small trees over few keys, so that patches meet what is there.
    fn random_object(random: &mut StdRng, depth: usize) -> Map<String, Value> {
        let keys = ["a", "b", "c"];
        let count = random.random_range(0..=keys.len());
        keys.iter().take(count).map(|key| ((*key).to_owned(), random_value(random, depth))).collect()
    }

    fn random_value(random: &mut StdRng, depth: usize) -> Value {
        match random.random_range(0..7) {
            0 => Value::Null,
            1 => json!(random.random_range(0..3)),
            2 => json!("text"),
            3 => json!([1, {"x": random.random_range(0..2)}]),
            _ if depth == 0 => json!(true),
            _ => Value::Object(random_object(random, depth - 1)),
        }
    }

    /// JSON Merge Patch (RFC 7386), written from its pseudo code: the same merge but for empty objects.
    fn model(target: Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut target = if let Value::Object(target) = target { target } else { Map::new() };
        for (key, value) in patch {
            let old = target.remove(key).unwrap_or(Value::Null);
            if !value.is_null() {
                target.insert(key.clone(), model(old, value));
            }
        }
        Value::Object(target)
    }

    fn without_empty(value: Value) -> Value {
        let Value::Object(map) = value else { return value };
        let kept = map.into_iter().map(|(key, value)| (key, without_empty(value)));
        Value::Object(kept.filter(|(_, value)| *value != json!({})).collect())
    }

    /// Metadata has the state's shape, with a time in the place of each value.
    fn stamped(state: &Value, metadata: &Value) -> bool {
        match (state, metadata) {
            (Value::Object(state), Value::Object(metadata)) => {
                state.len() == metadata.len()
                    && state
                        .iter()
                        .all(|(key, value)| metadata.get(key).is_some_and(|time| stamped(value, time)))
            }
            (Value::Array(state), Value::Array(metadata)) => {
                state.len() == metadata.len()
                    && state.iter().zip(metadata).all(|(value, time)| stamped(value, time))
            }
            (Value::Object(_) | Value::Array(_) | Value::Null, _) => false,
            (_, time) => time["timestamp"].is_i64(),
        }
    }

    /// Every value that is no object, with the way to it; an array is one value.
    fn leaves(value: &Value, way: &str) -> Vec<(String, Value)> {
        match value {
            Value::Object(map) => {
                map.iter().flat_map(|(key, value)| leaves(value, &format!("{way}/{key}"))).collect()
            }
            value => vec![(way.to_owned(), value.clone())],
        }
    }

    /// All times at or below a place of the metadata.
    fn times(metadata: &Value) -> Vec<i64> {
        match metadata {
            Value::Object(map) if map.contains_key("timestamp") => vec![map["timestamp"].as_i64().unwrap()],
            Value::Object(map) => map.values().flat_map(times).collect(),
            Value::Array(items) => items.iter().flat_map(times).collect(),
            other => panic!("no metadata: {other}"),
        }
    }

    #[test]
    fn any_run_of_updates_ends_as_merge_patch_says_and_each_value_has_the_time_it_was_last_sent() {
        let mut random = StdRng::seed_from_u64(7386);
        for _ in 0..500 {
            let (mut section, mut expected) = (Section::default(), json!({}));
            let mut sent = HashMap::new();
            for now in 1..6 {
                let patch = Value::Object(random_object(&mut random, 3));
                section.merge(patch.as_object().unwrap(), now);
                sent.extend(leaves(&patch, "").into_iter().map(|(way, _)| (way, now)));
                expected = model(expected, &patch);
            }
            let (state, metadata) = (Value::Object(section.state), Value::Object(section.metadata));
            assert_eq!(without_empty(state.clone()), without_empty(expected));
            assert!(stamped(&state, &metadata), "{state} {metadata}");
            for (way, _) in leaves(&state, "") {
                let found = times(metadata.pointer(&way).unwrap());
                assert!(found.iter().all(|time| *time == sent[&way]), "{way} of {state} at {metadata}");
            }
        }
    }

    #[test]
    fn the_delta_of_any_two_sides_holds_each_wanted_value_that_is_not_reported_and_no_other() {
        let mut random = StdRng::seed_from_u64(4);
        for _ in 0..2000 {
            let (mut desired, mut reported) = (Section::default(), Section::default());
            desired.merge(&random_object(&mut random, 3), 1);
            reported.merge(&random_object(&mut random, 3), 2);
            let actual = Value::Object(reported.state.clone());

            let mut expected = leaves(&Value::Object(desired.state.clone()), "");
            expected.retain(|(way, wanted)| actual.pointer(way) != Some(wanted));

            let found = delta(&desired, &reported.state);
            assert_eq!(leaves(&Value::Object(found.state.clone()), ""), expected, "{desired:?} {actual}");
            assert!(times(&Value::Object(found.metadata)).iter().all(|time| *time == 1));
        }
    }

    #[test]
    fn reporting_the_delta_leaves_no_delta() {
        let mut random = StdRng::seed_from_u64(2);
        for _ in 0..500 {
            let (mut desired, mut reported) = (Section::default(), Section::default());
            desired.merge(&random_object(&mut random, 3), 1);
            reported.merge(&random_object(&mut random, 3), 1);
            let wanted = delta(&desired, &reported.state);
            assert!(stamped(&Value::Object(wanted.state.clone()), &Value::Object(wanted.metadata.clone())));
            reported.merge(&wanted.state, 2);
            assert_eq!(delta(&desired, &reported.state).state, Map::new(), "{desired:?} {reported:?}");
        }
    }
}
