//! Modals and App Homes: each user's stack of at most three, with hashes and what was typed.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::people::{APP_ID, BOT_ID, TEAM_ID};
use super::{Refusal, fresh_hex, fresh_id};
use crate::elements;

const STACK: usize = 3;

#[derive(Debug, Default)]
pub struct Views {
    all: HashMap<String, View>,
    stacks: HashMap<String, Vec<String>>,
    homes: HashMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct View {
    pub id: String,
    pub user: String,
    /// What the app gave, ids filled in.
    pub given: Map<String, Value>,
    /// block id -> action id -> what stands in the field
    pub values: Map<String, Value>,
    pub hash: String,
    pub root: String,
    pub previous: Option<String>,
    /// Errors at fields: block id -> text.
    pub errors: BTreeMap<String, String>,
    /// What Slack says when the app did not take the submission.
    pub trouble: Option<String>,
}

impl View {
    pub fn blocks(&self) -> &[Value] {
        self.given.get("blocks").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub fn flag(&self, name: &str) -> bool {
        self.given.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    pub fn text(&self, name: &str) -> &str {
        self.given.get(name).and_then(Value::as_str).unwrap_or("")
    }

    pub fn is_home(&self) -> bool {
        self.text("type") == "home"
    }

    /// The view object, as it stands in answers and payloads.
    pub fn whole(&self) -> Value {
        let or_null = |name: &str| self.given.get(name).cloned().unwrap_or(Value::Null);
        json!({
            "id": self.id, "team_id": TEAM_ID, "type": self.text("type"), "blocks": self.blocks(),
            "private_metadata": self.text("private_metadata"), "callback_id": self.text("callback_id"),
            "state": {"values": self.values}, "hash": self.hash,
            "title": self.given.get("title").cloned().unwrap_or_else(|| json!({"type": "plain_text", "text": "View Title", "emoji": true})),
            "clear_on_close": self.flag("clear_on_close"), "notify_on_close": self.flag("notify_on_close"),
            "close": or_null("close"), "submit": or_null("submit"), "previous_view_id": self.previous,
            "root_view_id": self.root, "app_id": APP_ID, "external_id": self.text("external_id"),
            "app_installed_team_id": TEAM_ID, "bot_id": BOT_ID,
        })
    }

    /// What the page shows besides: field errors and trouble.
    pub fn on_screen(&self) -> Value {
        let mut view = self.whole();
        view["errors"] = json!(self.errors);
        view["trouble"] = json!(self.trouble);
        view
    }

    /// Puts new content in, keeping what was typed in fields that stay (as Slack does), seeding new ones.
    fn fill(&mut self, given: Map<String, Value>, second: u64) {
        self.given = given;
        let typed = std::mem::take(&mut self.values);
        for spot in elements::spots(self.blocks()) {
            let kept = typed
                .get(&spot.block_id)
                .and_then(|actions| actions.get(&spot.action_id))
                .filter(|value| value["type"] == spot.element["type"])
                .cloned();
            if let Some(value) = kept.or_else(|| elements::initial(&spot.element)) {
                elements::put(&mut self.values, &spot.block_id, &spot.action_id, value);
            }
        }
        self.errors.clear();
        self.trouble = None;
        self.hash = format!("{second}.{}", fresh_hex(4));
    }
}

impl Views {
    pub fn find(&self, id: &str) -> Option<&View> {
        self.all.get(id)
    }

    pub fn find_mut(&mut self, id: &str) -> Option<&mut View> {
        self.all.get_mut(id)
    }

    /// A user's modals, bottom first.
    pub fn stack(&self, user: &str) -> Vec<&View> {
        self.stacks.get(user).into_iter().flatten().filter_map(|id| self.all.get(id)).collect()
    }

    pub fn top(&self, user: &str) -> Option<&View> {
        self.stack(user).pop()
    }

    pub fn home(&self, user: &str) -> Option<&View> {
        self.homes.get(user).and_then(|id| self.all.get(id))
    }

    /// Opens a modal on a fresh stack, in the place of whatever was open.
    pub fn open(&mut self, user: &str, given: Map<String, Value>, second: u64) -> Result<Value, Refusal> {
        self.refuse_taken_external_id(&given, None)?;
        self.clear(user);
        Ok(self.stack_up(user, given, second, None))
    }

    /// Lays a modal on top of the ones that are open.
    pub fn push(&mut self, user: &str, given: Map<String, Value>, second: u64) -> Result<Value, Refusal> {
        self.refuse_taken_external_id(&given, None)?;
        let stack = self.stacks.get(user).map_or(&[][..], Vec::as_slice);
        if stack.len() >= STACK {
            return Err(Refusal::new("push_limit_reached"));
        }
        let below = stack.last().cloned();
        Ok(self.stack_up(user, given, second, below))
    }

    fn stack_up(
        &mut self,
        user: &str,
        given: Map<String, Value>,
        second: u64,
        below: Option<String>,
    ) -> Value {
        let id = fresh_id('V');
        let root = below
            .as_ref()
            .and_then(|below| self.all.get(below))
            .map_or(id.clone(), |below| below.root.clone());
        let view = Self::fresh(id.clone(), user, given, second, root, below);
        let whole = view.whole();
        self.all.insert(id.clone(), view);
        self.stacks.entry(user.to_owned()).or_default().push(id);
        whole
    }

    fn fresh(
        id: String,
        user: &str,
        given: Map<String, Value>,
        second: u64,
        root: String,
        previous: Option<String>,
    ) -> View {
        let mut view = View {
            id,
            user: user.to_owned(),
            given: Map::new(),
            values: Map::new(),
            hash: String::new(),
            root,
            previous,
            errors: BTreeMap::new(),
            trouble: None,
        };
        view.fill(given, second);
        view
    }

    /// Changes an open view, found by id or external id; a `hash` must be the current one.
    pub fn update(
        &mut self,
        id: Option<&str>,
        external_id: Option<&str>,
        hash: Option<&str>,
        given: Map<String, Value>,
        second: u64,
    ) -> Result<(String, Value), Refusal> {
        let id = match (id, external_id) {
            (Some(id), _) => self.all.get(id).map(|view| view.id.clone()),
            (None, Some(wanted)) => {
                self.all.values().find(|view| view.text("external_id") == wanted).map(|view| view.id.clone())
            }
            (None, None) => return Err(Refusal::missing("view_id")),
        };
        let id = id.ok_or_else(|| Refusal::new("not_found"))?;
        self.refuse_taken_external_id(&given, Some(&id))?;
        let view = self.all.get_mut(&id).ok_or_else(|| Refusal::new("not_found"))?;
        if hash.is_some_and(|hash| hash != view.hash) {
            return Err(Refusal::new("hash_conflict"));
        }
        if view.text("type") != given.get("type").and_then(Value::as_str).unwrap_or("") {
            let message = "[ERROR] a view cannot change its type [json-pointer:/view/type]".to_owned();
            return Err(Refusal::with("invalid_arguments", vec![message]));
        }
        view.fill(given, second);
        Ok((view.user.clone(), view.whole()))
    }

    /// Puts a Home up for a user.
    pub fn publish(
        &mut self,
        user: &str,
        hash: Option<&str>,
        given: Map<String, Value>,
        second: u64,
    ) -> Result<Value, Refusal> {
        if let Some(id) = self.homes.get(user).cloned() {
            return self.update(Some(&id), None, hash, given, second).map(|(_, view)| view);
        }
        let id = fresh_id('V');
        let view = Self::fresh(id.clone(), user, given, second, id.clone(), None);
        let whole = view.whole();
        self.all.insert(id.clone(), view);
        self.homes.insert(user.to_owned(), id);
        Ok(whole)
    }

    /// Takes the top modal off; answers it.
    pub fn pop(&mut self, user: &str) -> Option<View> {
        let id = self.stacks.get_mut(user)?.pop()?;
        self.all.remove(&id)
    }

    /// Closes one modal wherever it stands, and those above it.
    pub fn close(&mut self, user: &str, id: &str) -> Vec<View> {
        let mut closed = Vec::new();
        while self.stacks.get(user).is_some_and(|stack| stack.iter().any(|open| open == id)) {
            closed.extend(self.pop(user));
        }
        closed
    }

    pub fn clear(&mut self, user: &str) -> Vec<View> {
        std::iter::from_fn(|| self.pop(user)).collect()
    }

    fn refuse_taken_external_id(&self, given: &Map<String, Value>, own: Option<&str>) -> Result<(), Refusal> {
        let wanted = given.get("external_id").and_then(Value::as_str).unwrap_or("");
        let taken =
            self.all.values().any(|view| Some(view.id.as_str()) != own && view.text("external_id") == wanted);
        if !wanted.is_empty() && taken { Err(Refusal::new("duplicate_external_id")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modal(metadata: &str) -> Map<String, Value> {
        let modal = json!({
            "type": "modal", "title": {"type": "plain_text", "text": "T"}, "submit": {"type": "plain_text", "text": "S"},
            "private_metadata": metadata, "external_id": metadata,
            "blocks": [{"type": "input", "block_id": "b", "label": {"type": "plain_text", "text": "L"},
                "element": {"type": "plain_text_input", "action_id": "a", "initial_value": metadata}}],
        });
        modal.as_object().unwrap().clone()
    }

    #[test]
    fn a_stack_holds_three_and_a_fourth_is_refused() {
        let mut views = Views::default();
        let root = views.open("U1", modal("1"), 1).unwrap();
        let second = views.push("U1", modal("2"), 1).unwrap();
        views.push("U1", modal("3"), 1).unwrap();

        assert_eq!(second["root_view_id"], root["id"]);
        assert_eq!(second["previous_view_id"], root["id"]);
        assert_eq!(views.push("U1", modal("4"), 1), Err(Refusal::new("push_limit_reached")));
        assert_eq!(views.stack("U1").len(), 3);
    }

    #[test]
    fn an_update_with_an_old_hash_is_refused() {
        let mut views = Views::default();
        let opened = views.open("U1", modal("1"), 1).unwrap();
        let (id, hash) = (opened["id"].as_str(), opened["hash"].as_str());

        assert!(views.update(id, None, hash, modal("1"), 2).is_ok());
        assert_eq!(views.update(id, None, hash, modal("1"), 3), Err(Refusal::new("hash_conflict")));
        assert!(views.update(None, Some("1"), None, modal("1"), 3).is_ok());
        assert_eq!(views.update(Some("V0"), None, None, modal("1"), 3), Err(Refusal::new("not_found")));
    }

    #[test]
    fn what_was_typed_outlives_an_update_of_the_view() {
        let mut views = Views::default();
        let id = views.open("U1", modal("old"), 1).unwrap()["id"].as_str().unwrap().to_owned();
        let typed = json!({"type": "plain_text_input", "value": "typed"});
        elements::put(&mut views.find_mut(&id).unwrap().values, "b", "a", typed);

        let (_, view) = views.update(Some(&id), None, None, modal("new"), 2).unwrap();

        assert_eq!(view["state"]["values"]["b"]["a"]["value"], "typed");
    }

    #[test]
    fn an_external_id_is_taken_while_its_view_is_open() {
        let mut views = Views::default();
        views.open("U1", modal("x"), 1).unwrap();

        assert_eq!(views.open("U2", modal("x"), 1), Err(Refusal::new("duplicate_external_id")));
        views.clear("U1");
        assert!(views.open("U2", modal("x"), 1).is_ok());
    }
}
