//! Choices that change a form: an operator makes them first, waits for the fields that come, and fills those in.

use std::time::Duration;

use serde_json::{Map, Value};

use super::press::view_of;
use super::{Impossible, Press};
use crate::elements;
use crate::state::people::Person;
use crate::state::rooms::CHANNEL_ID;
use crate::workspace::Workspace;

/// The app has this long to bring the fields.
const PATIENCE: Duration = Duration::from_secs(3);

impl Workspace {
    /// While a field among `values` is not there: makes those choices among them of which the app is told.
    pub(super) async fn choose_first(
        &self,
        user: &Person,
        view_id: &str,
        values: &Map<String, Value>,
    ) -> Result<(), Impossible> {
        let mut changes = self.changes();
        for press in self.choices(user, view_id, values)? {
            if !self.lacks_a_field(user, view_id, values)? {
                return Ok(());
            }
            self.press(user, CHANNEL_ID, press).await?;
            let came = async {
                while self.lacks_a_field(user, view_id, values)? {
                    // Whoever lagged behind looks again as well.
                    let _ = changes.recv().await;
                }
                Ok(())
            };
            tokio::time::timeout(PATIENCE, came).await.unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    fn lacks_a_field(
        &self,
        user: &Person,
        view_id: &str,
        values: &Map<String, Value>,
    ) -> Result<bool, Impossible> {
        let mut state = self.state();
        let spots = elements::spots(view_of(&mut state, user, view_id)?.blocks());
        let is_there =
            |name: &String| spots.iter().any(|spot| spot.block_id == *name || spot.action_id == *name);
        Ok(values.iter().any(|(name, given)| !given.is_object() && !is_there(name)))
    }

    fn choices(
        &self,
        user: &Person,
        view_id: &str,
        values: &Map<String, Value>,
    ) -> Result<Vec<Press>, Impossible> {
        let mut state = self.state();
        let blocks = view_of(&mut state, user, view_id)?.blocks();
        let telling = blocks
            .iter()
            .filter(|block| block["dispatch_action"] == true && block["element"]["options"].is_array());
        let press = telling.filter_map(|block| {
            let (block_id, action_id) =
                (block["block_id"].as_str()?, block["element"]["action_id"].as_str()?);
            let value = values.get(block_id).or_else(|| values.get(action_id))?.clone();
            Some(Press {
                view_id: Some(view_id.to_owned()),
                message_ts: None,
                block_id: Some(block_id.to_owned()),
                action_id: action_id.to_owned(),
                value: Some(value),
                selected_option: None,
                values: Map::new(),
            })
        });
        Ok(press.collect())
    }
}
