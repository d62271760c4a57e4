//! Does what rules ask for, some at a time, apart from whoever published.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::CONNECTION;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::action::{Action, HttpAction};
use super::put_object::Objects;
use super::sql::{Scope, substitute};
use super::{Job, Message, Rule};
use crate::hub::{Hub, Origin, uuid};
use crate::mqtt::topic;
use crate::policy::{Context, Request, evaluate};

const AT_ONCE: usize = 64;
const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);
const CONNECT: Duration = Duration::from_secs(1);
/// For all tries together.
const REQUEST: Duration = Duration::from_secs(3);
/// In bytes.
const LONGEST_ANSWER: usize = 16_384;

/// What AWS demands of a URL, relaxed by `--allow-http-destinations`.
#[derive(Debug, Clone, Copy)]
pub struct Allowed {
    pub plain_http: bool,
}

impl Allowed {
    pub fn url(self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        (url.scheme() == "https" || (self.plain_http && url.scheme() == "http")).then_some(url)
    }
}

/// Works until `stop`.
pub async fn run(
    hub: Hub,
    objects: Objects,
    mut jobs: mpsc::Receiver<Job>,
    allowed: Allowed,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let client = Client::builder()
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent("AWS IoT Rules Engine")
        .build()?;
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = running.join_next(), if !running.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(error = %error, "a rule's action ended badly");
                }
            }
            Some(job) = jobs.recv(), if running.len() < AT_ONCE => {
                let post = Post { hub: hub.clone(), objects: objects.clone(), client: client.clone(), allowed };
                running.spawn(async move { post.work(job).await });
            }
        }
    }
    Ok(())
}

struct Post {
    hub: Hub,
    objects: Objects,
    client: Client,
    allowed: Allowed,
}

impl Post {
    async fn work(&self, job: Job) {
        match job {
            Job::Confirm(arn) => self.confirm(&arn).await,
            Job::Run(rule, message) => self.run(&rule, &message).await,
        }
    }

    async fn run(&self, rule: &Rule, message: &Message) {
        let client_id = message.client_id.as_deref();
        let scope = Scope::new(
            &message.topic,
            &message.payload,
            client_id,
            &message.principal,
            message.at,
            &self.hub.account.id,
        );
        let Some(selected) = rule.sql.apply(&scope) else { return };
        let mut failures = Vec::new();
        for action in &rule.actions {
            if let Err(error) = self.act(action, &scope, selected.clone()).await {
                tracing::warn!(rule = rule.name, error, "a rule's action failed");
                failures.push(json!({
                    "failedAction": action.name(), "failedResource": action.resource(), "errorMessage": error,
                }));
            }
        }
        // One report, however many actions have failed.
        if let Some(error_action) = rule.error_action.as_ref().filter(|_| !failures.is_empty()) {
            let report = report(rule, message, &failures);
            if let Err(error) = self.act(error_action, &scope, report).await {
                tracing::warn!(rule = rule.name, error, "the error action failed too");
            }
        }
    }

    async fn act(&self, action: &Action, scope: &Scope<'_>, payload: Bytes) -> Result<(), String> {
        match action {
            Action::Http(http) => self.post(http, scope, payload).await,
            Action::Republish { role, topic: template, qos } => {
                let topic = substitute(template, scope).map_err(|error| error.to_string())?;
                self.republish(role, &topic, *qos, &payload)
            }
            Action::PutObject { role, bucket, key } => {
                let key = substitute(key, scope).map_err(|error| error.to_string())?;
                self.objects.put(role, bucket, &key, payload, self.hub.clock.now()).await
            }
            Action::Unsupported(name) => Err(format!("this cloud has no {name} action")),
        }
    }

    fn republish(&self, role: &str, topic: &str, qos: u8, payload: &Bytes) -> Result<(), String> {
        let (topic, reserved) =
            topic.strip_prefix('$').map_or((topic, false), |rest| (rest, rest.starts_with('$')));
        if !topic::valid_topic(topic) || topic.starts_with('$') != reserved {
            return Err("the topic to republish to is not valid".to_owned());
        }
        let role = self.objects.role(role)?;
        let resource = self.hub.account.arn(&format!("topic/{topic}"));
        let request = Request { action: "iot:Publish", resource: &resource, context: &Context::new() };
        if !evaluate(&role.policies, &request).is_allowed() {
            return Err("the action's role may not publish there".to_owned());
        }
        let origin = Origin { client_id: None, principal: "" };
        self.hub.publish(&origin, topic, payload, qos, false);
        Ok(())
    }

    async fn post(&self, http: &HttpAction, scope: &Scope<'_>, payload: Bytes) -> Result<(), String> {
        let destinations = self.hub.store.destinations().map_err(|error| error.to_string())?;
        let enabled = destinations.iter().any(|it| it.url == http.confirmation_url && it.status == "ENABLED");
        if !enabled || !http.url.starts_with(&http.confirmation_url) {
            return Err("the destination is not ENABLED".to_owned());
        }
        let url = substitute(&http.url, scope).map_err(|error| error.to_string())?;
        let url = self.allowed.url(&url).ok_or("the URL is not an https one")?;
        let mut request = self.client.post(url);
        let typed = http.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !typed {
            let json = serde_json::from_slice::<serde::de::IgnoredAny>(&payload).is_ok();
            let kind = if json { "application/json" } else { "application/octet-stream" };
            request = request.header("content-type", kind);
        }
        for (name, template) in &http.headers {
            request = request.header(name, substitute(template, scope).map_err(|error| error.to_string())?);
        }
        self.send(request.body(payload)).await
    }

    async fn confirm(&self, arn: &str) {
        let Ok(Some(destination)) = self.hub.store.destination(arn) else { return };
        let sent = match self.allowed.url(&destination.url) {
            None => Err("the URL is not an https one".to_owned()),
            Some(mut url) => {
                url.query_pairs_mut().append_pair("confirmationToken", &destination.token);
                let body = json!({
                    "arn": arn,
                    "confirmationToken": destination.token,
                    "enableUrl": format!(
                        "https://iot.{}.amazonaws.com/confirmdestination/{}",
                        self.hub.account.region, destination.token
                    ),
                    "messageType": "DestinationConfirmation",
                });
                let request = self
                    .client
                    .post(url)
                    .header("x-amz-rules-engine-message-type", "DestinationConfirmation")
                    .header("x-amz-rules-engine-destination-arn", arn)
                    .header("content-type", "application/json")
                    .body(body.to_string());
                self.send(request).await
            }
        };
        if let Err(reason) = sent {
            // Unless another token was sent, or a confirmation came, in the meantime.
            let current = self.hub.store.destination(arn).ok().flatten();
            if let Some(current) =
                current.filter(|it| it.token == destination.token && it.status == "IN_PROGRESS")
            {
                let _ = self.hub.rules.set_destination(current, "ERROR", &reason, self.hub.clock.now());
            }
        }
    }

    /// Up to three tries. There is another one only after 429 or 5xx, in a short answer on a connection that stays,
    /// and while there is time.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<(), String> {
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            let this_one = request.try_clone().ok_or("the request cannot be repeated")?;
            let answer = this_one.send().await;
            let answer =
                answer.map_err(|error| format!("the endpoint did not answer: {}", error.without_url()))?;
            let status = answer.status();
            if status.is_success() {
                return Ok(());
            }
            let busy = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
            let pause = (BETWEEN_TRIES * attempt).mul_f64(0.5 + rand::random::<f64>());
            let late = started.elapsed() + pause > REQUEST;
            if !busy || attempt == TRIES || late || closes(&answer) || is_long(answer).await {
                return Err(format!("the endpoint answered {status}"));
            }
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }
}

fn closes(answer: &Response) -> bool {
    answer.headers().get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

async fn is_long(mut answer: Response) -> bool {
    let mut size = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        size += chunk.len();
        if size > LONGEST_ANSWER {
            return true;
        }
    }
    false
}

/// What an error action gets.
fn report(rule: &Rule, message: &Message, failures: &[Value]) -> Bytes {
    use base64::Engine as _;
    let payload = base64::engine::general_purpose::STANDARD.encode(&message.payload);
    let report = json!({
        "ruleName": rule.name,
        "topic": &*message.topic,
        "cloudwatchTraceId": uuid(),
        "clientId": message.client_id.as_deref().unwrap_or("n/a"),
        "base64OriginalPayload": payload,
        "failures": failures,
    });
    report.to_string().into()
}
