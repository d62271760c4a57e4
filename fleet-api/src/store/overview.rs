//! Questions over the whole fleet that an operator's screens ask.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use device_model::thing_name::ThingName;
use sqlx::PgConnection;

use crate::{
    fleet::change::Change,
    store::{changes::Row, presence::DEBOUNCE},
};

/// A box at a glance.
pub struct Glance {
    pub thing: String,
    pub pharmacy: Option<String>,
    pub drifts: bool,
    pub reported: bool,
    /// None: it has never been connected, as far as anybody knows.
    pub online: Option<bool>,
    pub pending: bool,
    /// How its newest change stands.
    pub last_state: Option<String>,
}

/// A box that a typed text may mean.
pub struct Found {
    pub thing: String,
    /// The text is the whole name, kana, code or customer number of its pharmacy, or the box's own name.
    pub is_exact: bool,
}

/// By pharmacy, those without one at the end.
#[tracing::instrument(name = "db.overview.boxes", skip_all)]
pub async fn boxes(db: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<Vec<Glance>> {
    sqlx::query_as!(
        Glance,
        "select t.name as thing, p.code as \"pharmacy?\", t.drift_since is not null as \"drifts!\",
             t.reported_at is not null as \"reported!\",
             t.connected or coalesce(t.disconnected_at > $1, false) and t.connected is not null as online,
             exists (select from lan_changes c where c.thing = t.name and c.closed_at is null) as \"pending!\",
             (select state from lan_changes c where c.thing = t.name order by c.seq desc limit 1) as last_state
         from things t left join assignments a on a.thing = t.name and a.to_at is null
         left join pharmacies p using (pharmacy_id)
         order by p.code nulls last, t.name",
        now - DEBOUNCE,
    )
    .fetch_all(db)
    .await
}

/// Boxes whose certificate was issued before that and that have no newer one.
#[tracing::instrument(name = "db.overview.certificates_due", skip_all)]
pub async fn certificates_due(db: &mut PgConnection, before: DateTime<Utc>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        "select count(*) as \"count!\" from (select thing from certificates where status = 'active'
             group by thing having max(issued_at) < $1) due",
        before,
    )
    .fetch_one(db)
    .await
}

/// By thing's name.
#[tracing::instrument(name = "db.overview.drifted", skip_all)]
pub async fn drifted(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "select name from things where drift_since is not null order by drift_since desc limit $1",
        limit
    )
    .fetch_all(db)
    .await
}

/// Changes that are not closed, and those that ended without effect as the last of their box; newest first.
#[tracing::instrument(name = "db.overview.pending", skip_all)]
pub async fn pending(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Change>> {
    let rows = sqlx::query_as!(
        Row,
        "select c.change_id, c.seq, c.thing, p.code as \"pharmacy?\", c.state, c.withdrawing, c.before, c.after,
                c.requested_by, c.approved_by, c.reason, c.ticket, c.replaces, c.shadow_version, c.request_hash,
                c.requested_at, c.handed_over_at is not null as \"handed_over!\", c.recovered
         from lan_changes c left join pharmacies p using (pharmacy_id)
         where c.closed_at is null
            or c.state in ('rolled_back', 'refused', 'expired')
               and not exists (select from lan_changes newer where newer.thing = c.thing and newer.seq > c.seq)
         order by c.seq desc limit $1",
        limit,
    );
    Row::into_changes(rows.fetch_all(db).await?)
}

/// Changes that wait for approval, the oldest first: it has waited longest.
#[tracing::instrument(name = "db.overview.unapproved", skip_all)]
pub async fn unapproved(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Change>> {
    let rows = sqlx::query_as!(
        Row,
        "select c.change_id, c.seq, c.thing, p.code as \"pharmacy?\", c.state, c.withdrawing, c.before, c.after,
                c.requested_by, c.approved_by, c.reason, c.ticket, c.replaces, c.shadow_version, c.request_hash,
                c.requested_at, c.handed_over_at is not null as \"handed_over!\", c.recovered
         from lan_changes c join change_approvals w using (change_id) left join pharmacies p using (pharmacy_id)
         where c.closed_at is null and w.approved_at is null
         order by c.seq limit $1",
        limit,
    );
    Row::into_changes(rows.fetch_all(db).await?)
}

/// Names of pharmacies by their codes.
#[tracing::instrument(name = "db.overview.names", skip_all)]
pub async fn names(db: &mut PgConnection, codes: &[String]) -> sqlx::Result<HashMap<String, String>> {
    let rows = sqlx::query!("select code, name from pharmacies where code = any($1)", codes);
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.code, row.name)).collect())
}

/// Boxes by what people call them: their own name, or their pharmacy's name, kana, code or customer number.
#[tracing::instrument(name = "db.overview.find", skip_all)]
pub async fn find(db: &mut PgConnection, text: &str, limit: i64) -> sqlx::Result<Vec<Found>> {
    sqlx::query_as!(
        Found,
        "with asked as (select folded($1) as text)
         select t.name as thing,
             (t.name_folded = asked.text or p.code_folded = asked.text or p.name_folded = asked.text
              or p.kana_folded = asked.text or p.customer_number = $1) is true as \"is_exact!\"
         from asked, things t left join assignments a on a.thing = t.name and a.to_at is null
         left join pharmacies p using (pharmacy_id)
         where asked.text <> '' and (strpos(t.name_folded, asked.text) > 0 or strpos(p.code_folded, asked.text) > 0
             or strpos(p.name_folded, asked.text) > 0 or strpos(p.kana_folded, asked.text) > 0
             or p.customer_number = $1)
         order by 2 desc, p.code nulls last, t.name limit $2",
        text,
        limit,
    )
    .fetch_all(db)
    .await
}

/// When the newest prescription of the box came in.
#[tracing::instrument(name = "db.overview.last_upload", skip_all, fields(thing.name = %thing))]
pub async fn last_upload(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("select max(received_at) from uploads where thing = $1", thing.as_str())
        .fetch_one(db)
        .await
}

/// When the box's certificate was issued.
#[tracing::instrument(name = "db.overview.certificate_issued", skip_all, fields(thing.name = %thing))]
pub async fn certificate_issued(
    db: &mut PgConnection,
    thing: &ThingName,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "select max(issued_at) from certificates where thing = $1 and status = 'active'",
        thing.as_str()
    )
    .fetch_one(db)
    .await
}
