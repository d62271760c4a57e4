//! Changes of LAN settings: what was wished, how far it got. What is only recovered from a shadow and was not
//! ours says nothing of what a box shall have.

pub mod recovery;
pub mod waiting;

use chrono::{DateTime, Utc};
use device_model::{change_id::ChangeId, thing_name::ThingName};
use serde_json::Value;
use sqlx::{PgConnection, types::Json};

use crate::fleet::change::{Change, Settings, Withdrawing};

/// A row, with its story still to be read.
#[derive(Debug)]
pub struct Row {
    pub change_id: String,
    pub seq: i64,
    pub thing: String,
    pub pharmacy: Option<String>,
    pub state: String,
    pub withdrawing: Option<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub requested_by: String,
    pub approved_by: Option<String>,
    pub reason: String,
    pub ticket: Option<String>,
    pub replaces: Option<String>,
    pub shadow_version: Option<i64>,
    pub request_hash: Option<Vec<u8>>,
    pub requested_at: DateTime<Utc>,
    pub handed_over: bool,
    pub recovered: bool,
}

pub struct NewChange<'a> {
    pub id: &'a ChangeId,
    pub thing: &'a ThingName,
    pub before: Option<&'a Settings>,
    pub after: &'a Settings,
    pub requested_by: &'a str,
    pub reason: &'a str,
    /// Why it was asked for, if nobody did.
    pub code: Option<&'a str>,
    pub ticket: Option<&'a str>,
    pub replaces: Option<&'a ChangeId>,
    /// The caller's key and what it stood for.
    pub idempotency: Option<(&'a str, &'a [u8])>,
    pub now: DateTime<Utc>,
    /// The shadow has it no earlier.
    pub not_before: DateTime<Utc>,
    /// None: it waits for ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// It waits as `scheduled` until somebody lets it go.
    pub held: bool,
}

/// Which changes are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub thing: Option<String>,
    pub pharmacy: Option<String>,
    pub state: Option<String>,
    pub open: bool,
    /// Only changes asked for before this one.
    pub before: Option<i64>,
    pub limit: i64,
}

impl Row {
    pub fn into_change(self) -> sqlx::Result<Change> {
        let settings = |value: Value| serde_json::from_value::<Settings>(value).map_err(undecodable);
        Ok(Change {
            change_id: self.change_id.parse().map_err(undecodable)?,
            thing: self.thing.parse().map_err(undecodable)?,
            pharmacy: self.pharmacy,
            state: self.state.parse().map_err(undecodable)?,
            withdrawing: self.withdrawing.as_deref().and_then(Withdrawing::parse),
            requested_by: self.requested_by,
            approved_by: self.approved_by,
            reason: self.reason,
            ticket: self.ticket,
            before: self.before.map(settings).transpose()?,
            after: self.after.map(settings).transpose()?,
            replaces: self.replaces.map(|id| id.parse().map_err(undecodable)).transpose()?,
            requested_at: self.requested_at,
            shadow_version: self.shadow_version,
            handed_over: self.handed_over,
            recovered: self.recovered,
            seq: self.seq,
            steps: Vec::new(),
            sight: None,
        })
    }

    /// In the same order; one that cannot be read fails all.
    pub(super) fn into_changes(rows: Vec<Self>) -> sqlx::Result<Vec<Change>> {
        rows.into_iter().map(Self::into_change).collect()
    }
}

fn undecodable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

#[tracing::instrument(name = "db.changes.add", skip_all, fields(thing.name = %change.thing, change.id = %change.id))]
pub async fn add(db: &mut PgConnection, change: &NewChange<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into lan_changes (change_id, thing, pharmacy_id, state, before, after, requested_by, reason, ticket,
             replaces, idempotency_key, request_hash, requested_at, next_attempt_at, expires_at)
         values ($1, $2, (select pharmacy_id from assignments where thing = $2 and to_at is null),
             case when $14 then 'scheduled' else 'queued' end, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        change.id.as_str(),
        change.thing.as_str(),
        change.before.map(Json) as _,
        Json(change.after) as _,
        change.requested_by,
        change.reason,
        change.ticket,
        change.replaces.map(ChangeId::as_str),
        change.idempotency.map(|(key, _)| key),
        change.idempotency.map(|(_, hash)| hash),
        change.now,
        change.not_before,
        change.expires_at,
        change.held,
    )
    .execute(db)
    .await?;
    Ok(())
}

#[tracing::instrument(name = "db.changes.find", skip_all, fields(change.id = %id))]
pub async fn find(db: &mut PgConnection, id: &ChangeId) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        "select c.change_id, c.seq, c.thing, p.code as \"pharmacy?\", c.state, c.withdrawing, c.before, c.after,
                c.requested_by, c.approved_by, c.reason, c.ticket, c.replaces, c.shadow_version, c.request_hash,
                c.requested_at, c.handed_over_at is not null as \"handed_over!\", c.recovered
         from lan_changes c left join pharmacies p using (pharmacy_id) where c.change_id = $1",
        id.as_str(),
    )
    .fetch_optional(db)
    .await
}

/// The change that this caller's key made.
#[tracing::instrument(name = "db.changes.by_key", skip_all)]
pub async fn by_key(db: &mut PgConnection, requested_by: &str, key: &str) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        "select c.change_id, c.seq, c.thing, p.code as \"pharmacy?\", c.state, c.withdrawing, c.before, c.after,
                c.requested_by, c.approved_by, c.reason, c.ticket, c.replaces, c.shadow_version, c.request_hash,
                c.requested_at, c.handed_over_at is not null as \"handed_over!\", c.recovered
         from lan_changes c left join pharmacies p using (pharmacy_id)
         where c.requested_by = $1 and c.idempotency_key = $2",
        requested_by,
        key,
    )
    .fetch_optional(db)
    .await
}

/// The thing's changes that are not closed, oldest first. The caller holds the thing's lock.
#[tracing::instrument(name = "db.changes.open_of", skip_all, fields(thing.name = %thing))]
pub async fn open_of(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<Vec<Change>> {
    let rows = sqlx::query_as!(
        Row,
        "select c.change_id, c.seq, c.thing, p.code as \"pharmacy?\", c.state, c.withdrawing, c.before, c.after,
                c.requested_by, c.approved_by, c.reason, c.ticket, c.replaces, c.shadow_version, c.request_hash,
                c.requested_at, c.handed_over_at is not null as \"handed_over!\", c.recovered
         from lan_changes c left join pharmacies p using (pharmacy_id)
         where c.thing = $1 and c.closed_at is null order by c.seq",
        thing.as_str(),
    );
    Row::into_changes(rows.fetch_all(db).await?)
}

/// What the box was last seen to accept.
#[tracing::instrument(name = "db.changes.last_applied", skip_all, fields(thing.name = %thing))]
pub async fn last_applied(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<Option<Change>> {
    let row = sqlx::query_as!(
        Row,
        "select c.change_id, c.seq, c.thing, p.code as \"pharmacy?\", c.state, c.withdrawing, c.before, c.after,
                c.requested_by, c.approved_by, c.reason, c.ticket, c.replaces, c.shadow_version, c.request_hash,
                c.requested_at, c.handed_over_at is not null as \"handed_over!\", c.recovered
         from lan_changes c left join pharmacies p using (pharmacy_id)
         where c.thing = $1 and c.state = 'applied' and (c.handed_over_at is not null or not c.recovered)
         order by c.seq desc limit 1",
        thing.as_str(),
    );
    row.fetch_optional(db).await?.map(Row::into_change).transpose()
}

/// What the box was last seen to accept before the change `seq`.
#[tracing::instrument(name = "db.changes.last_applied_before", skip_all, fields(thing.name = %thing))]
pub async fn last_applied_before(
    db: &mut PgConnection,
    thing: &ThingName,
    seq: i64,
) -> sqlx::Result<Option<Change>> {
    let row = sqlx::query_as!(
        Row,
        "select c.change_id, c.seq, c.thing, p.code as \"pharmacy?\", c.state, c.withdrawing, c.before, c.after,
                c.requested_by, c.approved_by, c.reason, c.ticket, c.replaces, c.shadow_version, c.request_hash,
                c.requested_at, c.handed_over_at is not null as \"handed_over!\", c.recovered
         from lan_changes c left join pharmacies p using (pharmacy_id)
         where c.thing = $1 and c.state = 'applied' and (c.handed_over_at is not null or not c.recovered)
           and c.seq < $2 order by c.seq desc limit 1",
        thing.as_str(),
        seq,
    );
    row.fetch_optional(db).await?.map(Row::into_change).transpose()
}

/// The newest change that was to go into the thing's shadow, open or not.
#[tracing::instrument(name = "db.changes.last_handed_over", skip_all, fields(thing.name = %thing))]
pub async fn last_handed_over(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<Option<Change>> {
    let row = sqlx::query_as!(
        Row,
        "select c.change_id, c.seq, c.thing, p.code as \"pharmacy?\", c.state, c.withdrawing, c.before, c.after,
                c.requested_by, c.approved_by, c.reason, c.ticket, c.replaces, c.shadow_version, c.request_hash,
                c.requested_at, c.handed_over_at is not null as \"handed_over!\", c.recovered
         from lan_changes c left join pharmacies p using (pharmacy_id)
         where c.thing = $1 and c.handed_over_at is not null order by c.seq desc limit 1",
        thing.as_str(),
    );
    row.fetch_optional(db).await?.map(Row::into_change).transpose()
}

/// Newest first.
#[tracing::instrument(name = "db.changes.list", skip_all)]
pub async fn list(db: &mut PgConnection, filter: &Filter) -> sqlx::Result<Vec<Change>> {
    let rows = sqlx::query_as!(
        Row,
        "select c.change_id, c.seq, c.thing, p.code as \"pharmacy?\", c.state, c.withdrawing, c.before, c.after,
                c.requested_by, c.approved_by, c.reason, c.ticket, c.replaces, c.shadow_version, c.request_hash,
                c.requested_at, c.handed_over_at is not null as \"handed_over!\", c.recovered
         from lan_changes c left join pharmacies p using (pharmacy_id)
         where ($1::text is null or c.thing = $1) and ($2::text is null or p.code = $2)
           and ($3::text is null or c.state = $3) and (not $4 or c.closed_at is null)
           and ($5::bigint is null or c.seq < $5)
         order by c.seq desc limit $6",
        filter.thing,
        filter.pharmacy,
        filter.state,
        filter.open,
        filter.before,
        filter.limit,
    );
    Row::into_changes(rows.fetch_all(db).await?)
}

/// Takes an open change to `state`; false: it is closed already, and stays as it is.
#[tracing::instrument(name = "db.changes.set_state", skip_all, fields(change.id = %id))]
pub async fn set_state(
    db: &mut PgConnection,
    id: &ChangeId,
    state: device_model::change::ChangeState,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let moved = sqlx::query!(
        "update lan_changes set state = $2, closed_at = case when $3 then $4::timestamptz end
         where change_id = $1 and closed_at is null",
        id.as_str(),
        state.as_str(),
        state.is_terminal(),
        now,
    )
    .execute(db)
    .await?;
    Ok(moved.rows_affected() == 1)
}

#[tracing::instrument(name = "db.changes.withdraw", skip_all, fields(change.id = %id))]
pub async fn withdraw(db: &mut PgConnection, id: &ChangeId, why: Withdrawing) -> sqlx::Result<()> {
    sqlx::query!(
        "update lan_changes set withdrawing = coalesce(withdrawing, $2) where change_id = $1 and closed_at is null",
        id.as_str(),
        why.as_str(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// From now on a box may have it.
#[tracing::instrument(name = "db.changes.hand_over", skip_all, fields(change.id = %id))]
pub async fn hand_over(db: &mut PgConnection, id: &ChangeId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "update lan_changes set handed_over_at = $2
         where change_id = $1 and handed_over_at is null and closed_at is null",
        id.as_str(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// True if a newer change of the thing has been on its way: what there was to restore was restored.
#[tracing::instrument(name = "db.changes.has_newer_handed_over", skip_all, fields(thing.name = %thing))]
pub async fn has_newer_handed_over(db: &mut PgConnection, thing: &ThingName, seq: i64) -> sqlx::Result<bool> {
    let row = sqlx::query!(
        "select from lan_changes where thing = $1 and seq > $2 and handed_over_at is not null limit 1",
        thing.as_str(),
        seq,
    );
    Ok(row.fetch_optional(db).await?.is_some())
}

#[tracing::instrument(name = "db.changes.set_shadow_version", skip_all, fields(change.id = %id))]
pub async fn set_shadow_version(db: &mut PgConnection, id: &ChangeId, version: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "update lan_changes set shadow_version = $2 where change_id = $1 and closed_at is null",
        id.as_str(),
        version,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Which of these changes of the thing we know, by their place in the order of asking.
#[tracing::instrument(name = "db.changes.seqs", skip_all, fields(thing.name = %thing))]
pub async fn seqs(db: &mut PgConnection, thing: &ThingName, ids: &[String]) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!(
        "select seq from lan_changes
         where thing = $1 and change_id = any($2) and (handed_over_at is not null or not recovered)",
        thing.as_str(),
        ids,
    )
    .fetch_all(db)
    .await
}
