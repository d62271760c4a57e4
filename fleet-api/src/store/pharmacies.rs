//! Pharmacies, and which box stood in which one when.

use chrono::{DateTime, Utc};
use device_model::thing_name::ThingName;
use sqlx::PgConnection;

use crate::fleet::device::Pharmacy;

#[tracing::instrument(name = "db.pharmacies.add", skip_all)]
pub async fn add(db: &mut PgConnection, pharmacy: &Pharmacy, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into pharmacies
             (code, name, kana, customer_number, phone, opening_hours, receipt_computer_vendor, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        pharmacy.code,
        pharmacy.name,
        pharmacy.kana,
        pharmacy.customer_number,
        pharmacy.phone,
        pharmacy.opening_hours,
        pharmacy.receipt_computer_vendor,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

#[tracing::instrument(name = "db.pharmacies.find", skip_all)]
pub async fn find(db: &mut PgConnection, code: &str) -> sqlx::Result<Option<Pharmacy>> {
    sqlx::query_as!(
        Pharmacy,
        "select code, name, kana, customer_number, phone, opening_hours, receipt_computer_vendor
         from pharmacies where code = $1",
        code,
    )
    .fetch_optional(db)
    .await
}

/// By code, after `after`.
#[tracing::instrument(name = "db.pharmacies.list", skip_all)]
pub async fn list(db: &mut PgConnection, after: &str, limit: i64) -> sqlx::Result<Vec<Pharmacy>> {
    sqlx::query_as!(
        Pharmacy,
        "select code, name, kana, customer_number, phone, opening_hours, receipt_computer_vendor
         from pharmacies where code > $1 order by code limit $2",
        after,
        limit,
    )
    .fetch_all(db)
    .await
}

/// From now on the thing stands in the pharmacy; where it stood before ends now. False: there is no
/// such pharmacy.
#[tracing::instrument(name = "db.pharmacies.assign", skip_all, fields(thing.name = %thing))]
pub async fn assign(
    db: &mut PgConnection,
    thing: &ThingName,
    code: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let pharmacy = sqlx::query_scalar!("select pharmacy_id from pharmacies where code = $1", code);
    let Some(pharmacy_id) = pharmacy.fetch_optional(&mut *db).await? else {
        return Ok(false);
    };
    sqlx::query!(
        "update assignments set to_at = $3 where thing = $1 and to_at is null and pharmacy_id <> $2",
        thing.as_str(),
        pharmacy_id,
        now,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into assignments (thing, pharmacy_id, from_at)
         select $1, $2, $3 where not exists (select from assignments where thing = $1 and to_at is null)",
        thing.as_str(),
        pharmacy_id,
        now,
    )
    .execute(db)
    .await?;
    Ok(true)
}
