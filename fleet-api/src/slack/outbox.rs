//! The messages of changes, in Postgres. A trigger on the steps says which lag behind.

use std::time::Duration;

use device_model::change_id::ChangeId;
use slack_app::fleet::{ChangeStory, DueMessage, Outbox, Posted, Sight, Step};

use crate::{
    fleet::change::{self, Change},
    slack::{POLL, Ports},
    store::slack_messages,
};

impl Outbox for Ports {
    async fn take(&self, lease: Duration) -> anyhow::Result<Option<DueMessage>> {
        let mut db = self.fleet.db().acquire().await?;
        let Some(row) = slack_messages::take(&mut db, lease).await? else {
            return Ok(None);
        };
        drop(db);
        let change_id: ChangeId = row.change_id.parse()?;
        // Read after the revision: a step that comes between is shown early, and once more.
        let change = self.fleet.change(&change_id).await?;
        let place = row.channel_id.zip(row.ts);
        Ok(Some(DueMessage {
            place: place.map(|(channel_id, ts)| Posted { channel_id, ts }),
            revision: row.wanted,
            attempt: u32::try_from(row.attempts)?,
            story: story(change, row.pharmacy),
        }))
    }

    async fn shown(&self, message: &DueMessage, posted: &Posted, pause: Duration) -> anyhow::Result<()> {
        let mut db = self.fleet.db().acquire().await?;
        let place = (posted.channel_id.as_str(), posted.ts.as_str());
        let change = message.story.change_id.as_str();
        slack_messages::shown(&mut db, change, message.revision, place, pause).await?;
        Ok(())
    }

    async fn retry(&self, message: &DueMessage, after: Duration) -> anyhow::Result<()> {
        let mut db = self.fleet.db().acquire().await?;
        slack_messages::put_off(&mut db, message.story.change_id.as_str(), after).await?;
        Ok(())
    }

    async fn give_up(&self, message: &DueMessage) -> anyhow::Result<()> {
        let mut db = self.fleet.db().acquire().await?;
        slack_messages::give_up(&mut db, message.story.change_id.as_str(), message.revision).await?;
        Ok(())
    }

    async fn wait(&self) {
        // Steps are written by every replica, so the table is looked at.
        tokio::time::sleep(POLL).await;
    }
}

fn story(change: Change, pharmacy: Option<String>) -> ChangeStory {
    ChangeStory {
        change_id: change.change_id,
        thing: change.thing,
        pharmacy,
        state: change.state,
        online: None,
        requested_by: change.requested_by,
        reason: change.reason,
        ticket: change.ticket,
        before: change.before.map(|before| before.lan),
        after: change.after.lan,
        steps: change.steps.into_iter().map(step).collect(),
        sight: change.sight.map(|sight| match sight {
            change::Sight::Unconfirmed => Sight::Unconfirmed,
            change::Sight::Confirmed { at, .. } => Sight::Confirmed(at),
        }),
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
