//! Token buckets, one a name, that all replicas draw from.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Takes one token of a bucket that holds `most` and fills up by `a_second`; false: it is empty.
#[tracing::instrument(name = "db.budgets.take", skip_all)]
pub async fn take(
    db: &mut PgConnection,
    name: &str,
    most: f64,
    a_second: f64,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    // Clocks of two replicas may disagree: time that was counted once is not counted again.
    let taken = sqlx::query!(
        "insert into budgets (name, tokens, refilled_at) values ($1, $2::float8 - 1, $4)
         on conflict on constraint budgets_pkey do update set
             tokens = least($2, budgets.tokens
                 + $3::float8 * greatest(0, extract(epoch from $4 - budgets.refilled_at)::float8)) - 1,
             refilled_at = greatest(budgets.refilled_at, $4)
         where least($2, budgets.tokens
             + $3::float8 * greatest(0, extract(epoch from $4 - budgets.refilled_at)::float8)) >= 1",
        name,
        most,
        a_second,
        now,
    );
    Ok(taken.execute(db).await?.rows_affected() == 1)
}
