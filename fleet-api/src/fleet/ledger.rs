//! Rebuilds rows of the ledger from what the bucket says: after the database was restored from a backup, what
//! came in since lies only there. What is there already stays as it is.

use std::collections::{HashMap, HashSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use device_model::{
    outcome,
    thing_name::ThingName,
    upload::{ContentHash, UploadId},
};
use futures::{StreamExt, stream};
use serde_json::json;
use sqlx::PgPool;

use crate::{
    aws::archive::{Archive, Object},
    fleet::{actor::Actor, audit::Entry, sealing::PathKeys},
    store::{
        audit_entries,
        uploads::{self, Restored},
    },
};

/// How many objects are asked for at once.
const AT_ONCE: usize = 16;

/// What became of the objects that were looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    pub restored: usize,
    pub present: usize,
    /// Keys whose metadata makes no row; they name box and upload id, and no patient.
    pub unusable: Vec<String>,
}

/// Looks at all that was stored since then, and writes the rows that are missing.
pub async fn rebuild(
    db: &PgPool,
    archive: &dyn Archive,
    keys: &PathKeys,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> anyhow::Result<Rebuilt> {
    let (mut rebuilt, mut from) = (Rebuilt::default(), None);
    loop {
        let (objects, next) = archive.page(from).await?;
        let recent = objects.into_iter().filter(|object| object.stored_at >= since).collect();
        page(db, archive, keys, recent, &mut rebuilt).await?;
        if next.is_none() {
            break;
        }
        from = next;
    }
    let by = Actor::cli();
    let mut entry = Entry::new(now, &by, "ledger.rebuilt");
    entry.after = Some(json!({"since": since, "restored": rebuilt.restored, "present": rebuilt.present,
        "unusable": rebuilt.unusable.len()}));
    audit_entries::add(&mut *db.acquire().await?, &entry).await?;
    Ok(rebuilt)
}

async fn page(
    db: &PgPool,
    archive: &dyn Archive,
    keys: &PathKeys,
    objects: Vec<Object>,
    rebuilt: &mut Rebuilt,
) -> anyhow::Result<()> {
    let ids: Vec<String> = objects.iter().filter_map(|object| Some(id_of(&object.key)?.1)).collect();
    let known = uploads::known(&mut *db.acquire().await?, &ids).await?;
    let known: HashSet<String> = known.into_iter().collect();
    let (present, missing): (Vec<Object>, Vec<Object>) =
        objects.into_iter().partition(|object| id_of(&object.key).is_some_and(|(_, id)| known.contains(&id)));
    rebuilt.present += present.len();
    let asked = stream::iter(missing).map(async |object| {
        let metadata = archive.metadata(&object).await;
        (object, metadata)
    });
    let mut asked = asked.buffer_unordered(AT_ONCE);
    while let Some((object, metadata)) = asked.next().await {
        let Some(row) = row(&object, &metadata?, keys) else {
            rebuilt.unusable.push(object.key);
            continue;
        };
        let mut tx = db.begin().await?;
        if uploads::restore(&mut tx, &row).await? {
            rebuilt.restored += 1;
        } else {
            rebuilt.present += 1;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Thing and upload id of a key `rx/{thing}/{uploadId}`.
fn id_of(key: &str) -> Option<(ThingName, String)> {
    let (thing, id) = key.strip_prefix("rx/")?.split_once('/')?;
    Some((thing.parse().ok()?, id.parse::<UploadId>().ok()?.to_string()))
}

/// The row that an object's metadata makes. None: it does not fit the key, or the path does not open.
fn row(object: &Object, metadata: &HashMap<String, String>, keys: &PathKeys) -> Option<Restored> {
    let (thing, id) = id_of(&object.key)?;
    let upload_id: UploadId = id.parse().ok()?;
    let text = |name: &str| metadata.get(name).map(String::as_str);
    let sha256 = hex::decode(text("sha256")?).ok()?.try_into().ok().map(ContentHash)?;
    let path_sealed = STANDARD.decode(text("path-sealed")?).ok()?;
    let path = keys.open(upload_id, &path_sealed)?;
    if text("thing")? != thing.as_str() || UploadId::of(&thing, &path, sha256) != upload_id {
        return None;
    }
    let clock = match text("clock") {
        None => None,
        Some(clock) => Some(outcome::Clock::parse(clock)?.as_str()),
    };
    Some(Restored {
        upload_id: id,
        sha256: sha256.to_string(),
        size: object.size,
        version_id: object.version_id.clone(),
        object_key: object.key.clone(),
        path_key: keys.key_of(&thing, &path).to_vec(),
        path_sealed,
        received_at: object.stored_at,
        sequence: text("sequence")?.parse().ok()?,
        observed_at: text("observed-at")?.parse().ok()?,
        clock,
        thing,
    })
}
