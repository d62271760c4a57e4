//! What the role that serves may do: on append-only tables add and read, and nothing else.

use sqlx::{Executor, PgPool};

/// Gives the role its rights on all there is now. It must exist: roles are made once a cluster.
#[tracing::instrument(name = "db.grants.give", skip_all)]
pub async fn give(db: &PgPool, role: &str) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    sqlx::query("select set_config('recehub.application_role', $1, true)")
        .bind(role)
        .execute(&mut *tx)
        .await?;
    tx.execute(include_str!("grants.sql")).await?;
    tx.commit().await
}
