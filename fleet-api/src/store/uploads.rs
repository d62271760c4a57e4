//! The ledger: what is in the bucket, and what was seen when.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use device_model::thing_name::ThingName;

/// What a receipt is made of.
#[derive(Debug, Clone)]
pub struct Stored {
    pub thing: String,
    pub sha256: String,
    pub size: i64,
    pub version_id: String,
    pub received_at: DateTime<Utc>,
}

/// An upload as it is shown; never its path. One content of a path is `current`: that of the highest
/// sequence, and of two with the same one, which only a box that lost count sends, the later to come in.
#[derive(Debug, Clone)]
pub struct Row {
    pub upload_id: String,
    pub thing: String,
    pub pharmacy: Option<String>,
    pub sha256: String,
    pub size: i64,
    pub observed_at: DateTime<Utc>,
    /// How far that can be trusted, if the box said so.
    pub clock: Option<String>,
    pub received_at: DateTime<Utc>,
    pub object_key: String,
    pub current: bool,
    /// The upload of another box of the same pharmacy that brought the same content first.
    pub duplicate_of: Option<String>,
}

pub struct NewUpload<'a> {
    pub upload_id: &'a str,
    pub thing: &'a ThingName,
    pub sha256: &'a str,
    pub size: i64,
    pub version_id: &'a str,
    pub object_key: &'a str,
    pub path_sealed: &'a [u8],
    pub path_key: &'a [u8],
    pub now: DateTime<Utc>,
}

/// When and in which order the upload's content was seen at its path.
pub struct NewObservation<'a> {
    pub sequence: i64,
    pub observed_at: DateTime<Utc>,
    pub clock: Option<&'a str>,
}

/// Which uploads are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub thing: Option<String>,
    pub pharmacy: Option<String>,
    /// Only uploads before this one, in the list's order.
    pub before: Option<(DateTime<Utc>, String)>,
    pub limit: i64,
}

#[tracing::instrument(name = "db.uploads.stored", skip_all, fields(upload.id = %upload_id))]
pub async fn stored(db: &mut PgConnection, upload_id: &str) -> sqlx::Result<Option<Stored>> {
    sqlx::query_as!(
        Stored,
        "select thing, sha256, size, version_id, received_at from uploads where upload_id = $1",
        upload_id,
    )
    .fetch_optional(db)
    .await
}

/// Adds the upload, unless it is there already, and what was seen, unless that was told already. Answers
/// what stands in the ledger then, and true if it was added. One statement, since each one is a way to the
/// database and back.
#[tracing::instrument(name = "db.uploads.enter", skip_all, fields(upload.id = %upload.upload_id))]
pub async fn enter(
    db: &mut PgConnection,
    upload: &NewUpload<'_>,
    observation: &NewObservation<'_>,
) -> sqlx::Result<Option<(Stored, bool)>> {
    let entered = sqlx::query!(
        "with added as (
             insert into uploads
                 (upload_id, thing, pharmacy_id, sha256, size, version_id, object_key, path_sealed, path_key, received_at)
             values ($1, $2, (select pharmacy_id from assignments where thing = $2 and to_at is null),
                 $3, $4, $5, $6, $7, $8, $9)
             on conflict on constraint uploads_pkey do nothing
             returning thing, sha256, size, version_id, received_at
         ), observed as (
             insert into observations (upload_id, thing, path_key, sequence, observed_at, clock, received_at)
             values ($1, $2, $8, $10, $11, $12, $9) on conflict on constraint observations_once do nothing
         )
         select thing as \"thing!\", sha256 as \"sha256!\", size as \"size!\", version_id as \"version_id!\",
             received_at as \"received_at!\", true as \"first!\" from added
         union all
         select thing, sha256, size, version_id, received_at, false from uploads where upload_id = $1",
        upload.upload_id,
        upload.thing.as_str(),
        upload.sha256,
        upload.size,
        upload.version_id,
        upload.object_key,
        upload.path_sealed,
        upload.path_key,
        upload.now,
        observation.sequence,
        observation.observed_at,
        observation.clock,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = entered else {
        // Somebody else added it after this statement began: only the next one sees that.
        return Ok(stored(db, upload.upload_id).await?.map(|stored| (stored, false)));
    };
    let (thing, sha256, size) = (row.thing, row.sha256, row.size);
    let (version_id, received_at) = (row.version_id, row.received_at);
    Ok(Some((Stored { thing, sha256, size, version_id, received_at }, row.first)))
}

/// A row as the bucket tells of it.
pub struct Restored {
    pub upload_id: String,
    pub thing: ThingName,
    pub sha256: String,
    pub size: i64,
    pub version_id: String,
    pub object_key: String,
    pub path_sealed: Vec<u8>,
    pub path_key: Vec<u8>,
    pub received_at: DateTime<Utc>,
    pub sequence: i64,
    pub observed_at: DateTime<Utc>,
    pub clock: Option<&'static str>,
}

/// Which of these the ledger has.
#[tracing::instrument(name = "db.uploads.known", skip_all)]
pub async fn known(db: &mut PgConnection, ids: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!("select upload_id from uploads where upload_id = any($1)", ids).fetch_all(db).await
}

/// Writes a row that was lost, with the box it names if that was lost too. False: it is there already.
#[tracing::instrument(name = "db.uploads.restore", skip_all, fields(upload.id = %row.upload_id))]
pub async fn restore(db: &mut PgConnection, row: &Restored) -> sqlx::Result<bool> {
    sqlx::query!(
        "insert into things (name, created_at) values ($1, $2) on conflict on constraint things_pkey do nothing",
        row.thing.as_str(),
        row.received_at,
    )
    .execute(&mut *db)
    .await?;
    let added = sqlx::query!(
        "insert into uploads
             (upload_id, thing, pharmacy_id, sha256, size, version_id, object_key, path_sealed, path_key, received_at)
         values ($1, $2, (select pharmacy_id from assignments where thing = $2
                 and from_at <= $9 and (to_at is null or to_at > $9)),
             $3, $4, $5, $6, $7, $8, $9)
         on conflict on constraint uploads_pkey do nothing",
        row.upload_id,
        row.thing.as_str(),
        row.sha256,
        row.size,
        row.version_id,
        row.object_key,
        row.path_sealed,
        row.path_key,
        row.received_at,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into observations (upload_id, thing, path_key, sequence, observed_at, clock, received_at)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict on constraint observations_once do nothing",
        row.upload_id,
        row.thing.as_str(),
        row.path_key,
        row.sequence,
        row.observed_at,
        row.clock,
        row.received_at,
    )
    .execute(&mut *db)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// The highest sequence that the thing has used.
#[tracing::instrument(name = "db.uploads.sequence_floor", skip_all, fields(thing.name = %thing))]
pub async fn sequence_floor(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<i64> {
    let floor = sqlx::query_scalar!(
        "select sequence from observations where thing = $1 order by sequence desc limit 1",
        thing.as_str(),
    );
    Ok(floor.fetch_optional(db).await?.unwrap_or(0))
}

#[tracing::instrument(name = "db.uploads.find", skip_all, fields(upload.id = %upload_id))]
pub async fn find(db: &mut PgConnection, upload_id: &str) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        "select u.upload_id, u.thing, p.code as \"pharmacy?\", u.sha256, u.size, o.observed_at, o.clock,
             u.received_at, u.object_key,
             not exists (select from observations later where later.thing = u.thing
                 and later.path_key = u.path_key
                   and (later.sequence, later.observation_id) > (o.sequence, o.observation_id)) as \"current!\",
             (select d.upload_id from uploads d where d.pharmacy_id = u.pharmacy_id and d.sha256 = u.sha256
                 and d.thing <> u.thing and (d.received_at, d.upload_id) < (u.received_at, u.upload_id)
              order by d.received_at, d.upload_id limit 1) as duplicate_of
         from uploads u left join pharmacies p using (pharmacy_id)
         join lateral (select observation_id, sequence, observed_at, clock from observations
                       where upload_id = u.upload_id order by sequence desc, observation_id desc limit 1) o on true
         where u.upload_id = $1",
        upload_id,
    )
    .fetch_optional(db)
    .await
}

/// The sealed path, and whose upload it is.
#[tracing::instrument(name = "db.uploads.sealed_path", skip_all, fields(upload.id = %upload_id))]
pub async fn sealed_path(db: &mut PgConnection, upload_id: &str) -> sqlx::Result<Option<(String, Vec<u8>)>> {
    let row = sqlx::query!("select thing, path_sealed from uploads where upload_id = $1", upload_id);
    Ok(row.fetch_optional(db).await?.map(|row| (row.thing, row.path_sealed)))
}

/// Newest first.
#[tracing::instrument(name = "db.uploads.list", skip_all)]
pub async fn list(db: &mut PgConnection, filter: &Filter) -> sqlx::Result<Vec<Row>> {
    let (at, id) = filter.before.clone().unzip();
    sqlx::query_as!(
        Row,
        "select u.upload_id, u.thing, p.code as \"pharmacy?\", u.sha256, u.size, o.observed_at, o.clock,
             u.received_at, u.object_key,
             not exists (select from observations later where later.thing = u.thing
                 and later.path_key = u.path_key
                   and (later.sequence, later.observation_id) > (o.sequence, o.observation_id)) as \"current!\",
             (select d.upload_id from uploads d where d.pharmacy_id = u.pharmacy_id and d.sha256 = u.sha256
                 and d.thing <> u.thing and (d.received_at, d.upload_id) < (u.received_at, u.upload_id)
              order by d.received_at, d.upload_id limit 1) as duplicate_of
         from uploads u left join pharmacies p using (pharmacy_id)
         join lateral (select observation_id, sequence, observed_at, clock from observations
                       where upload_id = u.upload_id order by sequence desc, observation_id desc limit 1) o on true
         where ($1::text is null or u.thing = $1) and ($2::text is null or p.code = $2)
           and ($3::timestamptz is null or (u.received_at, u.upload_id) < ($3, $4::text))
         order by u.received_at desc, u.upload_id desc limit $5",
        filter.thing,
        filter.pharmacy,
        at,
        id,
        filter.limit,
    )
    .fetch_all(db)
    .await
}
