//! Pharmacies, and which box stood in which one when.

use chrono::{DateTime, Utc};
use device_model::thing_name::ThingName;
use sqlx::PgConnection;

use crate::fleet::device::{Assignment, Pharmacy};

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

/// As [`find`], and nobody edits it until the transaction ends.
#[tracing::instrument(name = "db.pharmacies.hold", skip_all)]
pub async fn hold(db: &mut PgConnection, code: &str) -> sqlx::Result<Option<Pharmacy>> {
    sqlx::query_as!(
        Pharmacy,
        "select code, name, kana, customer_number, phone, opening_hours, receipt_computer_vendor
         from pharmacies where code = $1 for no key update",
        code,
    )
    .fetch_optional(db)
    .await
}

#[tracing::instrument(name = "db.pharmacies.edit", skip_all)]
pub async fn edit(db: &mut PgConnection, pharmacy: &Pharmacy) -> sqlx::Result<()> {
    sqlx::query!(
        "update pharmacies set name = $2, kana = $3, customer_number = $4, phone = $5, opening_hours = $6,
             receipt_computer_vendor = $7
         where code = $1",
        pharmacy.code,
        pharmacy.name,
        pharmacy.kana,
        pharmacy.customer_number,
        pharmacy.phone,
        pharmacy.opening_hours,
        pharmacy.receipt_computer_vendor,
    )
    .execute(db)
    .await?;
    Ok(())
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
/// such pharmacy. The caller holds the thing's lock.
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
    let stands = sqlx::query!(
        "select from assignments where thing = $1 and pharmacy_id = $2 and to_at is null",
        thing.as_str(),
        pharmacy_id,
    );
    if stands.fetch_optional(&mut *db).await?.is_some() {
        return Ok(true);
    }
    leave(db, thing, now).await?;
    // Clocks of two replicas may disagree: nowhere does it begin to stand before it has left.
    sqlx::query!(
        "insert into assignments (thing, pharmacy_id, from_at)
         select $1, $2, greatest($3, max(to_at)) from assignments where thing = $1",
        thing.as_str(),
        pharmacy_id,
        now,
    )
    .execute(db)
    .await?;
    Ok(true)
}

/// From now on the thing stands nowhere. Answers the code of the pharmacy where it stood.
#[tracing::instrument(name = "db.pharmacies.leave", skip_all, fields(thing.name = %thing))]
pub async fn leave(
    db: &mut PgConnection,
    thing: &ThingName,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "update assignments a set to_at = greatest($2, a.from_at + interval '1 microsecond') from pharmacies p
         where a.thing = $1 and a.to_at is null and p.pharmacy_id = a.pharmacy_id returning p.code",
        thing.as_str(),
        now,
    )
    .fetch_optional(db)
    .await
}

/// The code of the pharmacy where the thing stands.
#[tracing::instrument(name = "db.pharmacies.place_of", skip_all, fields(thing.name = %thing))]
pub async fn place_of(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "select p.code from assignments a join pharmacies p using (pharmacy_id)
         where a.thing = $1 and a.to_at is null",
        thing.as_str(),
    )
    .fetch_optional(db)
    .await
}

/// Where the thing has stood, newest first.
#[tracing::instrument(name = "db.pharmacies.places_of", skip_all, fields(thing.name = %thing))]
pub async fn places_of(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<Vec<Assignment>> {
    sqlx::query_as!(
        Assignment,
        "select a.thing, p.code as pharmacy, a.from_at as \"from\", a.to_at as \"to\"
         from assignments a join pharmacies p using (pharmacy_id)
         where a.thing = $1 order by a.from_at desc limit 200",
        thing.as_str(),
    )
    .fetch_all(db)
    .await
}

/// Which boxes have stood in the pharmacy, newest first.
#[tracing::instrument(name = "db.pharmacies.boxes_of", skip_all)]
pub async fn boxes_of(db: &mut PgConnection, code: &str) -> sqlx::Result<Vec<Assignment>> {
    sqlx::query_as!(
        Assignment,
        "select a.thing, p.code as pharmacy, a.from_at as \"from\", a.to_at as \"to\"
         from assignments a join pharmacies p using (pharmacy_id)
         where p.code = $1 order by a.from_at desc limit 200",
        code,
    )
    .fetch_all(db)
    .await
}
