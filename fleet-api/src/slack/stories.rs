//! Changes as Slack tells them, and the fleet at a glance.

use chrono::TimeDelta;
use device_model::{change::ChangeState, share::ShareSettings};
use slack_app::model::{
    Approval, ChangeStory, Look, Overview, ShareChange, SlackUser, Square, Step, Which, Withdrawing,
};

use crate::{
    fleet::{
        actor::Actor,
        change::{self, Change, Settings},
    },
    slack::{Ports, fleet::sight},
    store::overview::{self, Glance},
};

/// What Home shows at most of anything.
const SHOWN: i64 = 100;
/// A certificate is to be renewed after this.
const CERTIFICATE_DAYS: i64 = 335;

impl Ports {
    pub(super) async fn stories(&self, changes: Vec<Change>) -> anyhow::Result<Vec<ChangeStory>> {
        let codes: Vec<String> = changes.iter().filter_map(|change| change.pharmacy.clone()).collect();
        let mut db = self.fleet.db().acquire().await?;
        let names = overview::names(&mut db, &codes).await?;
        drop(db);
        let mut stories = Vec::new();
        // What nobody can tell of is left to those who look closer.
        for change in changes.into_iter().filter(|change| change.after.is_some()) {
            let pharmacy = change.pharmacy.as_ref().and_then(|code| names.get(code)).cloned();
            stories.push(self.story(change, pharmacy).await?);
        }
        Ok(stories)
    }

    pub(super) async fn story(
        &self,
        change: Change,
        pharmacy: Option<String>,
    ) -> anyhow::Result<ChangeStory> {
        let approval = match &change.approved_by {
            Some(by) => Approval::Given(by.clone()),
            None if self.fleet.awaits_approval(&change).await? => Approval::Waiting,
            None => Approval::NotNeeded,
        };
        // Only while it waits for its box does it matter whether the box can hear of it.
        let online = match change.state {
            ChangeState::Sent => {
                self.fleet.device(&change.thing).await?.connection.map(|connection| connection.online)
            }
            _ => None,
        };
        let after = change.asked_for()?.clone();
        let share = share(change.before.as_ref(), &after);
        Ok(ChangeStory {
            share,
            change_id: change.change_id,
            thing: change.thing,
            pharmacy,
            state: change.state,
            approval,
            withdrawing: change.withdrawing.map(withdrawing),
            online,
            requested_by: change.requested_by,
            requested_at: change.requested_at,
            reason: change.reason,
            ticket: change.ticket,
            before: change.before.map(|before| before.lan),
            after: after.lan,
            window: after.window,
            steps: change.steps.into_iter().map(step).collect(),
            sight: change.sight.as_ref().map(sight),
        })
    }

    pub(super) async fn look_over(&self, user: &SlackUser) -> anyhow::Result<Overview> {
        use slack_app::fleet::Fleet;
        let mut db = self.fleet.db().acquire().await?;
        let now = self.fleet.clock().now();
        let squares = overview::boxes(&mut db, now).await?.into_iter().map(square).collect();
        let before = now - TimeDelta::days(CERTIFICATE_DAYS);
        let certificates_due = usize::try_from(overview::certificates_due(&mut db, before).await?)?;
        let drifting = overview::drifted(&mut db, SHOWN).await?;
        drop(db);
        let mut drifted = Vec::new();
        for thing in drifting {
            drifted.extend(self.device(&thing.parse()?).await?);
        }
        let limit = usize::try_from(SHOWN)?;
        let pending = self.changes(Which::Pending, limit).await?;
        let waits = |story: &ChangeStory| story.approval == Approval::Waiting;
        let by = Actor::slack(&user.user_id).name;
        let (mine, others): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|story| story.requested_by == by && !story.state.is_terminal());
        let attention = others.into_iter().filter(|story| story.has_failed() || waits(story)).collect();
        Ok(Overview { squares, certificates_due, attention, drifted, mine })
    }
}

fn square(glance: Glance) -> Square {
    let last = glance.last_state.and_then(|state| state.parse::<ChangeState>().ok());
    let failed = last.is_some_and(|state| {
        matches!(state, ChangeState::RolledBack | ChangeState::Refused | ChangeState::Expired)
    });
    let look = if failed || glance.drifts {
        Look::Failed
    } else if glance.pending {
        Look::Pending
    } else {
        match glance.online {
            Some(true) => Look::Online,
            None if glance.reported => Look::Unknown,
            Some(false) | None => Look::Offline,
        }
    };
    Square { label: glance.pharmacy.unwrap_or(glance.thing), look }
}

/// What becomes of the share; its sealed password stays here.
fn share(before: Option<&Settings>, after: &Settings) -> Option<ShareChange> {
    let (before, after) = (before.and_then(|before| before.share.as_ref()), after.share.as_ref()?);
    let sealed = |share: Option<&ShareSettings>| share.and_then(|share| share.password_sealed.clone());
    // A share that nobody knew before is not known to have changed.
    let new_password = before.is_some() && sealed(before) != sealed(Some(after));
    let names = ShareChange::between(before, after).filter(|_| before.is_some());
    match names {
        Some(change) => Some(ShareChange { new_password, ..change }),
        None if new_password => {
            let same = ShareSettings { password_sealed: None, ..after.clone() };
            Some(ShareChange { before: Some(same.clone()), after: same, new_password })
        }
        None => None,
    }
}

fn withdrawing(why: change::Withdrawing) -> Withdrawing {
    match why {
        change::Withdrawing::Cancel => Withdrawing::Cancel,
        change::Withdrawing::Expire => Withdrawing::Expire,
        change::Withdrawing::Supersede => Withdrawing::Supersede,
    }
}

fn step(step: change::Step) -> Step {
    Step {
        state: step.state,
        at: step.at,
        device_at: step.device_at,
        clock: step.clock,
        code: step.code,
        detail: step.detail,
    }
}
