//! What Slack was promised and is not done yet. Times are the database's.

use std::time::Duration;

use serde_json::Value;
use sqlx::PgConnection;

/// A job in the hands of one worker; `attempt` tells it from the next one's.
pub struct Row {
    pub job_id: i64,
    pub job: Value,
    pub attempt: i32,
    /// Since it was written down.
    pub age_seconds: f64,
}

/// Writes a job down; false: the key is known, so this is a replay.
#[tracing::instrument(name = "db.slack_jobs.add", skip_all)]
pub async fn add(db: &mut PgConnection, key: &str, job: &Value) -> sqlx::Result<bool> {
    let added = sqlx::query!(
        "insert into slack_jobs (key, job) values ($1, $2) on conflict on constraint slack_jobs_key_unique do nothing",
        key,
        job,
    )
    .execute(db)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Takes the oldest due jobs, `most` of them; nobody else gets them before the lease is over. What waits
/// together is taken by one commit: one a job is more than a disk does in a rush.
#[tracing::instrument(name = "db.slack_jobs.take", level = "trace", skip_all)]
pub async fn take(db: &mut PgConnection, lease: Duration, most: i64) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        "with due as (select job_id from slack_jobs where done_at is null and run_at <= now()
                      order by run_at limit $2 for update skip locked)
         update slack_jobs j set run_at = now() + $1::float8 * interval '1 second', attempts = attempts + 1
         from due where j.job_id = due.job_id
         returning j.job_id, job as \"job!\", attempts as attempt,
             extract(epoch from now() - created_at)::float8 as \"age_seconds!\"",
        lease.as_secs_f64(),
        most,
    )
    .fetch_all(db)
    .await
}

/// Empties a job that is done. Its key stays for a day: longer than Slack ever repeats a request.
#[tracing::instrument(name = "db.slack_jobs.finish", skip_all)]
pub async fn finish(db: &mut PgConnection, job_id: i64, attempt: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "with old as (delete from slack_jobs where job_id in
             (select job_id from slack_jobs where done_at < now() - interval '1 day' limit 10 for update skip locked))
         update slack_jobs set done_at = now(), job = null where job_id = $1 and attempts = $2 and done_at is null",
        job_id,
        attempt,
    )
    .execute(db)
    .await?;
    Ok(())
}

#[tracing::instrument(name = "db.slack_jobs.put_off", skip_all)]
pub async fn put_off(db: &mut PgConnection, job_id: i64, attempt: i32, after: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "update slack_jobs set run_at = now() + $3::float8 * interval '1 second'
         where job_id = $1 and attempts = $2 and done_at is null",
        job_id,
        attempt,
        after.as_secs_f64(),
    )
    .execute(db)
    .await?;
    Ok(())
}
