//! A fleet of a few boxes that remembers what it was asked for.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use device_model::{
    change_id::ChangeId,
    fault::Faults,
    lan::{LanDraft, LanSettings, ReservedRanges},
    thing_name::ThingName,
};
use parking_lot::Mutex;
use slack_app::{
    fleet::{Directory, Fleet, Jobs, Outbox, PasswordPage},
    i18n::Lang,
    job::{Job, TakenJob},
    model::{BoxView, ChangeStory, LanWish, Overview, Refusal, Role, SlackUser, Which},
    outbox::{DueMessage, Posted},
    roles::ConfiguredRoles,
};
use tokio::sync::Notify;

#[derive(Clone, Default)]
pub struct FakeFleet {
    state: Arc<Mutex<State>>,
    nudge: Arc<Notify>,
}

#[derive(Default)]
pub struct State {
    pub boxes: Vec<BoxView>,
    pub roles: ConfiguredRoles,
    /// Keys of the jobs that were ever written down.
    pub job_keys: Vec<String>,
    pub jobs: VecDeque<TakenJob>,
    pub done: Vec<i64>,
    pub retried: Vec<(i64, Duration)>,
    /// What was registered, by its key.
    pub changes: Vec<(String, String, LanWish)>,
    pub refuse: Option<Refusal>,
    /// Postgres is away.
    pub down: bool,
    pub messages: VecDeque<DueMessage>,
    pub shown: Vec<(i64, Posted)>,
    pub pauses: Vec<Duration>,
    pub message_retries: Vec<Duration>,
    pub given_up: Vec<i64>,
    pub placed: Vec<Posted>,
    pub told: Vec<usize>,
    /// Changes that can be looked at.
    pub stories: Vec<ChangeStory>,
    /// What was decided: `cancel 01J by U1`.
    pub decided: Vec<String>,
    pub approval_needed: bool,
    pub overview: Overview,
}

impl FakeFleet {
    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock())
    }

    /// True if nothing at all was written down.
    pub fn is_untouched(&self) -> bool {
        self.with(|state| state.job_keys.is_empty() && state.changes.is_empty() && state.decided.is_empty())
    }

    /// A change that is open on a box.
    pub fn open(&self, thing: &str, story: ChangeStory) {
        self.with(|state| {
            let device = state.boxes.iter_mut().find(|device| device.thing.as_str() == thing).unwrap();
            device.open_change = Some((story.change_id.clone(), story.state));
            state.stories.push(story);
        });
    }

    fn decide(&self, what: &str) -> Result<(), Refusal> {
        self.up()?;
        self.with(|state| {
            if let Some(refusal) = state.refuse.take() {
                return Err(refusal);
            }
            state.decided.push(what.trim().to_owned());
            Ok(())
        })
    }

    fn up(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.state.lock().down, "the database is away");
        Ok(())
    }
}

impl Fleet for FakeFleet {
    async fn find(&self, text: &str) -> anyhow::Result<Vec<BoxView>> {
        self.up()?;
        let matches = |device: &&BoxView| {
            device.thing.as_str() == text
                || device.pharmacy.as_deref().is_some_and(|name| name.contains(text))
        };
        Ok(self.with(|state| state.boxes.iter().filter(matches).cloned().collect()))
    }

    fn judge(&self, draft: LanDraft) -> Result<LanSettings, Faults> {
        LanSettings::parse(draft, &ReservedRanges::default())
    }

    async fn device(&self, thing: &ThingName) -> anyhow::Result<Option<BoxView>> {
        self.up()?;
        Ok(self.with(|state| state.boxes.iter().find(|device| device.thing == *thing).cloned()))
    }

    fn needs_approval(&self, _device: &BoxView, _after: &LanSettings) -> bool {
        self.with(|state| state.approval_needed)
    }

    async fn registered(&self, _by: &SlackUser, key: &str) -> anyhow::Result<Option<ChangeId>> {
        self.up()?;
        let index = self.with(|state| state.changes.iter().position(|(known, ..)| known == key));
        Ok(index.map(|index| format!("01CHANGE{index}").parse().unwrap()))
    }

    async fn change(&self, id: &ChangeId) -> anyhow::Result<Option<ChangeStory>> {
        self.up()?;
        Ok(self.with(|state| state.stories.iter().find(|story| story.change_id == *id).cloned()))
    }

    async fn changes(&self, which: Which, limit: usize) -> anyhow::Result<Vec<ChangeStory>> {
        self.up()?;
        let wanted = |story: &&ChangeStory| match &which {
            Which::Of(thing) => story.thing == *thing,
            Which::Pending => !story.state.is_terminal() || story.has_failed(),
            Which::Unapproved => story.approval == slack_app::model::Approval::Waiting,
        };
        Ok(self.with(|state| state.stories.iter().filter(wanted).take(limit).cloned().collect()))
    }

    async fn cancel(&self, by: &SlackUser, id: &ChangeId, reason: Option<&str>) -> Result<(), Refusal> {
        self.decide(&format!("cancel {id} by {} {}", by.user_id, reason.unwrap_or_default()))
    }

    async fn approve(&self, by: &SlackUser, id: &ChangeId) -> Result<(), Refusal> {
        self.decide(&format!("approve {id} by {}", by.user_id))
    }

    async fn overview(&self, _user: &SlackUser) -> anyhow::Result<Overview> {
        self.up()?;
        Ok(self.with(|state| state.overview.clone()))
    }

    async fn password_page(
        &self,
        _by: &SlackUser,
        _thing: &ThingName,
        _lang: Lang,
    ) -> Result<PasswordPage, Refusal> {
        Ok(PasswordPage { id: "page-1".to_owned(), url: "https://recehub.example.com/p/1".to_owned() })
    }

    async fn confirm_password_page(&self, by: &SlackUser, page: &str, number: &str) -> Result<bool, Refusal> {
        self.decide(&format!("{page} is {number} by {}", by.user_id))?;
        Ok(number == "47")
    }

    async fn change_lan(&self, by: &SlackUser, wish: LanWish, key: &str) -> Result<ChangeId, Refusal> {
        self.up()?;
        self.with(|state| {
            if let Some(refusal) = state.refuse.take() {
                return Err(refusal);
            }
            let id = |index: usize| format!("01CHANGE{index}").parse().unwrap();
            if let Some(index) = state.changes.iter().position(|(known, ..)| known == key) {
                return Ok(id(index));
            }
            state.changes.push((key.to_owned(), by.user_id.clone(), wish));
            Ok(id(state.changes.len() - 1))
        })
    }
}

impl Jobs for FakeFleet {
    async fn enqueue(&self, key: &str, job: &Job) -> anyhow::Result<bool> {
        self.up()?;
        let new = self.with(|state| {
            if state.job_keys.iter().any(|known| known == key) {
                return false;
            }
            state.job_keys.push(key.to_owned());
            state.jobs.push_back(TakenJob {
                id: i64::try_from(state.job_keys.len()).unwrap(),
                job: job.clone(),
                age: Duration::ZERO,
                attempt: 1,
            });
            true
        });
        self.nudge.notify_one();
        Ok(new)
    }

    async fn take(&self, _lease: Duration, most: usize) -> anyhow::Result<Vec<TakenJob>> {
        Ok(self.with(|state| {
            let count = most.min(state.jobs.len());
            state.jobs.drain(..count).collect()
        }))
    }

    async fn finish(&self, job: &TakenJob) -> anyhow::Result<()> {
        self.with(|state| state.done.push(job.id));
        Ok(())
    }

    async fn retry(&self, job: &TakenJob, after: Duration) -> anyhow::Result<()> {
        self.with(|state| state.retried.push((job.id, after)));
        Ok(())
    }

    async fn wait(&self) {
        self.nudge.notified().await;
    }
}

impl Outbox for FakeFleet {
    async fn take(&self, _lease: Duration) -> anyhow::Result<Option<DueMessage>> {
        Ok(self.with(|state| state.messages.pop_front()))
    }

    async fn placed(&self, _message: &DueMessage, posted: &Posted) -> anyhow::Result<()> {
        self.with(|state| state.placed.push(posted.clone()));
        Ok(())
    }

    async fn shown(
        &self,
        message: &DueMessage,
        posted: &Posted,
        told: usize,
        pause: Duration,
    ) -> anyhow::Result<()> {
        self.with(|state| {
            state.shown.push((message.revision, posted.clone()));
            state.told.push(told);
            state.pauses.push(pause);
        });
        Ok(())
    }

    async fn retry(&self, message: &DueMessage, after: Duration) -> anyhow::Result<()> {
        self.with(|state| {
            state.message_retries.push(after);
            let attempt = message.attempt + 1;
            let place = state.placed.last().cloned().or_else(|| message.place.clone());
            state.messages.push_back(DueMessage { attempt, place, ..message.clone() });
        });
        Ok(())
    }

    async fn give_up(&self, message: &DueMessage) -> anyhow::Result<()> {
        self.with(|state| state.given_up.push(message.revision));
        Ok(())
    }

    async fn wait(&self) {
        self.nudge.notified().await;
    }
}

impl Directory for FakeFleet {
    async fn role_of(&self, user: &SlackUser) -> anyhow::Result<Option<Role>> {
        self.up()?;
        Ok(self.with(|state| state.roles.role_of(&user.user_id)))
    }
}
