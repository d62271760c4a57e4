//! The timeline of a change.

use std::collections::HashMap;

use device_model::{change_id::ChangeId, outcome::Clock};
use sqlx::PgConnection;

use crate::fleet::change::{Change, Step};

/// Adds a step; false: the change has been in this state before. Whoever shows changes to people
/// hangs a trigger on this table.
#[tracing::instrument(name = "db.steps.add", skip_all, fields(change.id = %id))]
pub async fn add(db: &mut PgConnection, id: &ChangeId, step: &Step) -> sqlx::Result<bool> {
    let added = sqlx::query!(
        "insert into change_steps (change_id, state, at, device_at, clock, code, detail)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict on constraint change_steps_once do nothing",
        id.as_str(),
        step.state.as_str(),
        step.at,
        step.device_at,
        step.clock.map(Clock::as_str),
        step.code,
        step.detail,
    )
    .execute(db)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Gives each of the changes its timeline.
#[tracing::instrument(name = "db.steps.load", skip_all)]
pub async fn load(db: &mut PgConnection, changes: &mut [Change]) -> sqlx::Result<()> {
    let ids: Vec<_> = changes.iter().map(|change| change.change_id.to_string()).collect();
    let rows = sqlx::query!(
        "select change_id, state, at, device_at, clock, code, detail from change_steps where change_id = any($1)
         order by step_id",
        &ids,
    );
    let mut steps: HashMap<String, Vec<Step>> = HashMap::new();
    for row in rows.fetch_all(db).await? {
        steps.entry(row.change_id).or_default().push(Step {
            state: row.state.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            at: row.at,
            device_at: row.device_at,
            clock: row.clock.as_deref().and_then(clock),
            code: row.code,
            detail: row.detail,
        });
    }
    for change in changes {
        change.steps = steps.remove(change.change_id.as_str()).unwrap_or_default();
    }
    Ok(())
}

fn clock(text: &str) -> Option<Clock> {
    [Clock::Synced, Clock::Estimated].into_iter().find(|clock| clock.as_str() == text)
}
