//! Boxes as they are shown: each with where it stands, whether it is connected and how it says it is.

use chrono::{DateTime, Utc};
use device_model::{status::Status, thing_name::ThingName};
use serde_json::Value;
use sqlx::PgConnection;

use super::{presence::DEBOUNCE, takeovers::ALARMING, things::readable};
use crate::fleet::device::{Connection, Device, DeviceState, Pharmacy};

/// Which boxes are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The code of a pharmacy where the box stands, or stood at any time.
    pub pharmacy: Option<String>,
    /// Only those that stand there now.
    pub now_there: bool,
    /// Part of the thing's name, or of its pharmacy's code, name or kana.
    pub text: Option<String>,
    pub tag: Option<String>,
    pub state: Option<DeviceState>,
    pub online: Option<bool>,
    /// An alarm that the box raises, or `DUPLICATE_CLIENTID`.
    pub alarm: Option<String>,
    /// Only names after this one.
    pub after: String,
    pub limit: i64,
}

#[tracing::instrument(name = "db.devices.find", skip_all, fields(thing.name = %thing))]
pub async fn find(
    db: &mut PgConnection,
    thing: &ThingName,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Device>> {
    let row = sqlx::query_as!(
        Row,
        "select t.name, t.created_at, t.reported, t.reported_at, t.drift_since, t.foreign_desired_at, t.duplicate_client_at, t.tags,
             t.connected, t.connection_at, t.disconnected_at, t.disconnect_reason, t.seen_at, t.status, t.status_at,
             t.connected or coalesce(t.disconnected_at > $2, false) and t.connected is not null as online,
             a.from_at as \"stands_since?\", p.code as \"code?\",
             p.name as \"pharmacy_name?\", p.kana, p.customer_number, p.phone, p.opening_hours,
             p.receipt_computer_vendor,
             (select change_id from lan_changes c where c.thing = t.name and c.closed_at is null
              order by c.seq desc limit 1) as open_change,
             (select min(status) from certificates c where c.thing = t.name) as certificate
         from things t left join assignments a on a.thing = t.name and a.to_at is null
         left join pharmacies p using (pharmacy_id) where t.name = $1",
        thing.as_str(),
        now - DEBOUNCE,
    )
    .fetch_optional(db)
    .await?;
    row.map(Row::into_device).transpose()
}

/// By name.
#[tracing::instrument(name = "db.devices.list", skip_all)]
pub async fn list(db: &mut PgConnection, filter: &Filter, now: DateTime<Utc>) -> sqlx::Result<Vec<Device>> {
    let certificate = filter.state.map(DeviceState::certificate);
    // Both sides of the join begin after the last page: Postgres would read the other from its beginning.
    let rows = sqlx::query_as!(
        Row,
        "select t.name, t.created_at, t.reported, t.reported_at, t.drift_since, t.foreign_desired_at, t.duplicate_client_at, t.tags,
             t.connected, t.connection_at, t.disconnected_at, t.disconnect_reason, t.seen_at, t.status, t.status_at,
             t.connected or coalesce(t.disconnected_at > $9, false) and t.connected is not null as online,
             a.from_at as \"stands_since?\", p.code as \"code?\",
             p.name as \"pharmacy_name?\", p.kana, p.customer_number, p.phone, p.opening_hours,
             p.receipt_computer_vendor,
             (select change_id from lan_changes c where c.thing = t.name and c.closed_at is null
              order by c.seq desc limit 1) as open_change,
             (select min(status) from certificates c where c.thing = t.name) as certificate
         from things t left join assignments a on a.thing = t.name and a.to_at is null and a.thing > $1
         left join pharmacies p using (pharmacy_id)
         where t.name > $1
           and ($2::text is null or t.name in
                (select h.thing from assignments h join pharmacies hp using (pharmacy_id)
                 where hp.code = $2 and (h.to_at is null or not $3)))
           and ($4::text is null or strpos(lower(t.name), lower($4)) > 0 or strpos(lower(p.code), lower($4)) > 0
                or strpos(p.name, $4) > 0 or strpos(p.kana, $4) > 0 or p.customer_number = $4)
           and ($5::text is null or t.tags @> array[$5])
           and ($6::text is null or $6 = coalesce(
                (select min(status) from certificates c where c.thing = t.name), 'none'))
           and ($7::boolean is null
                or $7 = (coalesce(t.connected, false) or coalesce(t.disconnected_at > $9, false)))
           and ($8::text is null or t.status->'alarms' @> to_jsonb($8::text)
                or $8 = 'DUPLICATE_CLIENTID' and t.duplicate_client_at > $11)
         order by t.name limit $10",
        filter.after,
        filter.pharmacy,
        filter.now_there,
        filter.text,
        filter.tag,
        certificate,
        filter.online,
        filter.alarm,
        now - DEBOUNCE,
        filter.limit,
        now - ALARMING,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Row::into_device).collect()
}

/// Postgres's own name of what is committed now.
#[tracing::instrument(name = "db.devices.snapshot", skip_all)]
pub async fn snapshot(db: &mut PgConnection) -> sqlx::Result<String> {
    sqlx::query_scalar!("select pg_current_snapshot()::text as \"snapshot!\"").fetch_one(db).await
}

struct Row {
    name: String,
    created_at: DateTime<Utc>,
    reported: Option<Value>,
    reported_at: Option<DateTime<Utc>>,
    drift_since: Option<DateTime<Utc>>,
    foreign_desired_at: Option<DateTime<Utc>>,
    duplicate_client_at: Option<DateTime<Utc>>,
    tags: Vec<String>,
    connected: Option<bool>,
    connection_at: Option<DateTime<Utc>>,
    disconnected_at: Option<DateTime<Utc>>,
    disconnect_reason: Option<String>,
    seen_at: Option<DateTime<Utc>>,
    status: Option<Value>,
    status_at: Option<DateTime<Utc>>,
    online: Option<bool>,
    stands_since: Option<DateTime<Utc>>,
    code: Option<String>,
    pharmacy_name: Option<String>,
    kana: Option<String>,
    customer_number: Option<String>,
    phone: Option<String>,
    opening_hours: Option<String>,
    receipt_computer_vendor: Option<String>,
    open_change: Option<String>,
    certificate: Option<String>,
}

impl Row {
    fn into_device(self) -> sqlx::Result<Device> {
        let undecodable = |error| sqlx::Error::Decode(Box::new(error));
        let open_change = self.open_change.map(|id| id.parse()).transpose();
        let reported = self.reported.and_then(readable).map(|mut reported| {
            if let Some(share) = &mut reported.share {
                share.password_sealed = None;
            }
            reported
        });
        let connection = self.connected.zip(self.connection_at).map(|(connected, at)| Connection {
            online: self.online.unwrap_or(connected),
            since: at,
            disconnected_at: self.disconnected_at,
            disconnect_reason: self.disconnect_reason,
        });
        Ok(Device {
            thing: self.name.parse().map_err(undecodable)?,
            created_at: self.created_at,
            pharmacy: self.code.zip(self.pharmacy_name).map(|(code, name)| Pharmacy {
                code,
                name,
                kana: self.kana,
                customer_number: self.customer_number,
                phone: self.phone,
                opening_hours: self.opening_hours,
                receipt_computer_vendor: self.receipt_computer_vendor,
            }),
            stands_since: self.stands_since,
            tags: self.tags,
            reported,
            reported_at: self.reported_at,
            drift_since: self.drift_since,
            foreign_desired_at: self.foreign_desired_at,
            duplicate_client_at: self.duplicate_client_at,
            connection,
            seen_at: self.seen_at,
            status: self.status.and_then(|status| serde_json::from_value::<Status>(status).ok()),
            status_at: self.status_at,
            open_change: open_change.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            // `active` sorts before `revoked`.
            state: DeviceState::of(self.certificate.as_deref()),
        })
    }
}
