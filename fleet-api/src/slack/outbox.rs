//! The messages of changes, in Postgres. A trigger on the steps says which lag behind.

use std::time::Duration;

use device_model::change_id::ChangeId;
use slack_app::{
    fleet::Outbox,
    outbox::{DueMessage, Posted},
};

use crate::{
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
            told: usize::try_from(row.told)?,
            story: self.story(change, row.pharmacy).await?,
        }))
    }

    async fn placed(&self, message: &DueMessage, posted: &Posted) -> anyhow::Result<()> {
        let mut db = self.fleet.db().acquire().await?;
        let place = (posted.channel_id.as_str(), posted.ts.as_str());
        slack_messages::placed(&mut db, message.story.change_id.as_str(), place).await?;
        Ok(())
    }

    async fn shown(
        &self,
        message: &DueMessage,
        posted: &Posted,
        told: usize,
        pause: Duration,
    ) -> anyhow::Result<()> {
        let mut db = self.fleet.db().acquire().await?;
        let place = (posted.channel_id.as_str(), posted.ts.as_str());
        let change = message.story.change_id.as_str();
        slack_messages::shown(&mut db, change, message.revision, place, told.try_into()?, pause).await?;
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
