//! What the Slack app needs from the fleet: one small trait a need, in the words of an operator.
//!
//! The fleet API implements them over Postgres; the tests here use a fake.

use std::{future::Future, time::Duration};

use device_model::{
    change_id::ChangeId,
    fault::Faults,
    lan::{LanDraft, LanSettings},
    thing_name::ThingName,
};

use crate::{
    i18n::Lang,
    job::{Job, TakenJob},
    model::{BoxView, ChangeStory, LanWish, Overview, Refusal, Role, SlackUser, Which},
    outbox::{DueMessage, Posted},
};

/// Everything that answering Slack takes.
pub trait Ports: Fleet + Jobs + Directory {}

impl<T: Fleet + Jobs + Directory> Ports for T {}

/// Boxes and their changes.
pub trait Fleet: Clone + Send + Sync + 'static {
    /// Boxes that a typed text may mean: the thing's name, or its pharmacy's name, kana or code.
    fn find(&self, text: &str) -> impl Future<Output = anyhow::Result<Vec<BoxView>>> + Send;

    fn device(&self, thing: &ThingName) -> impl Future<Output = anyhow::Result<Option<BoxView>>> + Send;

    /// Judges settings by the rules of this fleet, and writes nothing.
    fn judge(&self, draft: LanDraft) -> Result<LanSettings, Faults>;

    /// Whether somebody else would have to approve these settings of the box.
    fn needs_approval(&self, device: &BoxView, after: &LanSettings) -> bool;

    /// Judges and writes down a wish. `key` names the submission: the same key twice is one change.
    fn change_lan(
        &self,
        by: &SlackUser,
        wish: LanWish,
        key: &str,
    ) -> impl Future<Output = Result<ChangeId, Refusal>> + Send;

    /// The change that this user's submission of this key made.
    fn registered(
        &self,
        by: &SlackUser,
        key: &str,
    ) -> impl Future<Output = anyhow::Result<Option<ChangeId>>> + Send;

    fn change(&self, id: &ChangeId) -> impl Future<Output = anyhow::Result<Option<ChangeStory>>> + Send;

    /// Newest first.
    fn changes(
        &self,
        which: Which,
        limit: usize,
    ) -> impl Future<Output = anyhow::Result<Vec<ChangeStory>>> + Send;

    /// Takes a change back; how that ends, its message tells.
    fn cancel(
        &self,
        by: &SlackUser,
        id: &ChangeId,
        reason: Option<&str>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Lets a change go that waits for a second pair of eyes.
    fn approve(&self, by: &SlackUser, id: &ChangeId) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Counts, and what needs a hand now.
    fn overview(&self, user: &SlackUser) -> impl Future<Output = anyhow::Result<Overview>> + Send;

    /// Makes a page that gives the box's share a new password and shows it once, to the user who asked.
    fn password_page(
        &self,
        by: &SlackUser,
        thing: &ThingName,
        lang: Lang,
    ) -> impl Future<Output = Result<PasswordPage, Refusal>> + Send;

    /// The user says the number that the page shows. False: it is another.
    fn confirm_password_page(
        &self,
        by: &SlackUser,
        page: &str,
        number: &str,
    ) -> impl Future<Output = Result<bool, Refusal>> + Send;
}

/// Neither is a secret: the page shows nothing before its number was said.
pub struct PasswordPage {
    pub id: String,
    pub url: String,
}

/// Work that was acknowledged and is not done yet.
pub trait Jobs: Clone + Send + Sync + 'static {
    /// Writes a job down. `key` names the request: a replay of it adds nothing and answers false.
    fn enqueue(&self, key: &str, job: &Job) -> impl Future<Output = anyhow::Result<bool>> + Send;

    /// Takes the oldest due jobs, `most` of them, for as long as the lease lasts; no other worker sees them meanwhile.
    fn take(
        &self,
        lease: Duration,
        most: usize,
    ) -> impl Future<Output = anyhow::Result<Vec<TakenJob>>> + Send;

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

    /// The message stands there; its thread may still lack something.
    fn placed(
        &self,
        message: &DueMessage,
        posted: &Posted,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// The message now shows `revision`, and its thread tells `told` milestones. It is not due again
    /// before `pause` is over.
    fn shown(
        &self,
        message: &DueMessage,
        posted: &Posted,
        told: usize,
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
