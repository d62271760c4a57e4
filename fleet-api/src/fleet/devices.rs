//! Boxes and the pharmacies they stand in.

use chrono::{DateTime, TimeDelta, Utc};
use device_model::{
    fault::{FaultCode, Faults},
    thing_name::ThingName,
};
use serde_json::json;
use sqlx::Acquire;

use crate::{
    error::ApiError,
    fleet::{
        Fleet,
        actor::Actor,
        audit::Entry,
        device::{Device, Pharmacy},
        secret,
    },
    store::{self, audit_entries, certificates, devices, enrolment_codes, pharmacies, things},
};

const CODE_HOURS: i64 = 24;
/// As many as fit into a menu that people read.
const FOUND: i64 = 25;

/// What a new box needs to get its certificate.
pub struct Registered {
    pub thing: ThingName,
    /// Shown this once.
    pub enrolment_code: String,
    pub expires_at: DateTime<Utc>,
}

impl Fleet {
    /// Makes a thing and a one-time code for it. A thing without a certificate gets a new code, and
    /// its older codes end.
    #[tracing::instrument(name = "fleet.register", skip_all, fields(thing.name = %thing))]
    pub async fn register(
        &self,
        thing: &ThingName,
        pharmacy: Option<&str>,
        by: &Actor,
    ) -> Result<Registered, ApiError> {
        if pharmacy.is_some_and(|code| code.chars().any(char::is_control)) {
            let mut faults = Faults::default();
            faults.add("pharmacy", FaultCode::BadCharacter);
            return Err(faults.into());
        }
        let now = self.clock().now();
        let mut tx = self.db().begin().await?;
        let db = tx.acquire().await?;
        things::add(db, thing, now).await?;
        things::lock(db, thing).await?;
        if certificates::has_active(db, thing).await? {
            return Err(ApiError::ThingEnrolled(thing.clone()));
        }
        if let Some(code) = pharmacy
            && !pharmacies::assign(db, thing, code, now).await?
        {
            return Err(ApiError::UnknownPharmacy(code.to_owned()));
        }
        let (enrolment_code, expires_at) = (secret::fresh("rhe_"), now + TimeDelta::hours(CODE_HOURS));
        enrolment_codes::add(db, &secret::hash(&enrolment_code), thing, now, expires_at).await?;
        let entry = Entry::new(now, by, "device.registered").of(thing);
        audit_entries::add(db, &entry).await?;
        let created = self.parts.things.create(thing).await;
        created.map_err(|error| ApiError::unavailable("AWS IoT Core", error))?;
        tx.commit().await?;
        Ok(Registered { thing: thing.clone(), enrolment_code, expires_at })
    }

    pub async fn device(&self, thing: &ThingName) -> Result<Device, ApiError> {
        let mut db = self.db().acquire().await?;
        let device = devices::find(&mut db, thing, self.clock().now()).await?;
        device.ok_or_else(|| ApiError::UnknownThing(thing.clone()))
    }

    /// By name.
    pub async fn devices(&self, filter: &devices::Filter) -> Result<Vec<Device>, ApiError> {
        let mut db = self.db().acquire().await?;
        Ok(devices::list(&mut db, filter, self.clock().now()).await?)
    }

    /// Names what can be read now: as long as it is the same, nothing that was read has changed.
    pub async fn snapshot(&self) -> Result<String, ApiError> {
        Ok(devices::snapshot(&mut *self.db().acquire().await?).await?)
    }

    /// Boxes that a typed text may mean: the thing's own name, or part of it or of its pharmacy's
    /// code, name or kana.
    pub async fn find_boxes(&self, text: &str) -> Result<Vec<Device>, ApiError> {
        let (text, now) = (text.trim(), self.clock().now());
        let mut db = self.db().acquire().await?;
        if let Ok(thing) = text.parse()
            && let Some(device) = devices::find(&mut db, &thing, now).await?
        {
            return Ok(vec![device]);
        }
        let filter = devices::Filter {
            text: Some(text.to_owned()).filter(|text| !text.is_empty()),
            limit: FOUND,
            ..devices::Filter::default()
        };
        Ok(devices::list(&mut db, &filter, now).await?)
    }

    #[tracing::instrument(name = "fleet.add_pharmacy", skip_all)]
    pub async fn add_pharmacy(&self, pharmacy: Pharmacy, by: &Actor) -> Result<Pharmacy, ApiError> {
        let mut faults = Faults::default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        match pharmacy.code.as_str() {
            "" => faults.add("code", FaultCode::Required),
            code if code.len() > 64 => faults.add("code", FaultCode::TooLong { max: 64 }),
            code if !code.chars().all(allowed) => faults.add("code", FaultCode::BadCharacter),
            _ => {}
        }
        for (field, text) in fields(&pharmacy) {
            if text.chars().count() > 200 {
                faults.add(field, FaultCode::TooLong { max: 200 });
            } else if text.chars().any(char::is_control) {
                faults.add(field, FaultCode::BadCharacter);
            }
        }
        if pharmacy.name.trim().is_empty() {
            faults.add("name", FaultCode::Required);
        }
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

fn fields(pharmacy: &Pharmacy) -> impl Iterator<Item = (&'static str, &str)> {
    let optional = [
        ("kana", &pharmacy.kana),
        ("customerNumber", &pharmacy.customer_number),
        ("phone", &pharmacy.phone),
        ("openingHours", &pharmacy.opening_hours),
        ("receiptComputerVendor", &pharmacy.receipt_computer_vendor),
    ];
    let optional = optional.into_iter().filter_map(|(field, text)| Some((field, text.as_deref()?)));
    std::iter::once(("name", pharmacy.name.as_str())).chain(optional)
}
