//! Modals submitted and closed: the client's own checks, then the app's word.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::press::{type_in, view_of};
use super::{Done, Impossible, told};
use crate::deliver::Ack;
use crate::elements;
use crate::payload;
use crate::state::Refusal;
use crate::state::people::Person;
use crate::state::views::View;
use crate::workspace::Workspace;

impl Workspace {
    pub(super) async fn submit(&self, user: &Person, view_id: &str, values: &Map<String, Value>) -> Done {
        if self.state().views.top(user.id).is_some_and(|top| top.id == view_id) {
            self.choose_first(user, view_id, values).await?;
        }
        let payload = {
            let now = self.now();
            let mut state = self.state();
            if state.views.top(user.id).is_none_or(|top| top.id != view_id) {
                return Err(Impossible::no("modal on top with the id", view_id));
            }
            let trigger = state.tickets.trigger(now, user.id, Some(view_id));
            let view = view_of(&mut state, user, view_id)?;
            if view.given.get("submit").is_none_or(Value::is_null) {
                return Err(Impossible("this modal has nothing to submit".to_owned()));
            }
            type_in(view, values)?;
            view.trouble = None;
            view.errors = client_errors(view, user);
            if !view.errors.is_empty() {
                // Slack's client keeps such a form to itself; the app never hears of it.
                let errors = view.errors.clone();
                drop(state);
                self.views_changed(user.id);
                return Ok(
                    json!({"ackMs": 0, "status": 0, "body": null, "error": "not_sent", "errors": errors}),
                );
            }
            payload::submission(user, view, &trigger)
        };
        let ack = self.deliver_interaction(&payload).await;
        let mut answer = told(&ack);
        if let Err(refusal) = self.follow(user, view_id, &ack) {
            tracing::warn!(refusal.error, messages = ?refusal.messages, "the answer to a submission cannot be followed");
            answer["error"] = json!(refusal.error);
            answer["faults"] = json!(refusal.messages);
        }
        if answer.get("error").is_some()
            && let Ok(view) = view_of(&mut self.state(), user, view_id)
        {
            let trouble = user.reads(
                "We had some trouble connecting. Try again?",
                "接続中に問題が発生しました。もう一度試してみてください。",
            );
            view.trouble = Some(trouble);
        }
        self.views_changed(user.id);
        Ok(answer)
    }

    /// Does what the app answered: nothing said closes the modal.
    fn follow(&self, user: &Person, view_id: &str, ack: &Ack) -> Result<(), Refusal> {
        if ack.error.is_some() {
            return Ok(());
        }
        let second = self.now().as_secs();
        let given = || self.checked_view(&ack.body["view"], "modal");
        match ack.body["response_action"].as_str() {
            None if ack.is_empty() => {
                self.state().views.close(user.id, view_id);
                Ok(())
            }
            Some("clear") => {
                self.state().views.clear(user.id);
                Ok(())
            }
            Some("errors") => self.show_errors(user, view_id, &ack.body["errors"]),
            Some("update") => {
                let given = given()?;
                self.state().views.update(Some(view_id), None, None, given, second).map(|_| ())
            }
            Some("push") => {
                let given = given()?;
                self.state().views.push(user.id, given, second).map(|_| ())
            }
            _ => Err(Refusal::with("invalid_response", vec!["[ERROR] no such response_action".to_owned()])),
        }
    }

    /// Errors may stand at input blocks of the view only.
    fn show_errors(&self, user: &Person, view_id: &str, errors: &Value) -> Result<(), Refusal> {
        let refuse = |text: String| Refusal::with("invalid_response", vec![format!("[ERROR] {text}")]);
        let errors: BTreeMap<String, String> = serde_json::from_value(errors.clone())
            .map_err(|_| refuse("errors must be texts by block id".to_owned()))?;
        if errors.is_empty() {
            return Err(refuse("errors is empty".to_owned()));
        }
        let mut state = self.state();
        let Ok(view) = view_of(&mut state, user, view_id) else { return Ok(()) };
        let spots = elements::spots(view.blocks());
        for block in errors.keys() {
            if !spots.iter().any(|spot| spot.in_input && spot.block_id == *block) {
                return Err(refuse(format!("no input block has the id {block}")));
            }
        }
        view.errors = errors;
        Ok(())
    }

    pub(super) async fn close(&self, user: &Person, view_id: &str, clear: bool) -> Done {
        let (mut closed, clear) = {
            let mut state = self.state();
            let view = view_of(&mut state, user, view_id)?;
            if view.is_home() {
                return Err(Impossible("App Home cannot be closed".to_owned()));
            }
            let clear = clear || view.flag("clear_on_close");
            let closed = if clear { state.views.clear(user.id) } else { state.views.close(user.id, view_id) };
            (closed, clear)
        };
        self.views_changed(user.id);
        closed.retain(|view| view.flag("notify_on_close"));
        let mut answer = json!({"ackMs": 0, "status": 0, "body": null});
        for view in closed {
            answer = told(&self.deliver_interaction(&payload::closed(user, &view, clear)).await);
        }
        Ok(answer)
    }
}

/// What Slack's own client refuses to send.
fn client_errors(view: &View, user: &Person) -> BTreeMap<String, String> {
    let mut errors = BTreeMap::new();
    for spot in elements::spots(view.blocks()).into_iter().filter(|spot| spot.in_input) {
        let entry = view.values.get(&spot.block_id).and_then(|actions| actions.get(&spot.action_id));
        let entry = entry.unwrap_or(&Value::Null);
        let text = entry["value"].as_str().unwrap_or("");
        let length = text.chars().count() as u64;
        let limit = |name: &str| spot.element[name].as_u64();
        let error = if elements::is_blank(entry) {
            spot.required.then(|| {
                user.reads("Please complete this required field.", "この必須項目に入力してください。")
            })
        } else if let Some(least) = limit("min_length").filter(|least| length < *least) {
            let (en, ja) = (
                format!("Enter at least {least} characters."),
                format!("{least} 文字以上で入力してください。"),
            );
            Some(user.reads(&en, &ja))
        } else if let Some(most) = limit("max_length").filter(|most| length > *most) {
            let (en, ja) =
                (format!("Enter at most {most} characters."), format!("{most} 文字以内で入力してください。"));
            Some(user.reads(&en, &ja))
        } else if spot.element["type"] == "number_input" && !is_number(&spot.element, text) {
            Some(user.reads("Enter a valid number.", "有効な数値を入力してください。"))
        } else {
            None
        };
        if let Some(error) = error {
            errors.insert(spot.block_id, error);
        }
    }
    errors
}

fn is_number(element: &Value, text: &str) -> bool {
    let bound = |name: &str| element[name].as_str().and_then(|bound| bound.parse::<f64>().ok());
    text.parse::<f64>().is_ok_and(|number| {
        (element["is_decimal_allowed"].as_bool() == Some(true) || number.fract() == 0.0)
            && bound("min_value").is_none_or(|least| number >= least)
            && bound("max_value").is_none_or(|most| number <= most)
    })
}
