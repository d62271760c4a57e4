//! Whether the receipt computer has found a box since a change was applied.

use chrono::{DateTime, Utc};
use device_model::{change_id::ChangeId, outcome::Clock};
use sqlx::PgConnection;

use crate::fleet::change::Sight;

/// Writes down what the box says; false: that is known. A receipt computer that was seen stays seen.
#[tracing::instrument(name = "db.sights.set", skip_all, fields(change.id = %id))]
pub async fn set(db: &mut PgConnection, id: &ChangeId, sight: &Sight) -> sqlx::Result<bool> {
    let (at, device_at, clock) = match sight {
        Sight::Unconfirmed => (None, None, None),
        Sight::Confirmed { at, device_at, clock } => (Some(*at), Some(*device_at), Some(clock.as_str())),
    };
    let set = sqlx::query!(
        "insert into change_sights (change_id, confirmed_at, device_at, clock) values ($1, $2, $3, $4)
         on conflict on constraint change_sights_pkey do update
             set confirmed_at = excluded.confirmed_at, device_at = excluded.device_at, clock = excluded.clock
             where change_sights.confirmed_at is null and excluded.confirmed_at is not null",
        id.as_str(),
        at,
        device_at,
        clock,
    )
    .execute(db)
    .await?;
    Ok(set.rows_affected() == 1)
}

#[tracing::instrument(name = "db.sights.of", skip_all, fields(change.id = %id))]
pub async fn of(db: &mut PgConnection, id: &ChangeId) -> sqlx::Result<Option<Sight>> {
    let row = sqlx::query!(
        "select confirmed_at, device_at, clock from change_sights where change_id = $1",
        id.as_str()
    );
    Ok(row.fetch_optional(db).await?.map(|row| {
        let device_at: Option<DateTime<Utc>> = row.device_at;
        let seen = row.confirmed_at.zip(device_at).zip(row.clock.as_deref().and_then(Clock::parse));
        seen.map_or(Sight::Unconfirmed, |((at, device_at), clock)| Sight::Confirmed { at, device_at, clock })
    }))
}
