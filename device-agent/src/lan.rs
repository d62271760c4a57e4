//! Applies LAN settings so that no box is lost: journal, try, probe, commit or roll back, and a verdict
//! for every change. What it finds at its start it goes on with by the same code.
//!
//! [`applier`] drives the pure machine in [`state`]; this file is the port to the interface itself.

pub mod applier;
pub mod desire;
pub mod ending;
pub mod fake;
pub mod history;
pub mod journal;
pub mod network_manager;
pub mod pause;
pub mod probe;
pub mod report;
pub mod rescue;
pub mod service;
pub mod show;
pub mod state;
pub mod window;

use std::{io, time::Duration};

use device_model::{
    outcome::code,
    shadow::{Effective, TrialPhase},
};

use crate::lan::state::{Profile, Wish};

/// Why the interface did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// One of [`code`].
    pub code: String,
    pub detail: String,
}

/// The interface on the pharmacy's side, in the words of who changes it. Every call may be made twice.
pub trait LanInterface: Send + Sync + 'static {
    /// What worked before a change: what was down already is not the change's fault.
    type Baseline: Send + Sync;
    /// Told after a step is in the journal and before it acts.
    fn reached(&self, step: TrialPhase) -> impl Future<Output = ()> + Send;
    /// Changes with each boot: a trial of another boot is gone.
    fn boot_id(&self) -> String;
    /// What outlives a power cut. After a commit that is what was committed; else somebody on site has changed it.
    fn saved(&self) -> impl Future<Output = Result<Profile, Fault>> + Send;
    /// The address that it really has.
    fn effective(&self) -> impl Future<Output = Option<Effective>> + Send;
    /// Returns once the cloud is reachable: without it no trial can be judged.
    fn judgeable(&self) -> impl Future<Output = ()> + Send;
    /// What works now, before this is tried. A fault says that it cannot be tried as things are; nothing was
    /// touched then.
    fn baseline(&self, wish: &Wish) -> impl Future<Output = Result<Self::Baseline, Fault>> + Send;
    /// Puts settings on in such a way that a power cut takes them off again.
    fn try_on(&self, profile: &Profile) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Whether they work as well as what was there before.
    fn probe(
        &self,
        profile: &Profile,
        baseline: &Self::Baseline,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Makes them run and outlive a power cut, whatever runs now: after a power cut that is the old ones.
    fn commit(&self, profile: &Profile) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Puts the settings from before a trial back, whoever died meanwhile: also the first thing after a
    /// start that finds a trial.
    fn roll_back(&self, previous: &Profile) -> impl Future<Output = Result<(), Fault>> + Send;
    /// What a trial may take with its rollback: a window must leave as much.
    fn longest_trial(&self) -> Duration;
}

impl Fault {
    pub fn new(code: &str, detail: &str) -> Self {
        Self { code: code.to_owned(), detail: detail.to_owned() }
    }

    /// True if the same settings would fail again: they are not worth another trial.
    pub fn is_deterministic(&self) -> bool {
        code::is_deterministic(&self.code)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::new(code::APPLY_FAILED, &error.to_string())
    }
}

impl std::error::Error for Fault {}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}
