//! The operator at the local Slack: acts, and looks at what it shows.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use testbed::{Testbed, wait::until};

use super::BOUND;

pub struct Operator<'a> {
    bed: &'a Testbed,
    user: String,
}

impl<'a> Operator<'a> {
    /// One of the users by name, e.g. `operator`.
    pub fn named(bed: &'a Testbed, name: &str) -> Self {
        Self { bed, user: bed.slack.users[name].clone() }
    }

    pub async fn act(&self, kind: &str, more: Value) -> Value {
        let mut body = json!({"userId": self.user, "channelId": self.bed.slack.channel_id, "type": kind});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let url = format!("{}/_local/act", self.bed.slack.url);
        let answer = self.bed.api.http().post(url).json(&body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The modal on top, once it is one that can be submitted.
    pub async fn modal(&self) -> Value {
        let url = format!("{}/_local/users/{}/views", self.bed.slack.url, self.user);
        until("a modal is open", BOUND, || async {
            let answer: Value = self.bed.api.http().get(&url).send().await?.json().await?;
            let views = answer.get("views").unwrap_or(&answer).as_array().context("no views")?.clone();
            let inputs = |view: &Value| {
                let blocks = view["blocks"].as_array().cloned().unwrap_or_default();
                blocks.iter().any(|block| block["type"] == "input")
            };
            Ok(views.into_iter().rev().find(inputs))
        })
        .await
        .unwrap()
    }

    /// Submits the preview that a form was answered with: only that registers a change.
    pub async fn confirm(&self, answer: &Value) -> Value {
        assert_eq!(answer["body"]["response_action"], "push", "{answer}");
        let taken = self.act("submit", json!({"viewId": self.top().await, "values": {}})).await;
        assert!(taken.to_string().contains("登録しました"), "it was not registered: {taken}");
        taken
    }

    /// Closes what is open, as one does after having read it.
    pub async fn close(&self) {
        self.act("close", json!({"viewId": self.top().await, "clear": true})).await;
    }

    /// The id of the view on top.
    async fn top(&self) -> Value {
        let url = format!("{}/_local/users/{}/views", self.bed.slack.url, self.user);
        let views: Value = self.bed.api.http().get(&url).send().await.unwrap().json().await.unwrap();
        views["views"].as_array().unwrap().last().unwrap()["id"].clone()
    }

    /// The messages of the operators' channel.
    pub async fn messages(&self) -> Result<Vec<Value>> {
        let channel = &self.bed.slack.channel_id;
        let url = format!("{}/_local/channels/{channel}/messages", self.bed.slack.url);
        let answer: Value = self.bed.api.http().get(url).send().await?.json().await?;
        Ok(answer.get("messages").unwrap_or(&answer).as_array().context("no messages")?.clone())
    }
}

/// The workspace as whoever runs it sees it.
pub struct Workspace<'a>(pub &'a Testbed);

impl Workspace<'_> {
    pub async fn fault(&self, fault: Value) {
        self.ask(Method::POST, "faults", &fault).await;
    }

    /// What still stands of what was arranged.
    pub async fn faults(&self) -> Result<Vec<Value>> {
        let answer: Value = self.get("faults").await?;
        Ok(answer["faults"].as_array().context("no faults")?.clone())
    }

    /// What the app has sent, oldest first.
    pub async fn sent(&self) -> Result<Vec<Value>> {
        let answer: Value = self.get("sent").await?;
        Ok(answer["calls"].as_array().context("no calls")?.clone())
    }

    /// Somebody deletes a message in the operators' channel.
    pub async fn delete(&self, ts: &str) {
        let path = format!("channels/{}/messages/{ts}", self.0.slack.channel_id);
        self.ask(Method::DELETE, &path, &Value::Null).await;
    }

    /// Somebody archives the operators' channel, or brings it back.
    pub async fn archive(&self, archived: bool) {
        let path = format!("channels/{}", self.0.slack.channel_id);
        self.ask(Method::POST, &path, &json!({"archived": archived})).await;
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}/_local/{path}", self.0.slack.url);
        Ok(self.0.api.http().get(url).send().await?.json().await?)
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) {
        let url = format!("{}/_local/{path}", self.0.slack.url);
        let answer = self.0.api.http().request(method, url).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }
}
