//! The shadow of a box as AWS IoT keeps it, behind a line that loses, repeats and reorders.

use std::collections::VecDeque;

use device_agent::shadow::{
    exchange::{Action, Exchange},
    topics::Answer,
};
use rand::{Rng, rngs::StdRng};
use serde_json::{Map, Value, json};

#[derive(Default)]
pub struct Shadow {
    version: u64,
    desired: Value,
    pub reported: Value,
    exchange: Exchange,
    /// On their way to the box.
    answers: VecDeque<(Answer, Vec<u8>)>,
    is_up: bool,
}

impl Shadow {
    /// The box is connected anew, as after its start; what was on its way is gone.
    #[must_use]
    pub fn connect(&mut self, afresh: bool) -> Vec<Value> {
        if afresh {
            self.exchange = Exchange::default();
        }
        self.answers.clear();
        self.is_up = true;
        let actions = self.exchange.connected();
        self.act(actions)
    }

    pub fn disconnect(&mut self) {
        self.answers.clear();
        self.is_up = false;
    }

    pub fn want(&mut self, desired: Value) {
        self.version += 1;
        self.desired = desired;
        self.tell_difference();
    }

    /// The box wants this to be shown.
    #[must_use]
    pub fn report(&mut self, report: Value) -> Vec<Value> {
        let actions = self.exchange.report(report);
        if self.is_up { self.act(actions) } else { Vec::new() }
    }

    pub fn is_quiet(&self) -> bool {
        self.answers.is_empty()
    }

    /// One of the messages on their way arrives, mostly the first one; now and then it comes again. Answers
    /// with what the box hears to be desired.
    #[must_use]
    pub fn deliver(&mut self, random: &mut StdRng) -> Vec<Value> {
        if self.answers.is_empty() {
            return Vec::new();
        }
        let place = if random.random_bool(0.8) { 0 } else { random.random_range(0..self.answers.len()) };
        let (answer, payload) = self.answers.remove(place).unwrap();
        if random.random_bool(0.1) {
            let again = random.random_range(0..=self.answers.len());
            self.answers.insert(again, (answer, payload.clone()));
        }
        let actions = self.exchange.heard(answer, &payload);
        self.act(actions)
    }

    fn act(&mut self, actions: Vec<Action>) -> Vec<Value> {
        let mut heard = Vec::new();
        for action in actions {
            match action {
                Action::Get => {
                    let state = json!({"desired": self.desired, "reported": self.reported});
                    let (answer, document) = match self.version {
                        0 => (Answer::GetRejected, json!({"code": 404})),
                        version => (Answer::GetAccepted, json!({"version": version, "state": state})),
                    };
                    self.answer(answer, &document);
                }
                Action::Update(body) => {
                    if !self.reported.is_object() {
                        self.reported = Value::Object(Map::new());
                    }
                    merge(&mut self.reported, &body["state"]["reported"]);
                    self.version += 1;
                    let document = json!({"version": self.version, "clientToken": body["clientToken"]});
                    self.answer(Answer::UpdateAccepted, &document);
                    self.tell_difference();
                }
                Action::Desired(desired) => heard.push(desired),
                Action::CloudTime(_) => {}
                Action::Reconnect(why) => panic!("{why}"),
            }
        }
        heard
    }

    fn tell_difference(&mut self) {
        if self.is_up && self.desired.is_object() {
            let state = json!({"changeId": self.desired["changeId"]});
            self.answer(Answer::Delta, &json!({"version": self.version, "state": state}));
        }
    }

    fn answer(&mut self, answer: Answer, document: &Value) {
        self.answers.push_back((answer, document.to_string().into_bytes()));
    }
}

/// RFC 7386, as the shadow service merges.
fn merge(into: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let object = into.as_object_mut().unwrap();
    for (key, value) in fields {
        if value.is_null() {
            object.remove(key);
        } else {
            merge(object.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
