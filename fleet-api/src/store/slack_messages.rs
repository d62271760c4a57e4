//! The one message of each change, and how far it lags behind its change. Times are the database's.

use std::time::Duration;

use sqlx::PgConnection;

/// A message in the hands of one outbox.
pub struct Row {
    pub change_id: String,
    pub channel_id: Option<String>,
    pub ts: Option<String>,
    pub wanted: i64,
    /// How often it was taken before without being shown: nobody may have lived to tell.
    pub attempts: i32,
    /// How many milestones its thread tells.
    pub told: i32,
    /// The pharmacy where the box stood when the change was asked for.
    pub pharmacy: Option<String>,
}

/// Takes a message that lags behind; nobody else gets it before the lease is over. What nobody
/// could post for a week, because no workspace was connected, is history and not news.
#[tracing::instrument(name = "db.slack_messages.take", level = "trace", skip_all)]
pub async fn take(db: &mut PgConnection, lease: Duration) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        "with taken as (
             update slack_messages set attempts = attempts + 1,
                 not_before = now() + $1::float8 * interval '1 second'
             where change_id = (select change_id from slack_messages
                                where wanted > shown and not_before <= now()
                                  and (ts is not null or wanted_at > now() - interval '7 days')
                                order by not_before limit 1 for update skip locked)
             returning change_id, channel_id, ts, wanted, attempts - 1 as attempts, told)
         select taken.change_id, taken.channel_id, taken.ts, taken.wanted, taken.attempts as \"attempts!\",
             taken.told, p.name as \"pharmacy?\"
         from taken join lan_changes c using (change_id) left join pharmacies p using (pharmacy_id)",
        lease.as_secs_f64(),
    )
    .fetch_optional(db)
    .await
}

/// The message stands there.
#[tracing::instrument(name = "db.slack_messages.placed", skip_all, fields(change.id = change_id))]
pub async fn placed(
    db: &mut PgConnection,
    change_id: &str,
    (channel_id, ts): (&str, &str),
) -> sqlx::Result<()> {
    sqlx::query!(
        "update slack_messages set channel_id = $2, ts = $3 where change_id = $1",
        change_id,
        channel_id,
        ts,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The message shows `revision` at its place, and is not due again before `pause` is over.
#[tracing::instrument(name = "db.slack_messages.shown", skip_all, fields(change.id = change_id))]
pub async fn shown(
    db: &mut PgConnection,
    change_id: &str,
    revision: i64,
    (channel_id, ts): (&str, &str),
    told: i32,
    pause: Duration,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update slack_messages set shown = greatest(shown, $2), channel_id = $3, ts = $4, attempts = 0,
             told = $6, not_before = now() + $5::float8 * interval '1 second'
         where change_id = $1",
        change_id,
        revision,
        channel_id,
        ts,
        pause.as_secs_f64(),
        told,
    )
    .execute(db)
    .await?;
    Ok(())
}

#[tracing::instrument(name = "db.slack_messages.put_off", skip_all, fields(change.id = change_id))]
pub async fn put_off(db: &mut PgConnection, change_id: &str, after: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "update slack_messages set not_before = now() + $2::float8 * interval '1 second' where change_id = $1",
        change_id,
        after.as_secs_f64(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets a revision go that Slack will never take.
#[tracing::instrument(name = "db.slack_messages.give_up", skip_all, fields(change.id = change_id))]
pub async fn give_up(db: &mut PgConnection, change_id: &str, revision: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "update slack_messages set shown = greatest(shown, $2), attempts = 0, not_before = now() where change_id = $1",
        change_id,
        revision,
    )
    .execute(db)
    .await?;
    Ok(())
}
