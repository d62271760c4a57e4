//! What Slack says over a line, and our answer: an acknowledgement, with what it is to do if there is anything.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{SlackApp, command, events, fleet::Ports, interaction, request};

/// Slack waits three seconds. What is not acknowledged by then, it tells the user or sends again.
const PATIENCE: Duration = Duration::from_secs(3);

pub enum Said {
    Hello,
    /// It wants this line to be replaced by a new one.
    Disconnect,
    Asked(Asked),
}

pub struct Asked {
    envelope_id: String,
    payload: Payload,
}

enum Payload {
    Command(Map<String, Value>),
    Interaction(Value),
    Event(Value),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Envelope {
    Hello {},
    Disconnect {},
    SlashCommands { envelope_id: String, payload: Map<String, Value> },
    Interactive { envelope_id: String, payload: Value },
    EventsApi { envelope_id: String, payload: Value },
}

/// None: nothing that we know.
pub fn read(text: &str) -> Option<Said> {
    let (envelope_id, payload) = match serde_json::from_str(text).ok()? {
        Envelope::Hello {} => return Some(Said::Hello),
        Envelope::Disconnect {} => return Some(Said::Disconnect),
        Envelope::SlashCommands { envelope_id, payload } => (envelope_id, Payload::Command(payload)),
        Envelope::Interactive { envelope_id, payload } => (envelope_id, Payload::Interaction(payload)),
        Envelope::EventsApi { envelope_id, payload } => (envelope_id, Payload::Event(payload)),
    };
    Some(Said::Asked(Asked { envelope_id, payload }))
}

/// None: it was not taken, so it is not acknowledged.
pub async fn answer<P: Ports>(app: &SlackApp<P>, asked: Asked) -> Option<String> {
    let taken = async {
        match asked.payload {
            Payload::Command(fields) => {
                command::given(app, request::fields(fields)?).await?;
                Ok(None)
            }
            Payload::Interaction(payload) => interaction::given(app, request::whole(payload)?).await,
            Payload::Event(event) => events::given(app, request::whole(event)?).await,
        }
    };
    match tokio::time::timeout(PATIENCE, taken).await {
        Ok(Ok(answer)) => {
            let mut acknowledgement = json!({"envelope_id": asked.envelope_id});
            if let Some(answer) = answer {
                acknowledgement["payload"] = answer;
            }
            Some(acknowledgement.to_string())
        }
        Ok(Err(turned)) => {
            tracing::warn!("a request over a line to Slack was not taken: {turned:?}");
            None
        }
        Err(_) => {
            tracing::error!("a request over a line to Slack took too long");
            None
        }
    }
}
