//! Pages that give a box's share a new password and show it once.

use chrono::{DateTime, Utc};
use device_model::thing_name::ThingName;
use sqlx::PgConnection;

pub struct Row {
    pub thing: String,
    pub user_id: String,
    pub lang: String,
    pub expires_at: DateTime<Utc>,
    pub browser_hash: Option<Vec<u8>>,
    pub number: Option<i32>,
    pub wrong: i32,
    pub confirmed_at: Option<DateTime<Utc>>,
    pub shown_at: Option<DateTime<Utc>>,
}

/// Adds a page; those that ended a day ago go.
#[tracing::instrument(name = "db.password_pages.add", skip_all, fields(thing.name = %thing))]
pub async fn add(
    db: &mut PgConnection,
    page: &str,
    thing: &ThingName,
    user_id: &str,
    lang: &str,
    (now, expires_at): (DateTime<Utc>, DateTime<Utc>),
) -> sqlx::Result<()> {
    sqlx::query!(
        "with old as (delete from password_pages where expires_at < $4::timestamptz - interval '1 day')
         insert into password_pages (page_id, thing, user_id, created_at, expires_at, lang) values ($1, $2, $3, $4, $5, $6)",
        page,
        thing.as_str(),
        user_id,
        now,
        expires_at,
        lang,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Locked until the transaction ends.
#[tracing::instrument(name = "db.password_pages.lock", skip_all)]
pub async fn lock(db: &mut PgConnection, page: &str) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        "select thing, user_id, lang, expires_at, browser_hash, number, wrong, confirmed_at, shown_at
         from password_pages where page_id = $1 for update",
        page,
    )
    .fetch_optional(db)
    .await
}

/// From now on the page is this browser's.
#[tracing::instrument(name = "db.password_pages.open", skip_all)]
pub async fn open(db: &mut PgConnection, page: &str, browser_hash: &[u8], number: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "update password_pages set browser_hash = $2, number = $3 where page_id = $1 and browser_hash is null",
        page,
        browser_hash,
        number,
    )
    .execute(db)
    .await?;
    Ok(())
}

#[tracing::instrument(name = "db.password_pages.confirm", skip_all)]
pub async fn confirm(db: &mut PgConnection, page: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("update password_pages set confirmed_at = $2 where page_id = $1", page, now)
        .execute(db)
        .await?;
    Ok(())
}

#[tracing::instrument(name = "db.password_pages.count_wrong", skip_all)]
pub async fn count_wrong(db: &mut PgConnection, page: &str) -> sqlx::Result<()> {
    sqlx::query!("update password_pages set wrong = wrong + 1 where page_id = $1", page).execute(db).await?;
    Ok(())
}

/// Uses the page up; false: somebody did before.
#[tracing::instrument(name = "db.password_pages.use_up", skip_all)]
pub async fn use_up(db: &mut PgConnection, page: &str, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let used = sqlx::query!(
        "update password_pages set shown_at = $2
         where page_id = $1 and shown_at is null and confirmed_at is not null and expires_at > $2",
        page,
        now,
    );
    Ok(used.execute(db).await?.rows_affected() == 1)
}

/// Nothing came of it: it may be tried again.
#[tracing::instrument(name = "db.password_pages.give_back", skip_all)]
pub async fn give_back(db: &mut PgConnection, page: &str) -> sqlx::Result<()> {
    sqlx::query!("update password_pages set shown_at = null where page_id = $1", page).execute(db).await?;
    Ok(())
}
