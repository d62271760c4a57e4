//! Boxes for what was typed so far. Whoever may not look is shown none.

use std::time::Duration;

use serde_json::Value;

use crate::{SlackApp, chooser, fleet::Ports, interaction::payload::Payload};

/// Somebody types on and waits for the list.
const PATIENCE: Duration = Duration::from_secs(2);

pub async fn boxes<P: Ports>(app: &SlackApp<P>, payload: &Payload) -> Value {
    let found = async {
        match app.ports().role_of(&payload.user()).await? {
            Some(_) => app.ports().find(payload.value.as_deref().unwrap_or_default()).await,
            None => Ok(Vec::new()),
        }
    };
    match tokio::time::timeout(PATIENCE, found).await {
        Ok(Ok(found)) => chooser::suggestions(&found),
        Ok(Err(error)) => {
            tracing::warn!(error = format!("{error:#}"), "could not look for boxes to suggest");
            chooser::suggestions(&[])
        }
        Err(_) => chooser::suggestions(&[]),
    }
}
