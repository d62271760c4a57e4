//! Certificates of boxes: which are good, whose they are, and the sealing key pinned with each.

use chrono::{DateTime, Utc};
use device_model::thing_name::ThingName;
use sqlx::PgConnection;

#[derive(Debug)]
pub struct Certificate {
    pub thing: String,
    pub active: bool,
    /// When IoT Core was asked live.
    pub confirmed_at: Option<DateTime<Utc>>,
}

#[tracing::instrument(name = "db.certificates.add", skip_all, fields(thing.name = %thing))]
pub async fn add(
    db: &mut PgConnection,
    certificate_id: &str,
    thing: &ThingName,
    sealing_key: Option<&[u8]>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into certificates (certificate_id, thing, status, sealing_key, issued_at)
         values ($1, $2, 'active', $3, $4)",
        certificate_id,
        thing.as_str(),
        sealing_key,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

#[tracing::instrument(name = "db.certificates.find", skip_all)]
pub async fn find(db: &mut PgConnection, certificate_id: &str) -> sqlx::Result<Option<Certificate>> {
    sqlx::query_as!(
        Certificate,
        "select thing, status = 'active' as \"active!\", confirmed_at from certificates where certificate_id = $1",
        certificate_id,
    )
    .fetch_optional(db)
    .await
}

#[tracing::instrument(name = "db.certificates.confirm", skip_all)]
pub async fn confirm(db: &mut PgConnection, certificate_id: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("update certificates set confirmed_at = $2 where certificate_id = $1", certificate_id, now,)
        .execute(db)
        .await?;
    Ok(())
}

/// The thing's active certificates are no good from now on. Answers their ids.
#[tracing::instrument(name = "db.certificates.revoke_all", skip_all, fields(thing.name = %thing))]
pub async fn revoke_all(
    db: &mut PgConnection,
    thing: &ThingName,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "update certificates set status = 'revoked', revoked_at = $2
         where thing = $1 and status = 'active' returning certificate_id",
        thing.as_str(),
        now,
    )
    .fetch_all(db)
    .await
}

/// All that the thing ever had and that are revoked here.
#[tracing::instrument(name = "db.certificates.revoked_of", skip_all, fields(thing.name = %thing))]
pub async fn revoked_of(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "select certificate_id from certificates where thing = $1 and status = 'revoked'",
        thing.as_str(),
    )
    .fetch_all(db)
    .await
}

/// AWS took the revocation.
#[tracing::instrument(name = "db.certificates.told", skip_all)]
pub async fn told(db: &mut PgConnection, certificate_id: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "update certificates set told_aws_at = $2
         where certificate_id = $1 and status = 'revoked' and told_aws_at is null",
        certificate_id,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes some revocations that AWS was not told of, and puts each off, the longer, the more often it
/// was taken: until then nobody else takes it.
#[tracing::instrument(name = "db.certificates.take_untold", skip_all)]
pub async fn take_untold(db: &mut PgConnection, now: DateTime<Utc>, limit: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "update certificates set tell_attempts = tell_attempts + 1,
             tell_at = $1::timestamptz + least(30 * 2 ^ least(tell_attempts, 10), 900) * interval '1 second'
         where certificate_id in
             (select certificate_id from certificates
              where status = 'revoked' and told_aws_at is null and (tell_at is null or tell_at <= $1)
              order by tell_at nulls first limit $2 for no key update skip locked)
         returning certificate_id",
        now,
        limit,
    )
    .fetch_all(db)
    .await
}

/// A certificate and whose it is.
#[derive(Debug)]
pub struct Owned {
    pub certificate_id: String,
    pub thing: String,
}

/// Those of `ids` that were thought to be good are asked for live at their next login.
#[tracing::instrument(name = "db.certificates.doubt", skip_all)]
pub async fn doubt(db: &mut PgConnection, ids: &[String]) -> sqlx::Result<Vec<Owned>> {
    sqlx::query_as!(
        Owned,
        "update certificates set confirmed_at = null
         where certificate_id = any($1) and status = 'active' and confirmed_at is not null
         returning certificate_id, thing",
        ids,
    )
    .fetch_all(db)
    .await
}

/// The key that share passwords of this thing are sealed to.
#[tracing::instrument(name = "db.certificates.sealing_key", skip_all, fields(thing.name = %thing))]
pub async fn sealing_key(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<Option<Vec<u8>>> {
    let key = sqlx::query_scalar!(
        "select sealing_key from certificates where thing = $1 and status = 'active' and sealing_key is not null
         order by issued_at desc limit 1",
        thing.as_str(),
    );
    Ok(key.fetch_optional(db).await?.flatten())
}

#[tracing::instrument(name = "db.certificates.has_active", skip_all, fields(thing.name = %thing))]
pub async fn has_active(db: &mut PgConnection, thing: &ThingName) -> sqlx::Result<bool> {
    let row = sqlx::query!(
        "select from certificates where thing = $1 and status = 'active' limit 1",
        thing.as_str(),
    );
    Ok(row.fetch_optional(db).await?.is_some())
}
