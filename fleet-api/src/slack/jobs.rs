//! Jobs of the Slack app, in Postgres.

use std::time::Duration;

use slack_app::{
    fleet::Jobs,
    job::{Job, TakenJob},
};

use crate::{
    slack::{POLL, Ports},
    store::slack_jobs,
};

impl Jobs for Ports {
    async fn enqueue(&self, key: &str, job: &Job) -> anyhow::Result<bool> {
        let job = serde_json::to_value(job)?;
        let mut db = self.fleet.db().acquire().await?;
        let added = slack_jobs::add(&mut db, key, &job).await?;
        self.job_written.notify_one();
        Ok(added)
    }

    async fn take(&self, lease: Duration, most: usize) -> anyhow::Result<Vec<TakenJob>> {
        let mut db = self.fleet.db().acquire().await?;
        let mut taken = Vec::new();
        for row in slack_jobs::take(&mut db, lease, i64::try_from(most)?).await? {
            match serde_json::from_value(row.job) {
                Ok(job) => taken.push(TakenJob {
                    id: row.job_id,
                    job,
                    age: Duration::try_from_secs_f64(row.age_seconds).unwrap_or_default(),
                    attempt: u32::try_from(row.attempt)?,
                }),
                // Written by a newer replica, or by none of ours: it must not stop the others.
                Err(error) => {
                    tracing::warn!(%error, "a Slack job cannot be read and is dropped");
                    slack_jobs::finish(&mut db, row.job_id, row.attempt).await?;
                }
            }
        }
        Ok(taken)
    }

    async fn finish(&self, job: &TakenJob) -> anyhow::Result<()> {
        let mut db = self.fleet.db().acquire().await?;
        slack_jobs::finish(&mut db, job.id, job.attempt.try_into()?).await?;
        Ok(())
    }

    async fn retry(&self, job: &TakenJob, after: Duration) -> anyhow::Result<()> {
        let mut db = self.fleet.db().acquire().await?;
        slack_jobs::put_off(&mut db, job.id, job.attempt.try_into()?, after).await?;
        Ok(())
    }

    async fn wait(&self) {
        let _ = tokio::time::timeout(POLL, self.job_written.notified()).await;
    }
}
