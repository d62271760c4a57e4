//! Where boxes stand: moved to another pharmacy, replaced by another box. History stays where it happened.

use chrono::{DateTime, Utc};
use device_model::{
    fault::{FaultCode, Faults},
    thing_name::ThingName,
};
use serde_json::json;
use sqlx::{Acquire, PgConnection};

use crate::{
    error::ApiError,
    fleet::{Fleet, actor::Actor, audit::Entry, device::Assignment},
    store::{audit_entries, pharmacies, things},
};

const MAX_TAGS: usize = 20;
const MAX_TAG: usize = 64;

impl Fleet {
    /// The box stands in another pharmacy from now on, or nowhere.
    #[tracing::instrument(name = "fleet.move_box", skip_all, fields(thing.name = %thing))]
    pub async fn move_box(
        &self,
        thing: &ThingName,
        pharmacy: Option<&str>,
        by: &Actor,
        reason: Option<&str>,
    ) -> Result<(), ApiError> {
        let now = self.clock().now();
        let mut tx = self.db().begin().await?;
        let db = tx.acquire().await?;
        if !things::lock(db, thing).await? {
            return Err(ApiError::UnknownThing(thing.clone()));
        }
        put(db, thing, pharmacy, by, reason, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Another box takes the place of `thing`, which stands nowhere from now on. Its certificate stays
    /// good, so that it can still send what it holds, until somebody revokes it.
    #[tracing::instrument(name = "fleet.replace", skip_all, fields(thing.name = %thing))]
    pub async fn replace(
        &self,
        thing: &ThingName,
        with: &ThingName,
        by: &Actor,
        reason: Option<&str>,
    ) -> Result<Option<String>, ApiError> {
        if thing == with {
            let mut faults = Faults::default();
            faults.add("with", FaultCode::NotAllowedHere);
            return Err(faults.into());
        }
        let now = self.clock().now();
        let mut tx = self.db().begin().await?;
        let db = tx.acquire().await?;
        // In one order, whoever replaces whom.
        for one in if thing < with { [thing, with] } else { [with, thing] } {
            if !things::lock(db, one).await? {
                return Err(ApiError::UnknownThing(one.clone()));
            }
        }
        let place = pharmacies::place_of(db, thing).await?;
        let mut entry = Entry::new(now, by, "device.replaced").of(thing);
        entry.after = Some(json!({"with": with, "pharmacy": place}));
        entry.reason = reason;
        audit_entries::add(db, &entry).await?;
        put(db, thing, None, by, reason, now).await?;
        if place.is_some() {
            put(db, with, place.as_deref(), by, reason, now).await?;
        }
        tx.commit().await?;
        Ok(place)
    }

    /// Where the box has stood, newest first.
    pub async fn places_of(&self, thing: &ThingName) -> Result<Vec<Assignment>, ApiError> {
        let mut db = self.db().acquire().await?;
        Ok(pharmacies::places_of(&mut db, thing).await?)
    }

    /// Which boxes have stood in the pharmacy, newest first.
    pub async fn boxes_of(&self, pharmacy: &str) -> Result<Vec<Assignment>, ApiError> {
        let mut db = self.db().acquire().await?;
        Ok(pharmacies::boxes_of(&mut db, pharmacy).await?)
    }

    /// Replaces the box's tags.
    #[tracing::instrument(name = "fleet.set_tags", skip_all, fields(thing.name = %thing))]
    pub async fn set_tags(
        &self,
        thing: &ThingName,
        mut tags: Vec<String>,
        by: &Actor,
    ) -> Result<Vec<String>, ApiError> {
        let mut faults = Faults::default();
        if tags.len() > MAX_TAGS {
            faults.add("tags", FaultCode::TooMany { max: MAX_TAGS });
        }
        for (index, tag) in tags.iter().enumerate() {
            let allowed = |c: char| !c.is_control() && c != ',';
            if tag.trim().is_empty() {
                faults.add(format!("tags[{index}]"), FaultCode::Required);
            } else if tag.chars().count() > MAX_TAG {
                faults.add(format!("tags[{index}]"), FaultCode::TooLong { max: MAX_TAG });
            } else if !tag.chars().all(allowed) {
                faults.add(format!("tags[{index}]"), FaultCode::BadCharacter);
            }
        }
        faults.unless_any(())?;
        tags.sort();
        tags.dedup();
        let mut tx = self.db().begin().await?;
        let before = things::set_tags(&mut tx, thing, &tags).await?;
        let before = before.ok_or_else(|| ApiError::UnknownThing(thing.clone()))?;
        if before != tags {
            let mut entry = Entry::new(self.clock().now(), by, "device.tagged").of(thing);
            entry.before = Some(json!({"tags": before}));
            entry.after = Some(json!({"tags": tags}));
            audit_entries::add(&mut tx, &entry).await?;
        }
        tx.commit().await?;
        Ok(tags)
    }
}

/// Puts the thing somewhere or nowhere, with its entry; to stand where it stands is nothing to tell.
async fn put(
    db: &mut PgConnection,
    thing: &ThingName,
    pharmacy: Option<&str>,
    by: &Actor,
    reason: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), ApiError> {
    let before = pharmacies::place_of(db, thing).await?;
    if before.as_deref() == pharmacy {
        return Ok(());
    }
    match pharmacy {
        None => drop(pharmacies::leave(db, thing, now).await?),
        Some(code) if pharmacies::assign(db, thing, code, now).await? => {}
        Some(code) => return Err(ApiError::UnknownPharmacy(code.to_owned())),
    }
    let mut entry = Entry::new(now, by, "device.moved").of(thing);
    entry.pharmacy = pharmacy.or(before.as_deref());
    entry.before = Some(json!({"pharmacy": before}));
    entry.after = Some(json!({"pharmacy": pharmacy}));
    entry.reason = reason;
    audit_entries::add(db, &entry).await?;
    Ok(())
}
