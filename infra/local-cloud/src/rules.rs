//! The rules engine: which messages a rule takes, and what is done with them. Actions run in the background.

pub mod action;
pub mod destinations;
pub mod put_object;
pub mod sql;
pub mod worker;

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::mqtt::topic;
use crate::state::rules::StoredRule;
use crate::state::{Store, StoreResult};
use action::Action;
use sql::{Sql, SqlError};

/// What waits for the worker. AWS, too, leaves out what exceeds an account's rate.
const MOST_WAITING: usize = 10_000;

/// A message as the rules see it.
#[derive(Debug, Clone)]
pub struct Message {
    pub topic: Arc<str>,
    pub payload: Bytes,
    pub client_id: Option<Arc<str>>,
    /// A certificate id or an access key id.
    pub principal: Arc<str>,
    pub at: DateTime<Utc>,
}

/// A rule that is in force.
#[derive(Debug)]
pub struct Rule {
    pub name: String,
    pub sql: Sql,
    pub actions: Vec<Action>,
    pub error_action: Option<Action>,
}

/// Something for the worker.
#[derive(Debug)]
pub enum Job {
    Run(Arc<Rule>, Message),
    /// Ask the owner of a destination's URL for its confirmation.
    Confirm(String),
}

/// Clones share the rules.
#[derive(Clone)]
pub struct Rules {
    store: Store,
    in_force: Arc<RwLock<Vec<Arc<Rule>>>>,
    jobs: mpsc::Sender<Job>,
}

impl Rules {
    /// The rules in the store, and the jobs that `worker::run` is to do.
    pub fn open(store: Store) -> StoreResult<(Self, mpsc::Receiver<Job>)> {
        let (jobs, receiver) = mpsc::channel(MOST_WAITING);
        let rules = Self { store, in_force: Arc::default(), jobs };
        rules.reload()?;
        Ok((rules, receiver))
    }

    /// Takes up what the store holds now.
    pub fn reload(&self) -> StoreResult<()> {
        let in_force = self.store.rules()?.into_iter().filter(|rule| !rule.disabled).filter_map(|stored| {
            compile(&stored)
                .inspect_err(
                    |error| tracing::error!(rule = stored.name, error = %error, "a rule is not understood"),
                )
                .ok()
        });
        *self.in_force.write() = in_force.map(Arc::new).collect();
        Ok(())
    }

    /// Hands a message to every rule that takes it.
    pub fn offer(&self, message: &Message) {
        let rules = self.in_force.read();
        for rule in rules.iter().filter(|rule| topic::matches(&rule.sql.from, &message.topic)) {
            self.push(Job::Run(Arc::clone(rule), message.clone()));
        }
    }

    /// Basic ingest: `rest` is `{rule}/{topic}` and only that rule has the message.
    pub fn ingest(&self, rest: &str, mut message: Message) {
        let (name, inner) = rest.split_once('/').unwrap_or((rest, ""));
        message.topic = inner.into();
        if let Some(rule) = self.in_force.read().iter().find(|rule| rule.name == name) {
            self.push(Job::Run(Arc::clone(rule), message));
        }
    }

    fn push(&self, job: Job) {
        // The worker is gone only while the process ends.
        if let Err(TrySendError::Full(_)) = self.jobs.try_send(job) {
            tracing::warn!("too much waits for the rules: this is left out");
        }
    }
}

/// A stored rule as it runs.
pub fn compile(stored: &StoredRule) -> Result<Rule, SqlError> {
    let payload: Value = serde_json::from_str(&stored.payload)
        .map_err(|_| SqlError("the rule's payload is no JSON".to_owned()))?;
    let actions = payload["actions"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(Rule {
        name: stored.name.clone(),
        sql: Sql::parse(&stored.sql)?,
        actions: actions.iter().map(Action::read).collect(),
        error_action: payload.get("errorAction").filter(|it| it.is_object()).map(Action::read),
    })
}
