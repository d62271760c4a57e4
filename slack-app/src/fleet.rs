//! What the Slack app needs from the fleet: one small trait a need, in the words of an operator.
//!
//! The fleet API implements them over Postgres; the tests here use a fake.

use std::{fmt, future::Future, time::Duration};

use chrono::{DateTime, Utc};
use device_model::{
    change::ChangeState,
    change_id::ChangeId,
    fault::Faults,
    lan::{LanDraft, LanSettings},
    outcome::Clock,
    shadow::{Effective, ProbePolicy},
    share::ShareSettings,
    thing_name::ThingName,
};
use serde::{Deserialize, Serialize};

/// Everything that answering Slack takes.
pub trait Ports: Fleet + Jobs + Directory {}

impl<T: Fleet + Jobs + Directory> Ports for T {}

/// Boxes and their changes.
pub trait Fleet: Clone + Send + Sync + 'static {
    /// Boxes that a typed text may mean: the thing's name, or its pharmacy's code or name.
    fn find(&self, text: &str) -> impl Future<Output = anyhow::Result<Vec<BoxView>>> + Send;

    /// Judges settings by the rules of this fleet, and writes nothing.
    fn judge(&self, draft: LanDraft) -> Result<LanSettings, Faults>;

    /// Judges and writes down a wish. `key` names the submission: the same key twice is one change.
    fn change_lan(
        &self,
        by: &SlackUser,
        wish: LanWish,
        key: &str,
    ) -> impl Future<Output = Result<ChangeId, Refusal>> + Send;
}

/// Work that was acknowledged and is not done yet.
pub trait Jobs: Clone + Send + Sync + 'static {
    /// Writes a job down. `key` names the request: a replay of it adds nothing and answers false.
    fn enqueue(&self, key: &str, job: &Job) -> impl Future<Output = anyhow::Result<bool>> + Send;

    /// Takes the oldest due job for as long as the lease lasts; no other worker sees it meanwhile.
    fn take(&self, lease: Duration) -> impl Future<Output = anyhow::Result<Option<TakenJob>>> + Send;

    fn finish(&self, job: &TakenJob) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Gives a job back, to be tried again later.
    fn retry(&self, job: &TakenJob, after: Duration) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Resolves when there may be something to take: at a nudge, or after a while.
    fn wait(&self) -> impl Future<Output = ()> + Send;
}

/// The one message of each change in the operators' channel.
pub trait Outbox: Clone + Send + Sync + 'static {
    /// Takes a message whose change has moved on since it was last shown, for as long as the lease lasts.
    fn take(&self, lease: Duration) -> impl Future<Output = anyhow::Result<Option<DueMessage>>> + Send;

    /// The message now shows `revision`. It is not due again before `pause` is over.
    fn shown(
        &self,
        message: &DueMessage,
        posted: &Posted,
        pause: Duration,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Slack did not take it; try again later.
    fn retry(&self, message: &DueMessage, after: Duration)
    -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Slack will never take this revision; a later one is tried again.
    fn give_up(&self, message: &DueMessage) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Resolves when there may be something to take: at a nudge, or after a while.
    fn wait(&self) -> impl Future<Output = ()> + Send;
}

/// Who may do what.
pub trait Directory: Clone + Send + Sync + 'static {
    /// Fails closed: a user whom nobody named has no role.
    fn role_of(&self, user: &SlackUser) -> impl Future<Output = anyhow::Result<Option<Role>>> + Send;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlackUser {
    pub team_id: String,
    pub user_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Viewer,
    Operator,
    Approver,
    Admin,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// Looking is for every role; changing is not.
    pub fn may_change(self) -> bool {
        self >= Self::Operator
    }
}

/// A box as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxView {
    pub thing: ThingName,
    pub pharmacy: Option<String>,
    /// What runs, as the box last said.
    pub lan: Option<LanSettings>,
    pub share: Option<ShareSettings>,
    pub probe: ProbePolicy,
    /// The address that the interface really has.
    pub effective: Option<Effective>,
    pub open_change: Option<(ChangeId, ChangeState)>,
    /// None: not known.
    pub online: Option<bool>,
    /// When the box was last heard of.
    pub seen_at: Option<DateTime<Utc>>,
    /// Since when it has run something else than it was asked to.
    pub drift_since: Option<DateTime<Utc>>,
}

/// What an operator wants, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanWish {
    pub thing: ThingName,
    pub lan: LanDraft,
    pub probe: ProbePolicy,
    pub reason: String,
    pub ticket: Option<String>,
}

/// Why a wish was not written down.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("no box is called {0}")]
    UnknownThing(ThingName),
    #[error("the settings cannot be used: {0}")]
    Settings(Faults),
    #[error("change {0} is still open")]
    ChangeOpen(ChangeId),
    /// The box runs these settings already.
    #[error("nothing would change")]
    NothingToChange,
    #[error("something failed on our side")]
    Internal(#[from] anyhow::Error),
}

/// Work behind an acknowledgement. It holds no secret and no prescription.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Job {
    /// `/rece …`
    Command { user: SlackUser, channel_id: String, text: String, trigger_id: String, response_url: String },
}

/// Whoever knows the address of the answer can answer in our name.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Command { user, channel_id, .. } = self;
        let mut shown = f.debug_struct("Command");
        shown.field("user", user).field("channel_id", channel_id).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
pub struct TakenJob {
    pub id: i64,
    pub job: Job,
    /// How long ago the request came, by the clock of whoever keeps the jobs. A trigger is good for
    /// three seconds.
    pub age: Duration,
    pub attempt: u32,
}

/// A message that has to be posted or edited.
#[derive(Debug, Clone)]
pub struct DueMessage {
    /// Where it stands already; none: it has never been posted.
    pub place: Option<Posted>,
    /// Which state of the change it is to show.
    pub revision: i64,
    /// How often in a row it was taken before and not shown; whoever took it may have died.
    pub attempt: u32,
    pub story: ChangeStory,
}

/// Where a message stands in Slack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    pub channel_id: String,
    pub ts: String,
}

/// A change from its wish to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeStory {
    pub change_id: ChangeId,
    pub thing: ThingName,
    pub pharmacy: Option<String>,
    pub state: ChangeState,
    /// None: not known.
    pub online: Option<bool>,
    /// `slack:U…`, `token:…`.
    pub requested_by: String,
    pub reason: String,
    pub ticket: Option<String>,
    pub before: Option<LanSettings>,
    pub after: LanSettings,
    pub steps: Vec<Step>,
    /// Of a change that was applied to a box that hosts its share.
    pub sight: Option<Sight>,
}

/// Whether the receipt computer has found the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    Unconfirmed,
    /// When the cloud heard of it.
    Confirmed(DateTime<Utc>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub state: ChangeState,
    /// The cloud's clock.
    pub at: DateTime<Utc>,
    /// The box's clock, for the box's steps.
    pub device_at: Option<DateTime<Utc>>,
    pub clock: Option<Clock>,
    pub code: Option<String>,
    pub detail: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_shows_nothing_that_one_could_answer_with() {
        let user = SlackUser { team_id: "T1".to_owned(), user_id: "U1".to_owned() };
        let [text, trigger_id, response_url] = ["canary", "canary", "https://canary"].map(str::to_owned);
        let job = Job::Command { user, channel_id: "C1".to_owned(), text, trigger_id, response_url };

        let shown = format!("{job:?}");

        assert!(shown.contains("U1") && !shown.contains("canary"), "{shown}");
    }
}
