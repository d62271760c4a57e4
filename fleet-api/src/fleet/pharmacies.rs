//! Pharmacies: what is known of each. Which box stands in which one is [`super::places`]'s.

use device_model::fault::{FaultCode, Faults};
use serde_json::{Map, Value, json};
use sqlx::Acquire;

use crate::{
    error::ApiError,
    fleet::{Fleet, actor::Actor, audit::Entry, changes, device::Pharmacy},
    store::{self, audit_entries, pharmacies},
};

const MAX_CODE: usize = 64;
const MAX_TEXT: usize = 200;

/// What is to be another way; a text that is taken away is `Some(None)`. The code stays: others refer to it.
#[derive(Debug, Default)]
pub struct Edit {
    pub name: Option<Option<String>>,
    pub kana: Option<Option<String>>,
    pub customer_number: Option<Option<String>>,
    pub phone: Option<Option<String>>,
    pub opening_hours: Option<Option<String>>,
    pub receipt_computer_vendor: Option<Option<String>>,
}

impl Fleet {
    #[tracing::instrument(name = "fleet.add_pharmacy", skip_all)]
    pub async fn add_pharmacy(&self, pharmacy: Pharmacy, by: &Actor) -> Result<Pharmacy, ApiError> {
        let mut faults = Faults::default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        match pharmacy.code.as_str() {
            "" => faults.add("code", FaultCode::Required),
            code if code.len() > MAX_CODE => faults.add("code", FaultCode::TooLong { max: MAX_CODE }),
            code if !code.chars().all(allowed) => faults.add("code", FaultCode::BadCharacter),
            _ => {}
        }
        faults.extend(judge(&pharmacy));
        let pharmacy = faults.unless_any(pharmacy)?;
        let now = self.clock().now();
        let mut tx = self.db().begin().await?;
        pharmacies::add(&mut tx, &pharmacy, now).await.map_err(|error| match store::constraint(&error) {
            Some("pharmacies_code_unique") => ApiError::PharmacyExists(pharmacy.code.clone()),
            _ => error.into(),
        })?;
        let mut entry = Entry::new(now, by, "pharmacy.added");
        entry.pharmacy = Some(&pharmacy.code);
        entry.after = Some(json!({"code": pharmacy.code, "name": pharmacy.name}));
        audit_entries::add(&mut tx, &entry).await?;
        tx.commit().await?;
        Ok(pharmacy)
    }

    /// Changes what is told, and leaves the rest. `if_match` is the `ETag` that the edit was made from.
    #[tracing::instrument(name = "fleet.edit_pharmacy", skip_all)]
    pub async fn edit_pharmacy(
        &self,
        code: &str,
        edit: Edit,
        if_match: Option<&str>,
        by: &Actor,
    ) -> Result<Pharmacy, ApiError> {
        let now = self.clock().now();
        let mut tx = self.db().begin().await?;
        let db = tx.acquire().await?;
        let before = pharmacies::hold(db, code).await?;
        let before = before.ok_or_else(|| ApiError::UnknownPharmacy(code.to_owned()))?;
        if if_match.is_some_and(|wanted| !changes::etag_matches(wanted, &before.etag())) {
            return Err(ApiError::EtagMismatch);
        }
        let after = edit.of(before.clone());
        let after = judge(&after).unless_any(after)?;
        let differs = difference(&before, &after);
        if differs.0.is_empty() {
            return Ok(before);
        }
        pharmacies::edit(db, &after).await?;
        let mut entry = Entry::new(now, by, "pharmacy.edited");
        entry.pharmacy = Some(code);
        (entry.before, entry.after) = (Some(differs.0.into()), Some(differs.1.into()));
        audit_entries::add(db, &entry).await?;
        tx.commit().await?;
        Ok(after)
    }

    pub async fn pharmacy(&self, code: &str) -> Result<Pharmacy, ApiError> {
        let mut db = self.db().acquire().await?;
        let pharmacy = pharmacies::find(&mut db, code).await?;
        pharmacy.ok_or_else(|| ApiError::UnknownPharmacy(code.to_owned()))
    }

    /// By code, after `after`.
    pub async fn pharmacies(&self, after: &str, limit: i64) -> Result<Vec<Pharmacy>, ApiError> {
        let mut db = self.db().acquire().await?;
        Ok(pharmacies::list(&mut db, after, limit).await?)
    }
}

impl Edit {
    /// A name that is taken away is one that is missing.
    fn of(self, pharmacy: Pharmacy) -> Pharmacy {
        Pharmacy {
            code: pharmacy.code,
            name: self.name.map_or(pharmacy.name, Option::unwrap_or_default),
            kana: self.kana.unwrap_or(pharmacy.kana),
            customer_number: self.customer_number.unwrap_or(pharmacy.customer_number),
            phone: self.phone.unwrap_or(pharmacy.phone),
            opening_hours: self.opening_hours.unwrap_or(pharmacy.opening_hours),
            receipt_computer_vendor: self.receipt_computer_vendor.unwrap_or(pharmacy.receipt_computer_vendor),
        }
    }
}

impl Pharmacy {
    /// Of everything that is known of it.
    pub fn etag(&self) -> String {
        changes::etag(&json!([self.code, fields(self).map(|(_, text)| text)]))
    }
}

fn judge(pharmacy: &Pharmacy) -> Faults {
    let mut faults = Faults::default();
    for (field, text) in fields(pharmacy) {
        let text = text.unwrap_or_default();
        if text.chars().count() > MAX_TEXT {
            faults.add(field, FaultCode::TooLong { max: MAX_TEXT });
        } else if text.chars().any(char::is_control) {
            faults.add(field, FaultCode::BadCharacter);
        }
    }
    if pharmacy.name.trim().is_empty() {
        faults.add("name", FaultCode::Required);
    }
    faults
}

/// Only what is another way, before and after.
fn difference(before: &Pharmacy, after: &Pharmacy) -> (Map<String, Value>, Map<String, Value>) {
    let fields = fields(before).into_iter().zip(fields(after)).filter(|(old, new)| old != new);
    fields
        .map(|((name, old), (_, new))| ((name.to_owned(), json!(old)), (name.to_owned(), json!(new))))
        .unzip()
}

fn fields(pharmacy: &Pharmacy) -> [(&'static str, Option<&str>); 6] {
    [
        ("name", Some(&pharmacy.name)),
        ("kana", pharmacy.kana.as_deref()),
        ("customerNumber", pharmacy.customer_number.as_deref()),
        ("phone", pharmacy.phone.as_deref()),
        ("openingHours", pharmacy.opening_hours.as_deref()),
        ("receiptComputerVendor", pharmacy.receipt_computer_vendor.as_deref()),
    ]
}
