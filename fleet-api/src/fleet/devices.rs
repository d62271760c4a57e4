//! Boxes: made, found and listed.

use chrono::{DateTime, TimeDelta, Utc};
use device_model::{
    fault::{FaultCode, Faults},
    thing_name::ThingName,
};
use sqlx::Acquire;

use crate::{
    error::ApiError,
    fleet::{Fleet, actor::Actor, audit::Entry, device::Device, secret},
    store::{audit_entries, certificates, devices, enrolment_codes, pharmacies, things},
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
}
