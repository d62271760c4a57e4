//! The talk with one shadow, without the line it goes over: what to ask, what to tell, what to believe.
//!
//! Deltas get lost and answers race, so a delta only causes a `get`, and of two documents the one with
//! the higher version counts.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use device_model::shadow::merge_patch;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::shadow::topics::Answer;

/// Reports that are not sent yet; beyond this the older ones are skipped, the newest never is.
const OUTBOX: usize = 16;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Get,
    /// Publish this to `update`.
    Update(Value),
    /// The whole desired state, for whoever acts on it.
    Desired(Value),
    /// The cloud's time, just heard.
    CloudTime(DateTime<Utc>),
    /// The talk does not get on; start it anew after a while.
    Reconnect(String),
}

#[derive(Debug, Default)]
pub struct Exchange {
    /// The highest version heard on this connection.
    version: u64,
    /// What the shadow's reported side shows, once it is known.
    shown: Option<Value>,
    /// What was sent and not answered.
    in_flight: Option<(String, Value)>,
    asking: bool,
    /// Since when an answer is owed.
    asked_at: Option<Instant>,
    outbox: VecDeque<Value>,
    desired_change: Option<Value>,
    sent: u64,
}

impl Exchange {
    /// A new connection: all that was believed is asked anew. Of the unsent reports only the newest
    /// still matters.
    pub fn connected(&mut self) -> Vec<Action> {
        let newest = self
            .outbox
            .pop_back()
            .or_else(|| self.in_flight.take().map(|(_, wanted)| wanted))
            .or_else(|| self.shown.take());
        *self = Self { outbox: newest.into_iter().collect(), sent: self.sent, ..Self::default() };
        vec![self.ask()]
    }

    /// The reported side shall show this. Each such wish is sent on its own while the line is up.
    pub fn report(&mut self, wanted: Value) -> Vec<Action> {
        if self.outbox.back() == Some(&wanted) {
            return Vec::new();
        }
        if self.outbox.len() == OUTBOX {
            self.outbox.pop_front();
        }
        self.outbox.push_back(wanted);
        self.send_next().into_iter().collect()
    }

    /// Since when the shadow owes an answer, if it does.
    pub fn waits_since(&self) -> Option<Instant> {
        self.asked_at.filter(|_| self.asking || self.in_flight.is_some())
    }

    pub fn heard(&mut self, answer: Answer, payload: &[u8]) -> Vec<Action> {
        let Ok(document) = serde_json::from_slice::<Value>(payload) else {
            return vec![Action::Reconnect("the shadow's answer is not JSON".to_owned())];
        };
        match answer {
            Answer::GetAccepted => self.whole(&document),
            Answer::GetRejected => self.not_there(&document),
            Answer::UpdateAccepted => self.taken(&document),
            Answer::UpdateRejected => self.not_taken(&document),
            Answer::Delta => self.differs(&document),
        }
    }

    fn whole(&mut self, document: &Value) -> Vec<Action> {
        let asked = std::mem::take(&mut self.asking);
        if !self.is_newest(document) {
            // Something newer was heard of while this was on its way.
            return if asked { vec![self.ask()] } else { Vec::new() };
        }
        let state = &document["state"];
        let mut actions = Vec::new();
        if let Some(now) = document["timestamp"].as_i64().and_then(|at| DateTime::from_timestamp(at, 0)) {
            actions.push(Action::CloudTime(now));
        }
        self.shown = Some(object_or_empty(&state["reported"]));
        if state["desired"].is_object() {
            self.desired_change = Some(state["desired"]["changeId"].clone());
            actions.push(Action::Desired(state["desired"].clone()));
        }
        actions.extend(self.send_next());
        actions
    }

    fn not_there(&mut self, document: &Value) -> Vec<Action> {
        self.asking = false;
        if document["code"] != 404 {
            return vec![Action::Reconnect(format!("the shadow cannot be read: {}", document["code"]))];
        }
        self.shown = Some(json!({}));
        self.send_next().into_iter().collect()
    }

    fn taken(&mut self, document: &Value) -> Vec<Action> {
        self.is_newest(document);
        let ours = self.in_flight.take_if(|(token, _)| document["clientToken"] == *token);
        let Some((_, wanted)) = ours else {
            return Vec::new();
        };
        self.shown = Some(wanted);
        self.send_next().into_iter().collect()
    }

    fn not_taken(&mut self, document: &Value) -> Vec<Action> {
        match self.in_flight.take_if(|(token, _)| document["clientToken"] == *token) {
            Some((_, wanted)) => {
                self.outbox.push_front(wanted);
                vec![Action::Reconnect(format!("a report was not taken: {}", document["code"]))]
            }
            None => Vec::new(),
        }
    }

    fn differs(&mut self, document: &Value) -> Vec<Action> {
        // Each report of ours is answered by a delta too, as long as the two sides differ at all.
        let known = self.desired_change.as_ref() == Some(&document["state"]["changeId"]);
        if !self.is_newest(document) || known || self.asking {
            return Vec::new();
        }
        vec![self.ask()]
    }

    fn ask(&mut self) -> Action {
        self.asking = true;
        self.asked_at = Some(Instant::now());
        Action::Get
    }

    fn is_newest(&mut self, document: &Value) -> bool {
        let version = document["version"].as_u64().unwrap_or(0);
        let newest = version >= self.version;
        self.version = self.version.max(version);
        newest
    }

    fn send_next(&mut self) -> Option<Action> {
        let shown = self.shown.as_ref()?;
        if self.in_flight.is_some() {
            return None;
        }
        let wanted = loop {
            let wanted = self.outbox.pop_front()?;
            if wanted != *shown {
                break wanted;
            }
        };
        let patch = merge_patch(shown, &wanted);
        self.sent += 1;
        let token = format!("r{}", self.sent);
        self.in_flight = Some((token.clone(), wanted));
        self.asked_at = Some(Instant::now());
        Some(Action::Update(json!({"state": {"reported": patch}, "clientToken": token})))
    }
}

fn object_or_empty(value: &Value) -> Value {
    if value.is_object() { value.clone() } else { json!({}) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(exchange: &mut Exchange, answer: Answer, document: &Value) -> Vec<Action> {
        exchange.heard(answer, document.to_string().as_bytes())
    }

    fn updates(actions: &[Action]) -> Vec<Value> {
        let update = |action: &Action| match action {
            Action::Update(body) => Some(body.clone()),
            _ => None,
        };
        actions.iter().filter_map(update).collect()
    }

    #[test]
    fn a_report_waits_until_it_is_known_what_the_shadow_shows_and_nulls_the_rest() {
        let mut exchange = Exchange::default();
        exchange.connected();
        assert_eq!(exchange.report(json!({"lan": {"mode": "dhcp"}})), []);

        let actions = heard(
            &mut exchange,
            Answer::GetAccepted,
            &json!({"version": 3, "state": {"reported": {"lan": {"mode": "static", "address": "a"}, "trial": {"phase": "trying"}}}}),
        );

        assert_eq!(
            updates(&actions)[0]["state"],
            json!({"reported": {"lan": {"mode": "dhcp", "address": null}, "trial": null}})
        );
    }

    #[test]
    fn one_report_is_under_way_at_a_time_and_each_step_is_told() {
        let mut exchange = Exchange::default();
        exchange.connected();
        heard(&mut exchange, Answer::GetRejected, &json!({"code": 404}));
        let first = updates(&exchange.report(json!({"n": 1})));
        assert_eq!(exchange.report(json!({"n": 2})), []);
        assert_eq!(exchange.report(json!({"n": 3})), []);

        let token = first[0]["clientToken"].clone();
        let second =
            heard(&mut exchange, Answer::UpdateAccepted, &json!({"clientToken": token, "version": 1}));
        let token = updates(&second)[0]["clientToken"].clone();
        let third =
            heard(&mut exchange, Answer::UpdateAccepted, &json!({"clientToken": token, "version": 2}));

        assert_eq!(updates(&second)[0]["state"]["reported"], json!({"n": 2}));
        assert_eq!(updates(&third)[0]["state"]["reported"], json!({"n": 3}));
    }

    #[test]
    fn after_a_lost_acknowledgement_the_newest_report_is_sent_again_if_the_shadow_lacks_it() {
        let mut exchange = Exchange::default();
        exchange.connected();
        heard(&mut exchange, Answer::GetRejected, &json!({"code": 404}));
        exchange.report(json!({"n": 1}));

        exchange.connected();
        let lost = heard(&mut exchange, Answer::GetRejected, &json!({"code": 404}));
        exchange.connected();
        let there = heard(
            &mut exchange,
            Answer::GetAccepted,
            &json!({"version": 1, "state": {"reported": {"n": 1}}}),
        );

        assert_eq!(updates(&lost)[0]["state"]["reported"], json!({"n": 1}));
        assert_eq!(updates(&there), Vec::<Value>::new());
    }

    #[test]
    fn an_older_document_is_ignored_and_a_delta_only_causes_a_get() {
        let mut exchange = Exchange::default();
        exchange.connected();
        let get = |version: u64, change: &str| json!({"version": version, "state": {"desired": {"changeId": change}}, "timestamp": 1_700_000_000});
        let first = heard(&mut exchange, Answer::GetAccepted, &get(5, "b"));
        let older = heard(&mut exchange, Answer::GetAccepted, &get(4, "a"));
        let same = heard(&mut exchange, Answer::Delta, &json!({"version": 5, "state": {"changeId": "b"}}));
        let newer = heard(&mut exchange, Answer::Delta, &json!({"version": 6, "state": {"changeId": "c"}}));
        let twice = heard(&mut exchange, Answer::Delta, &json!({"version": 7, "state": {"changeId": "d"}}));

        assert!(first.contains(&Action::Desired(json!({"changeId": "b"}))));
        assert_eq!((older, same, twice), (vec![], vec![], vec![]));
        assert_eq!(newer, [Action::Get]);
    }

    #[test]
    fn an_answer_that_a_newer_delta_overtook_is_asked_for_again() {
        let mut exchange = Exchange::default();
        exchange.connected();
        let get = |version: u64, change: &str| json!({"version": version, "state": {"desired": {"changeId": change}}});
        heard(&mut exchange, Answer::Delta, &json!({"version": 7, "state": {"changeId": "c"}}));

        let overtaken = heard(&mut exchange, Answer::GetAccepted, &get(6, "b"));
        let fresh = heard(&mut exchange, Answer::GetAccepted, &get(7, "c"));

        assert_eq!(overtaken, [Action::Get]);
        assert_eq!(fresh, [Action::Desired(json!({"changeId": "c"}))]);
    }
}
