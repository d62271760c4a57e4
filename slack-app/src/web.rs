//! Slack's Web API: each call has a time limit, and an error says only what the caller can act on.

mod answers;

use std::{sync::Arc, time::Duration};

use hyper_util::client::legacy::connect::HttpConnector;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use slack_morphism::{
    SlackClientApiCallContext, SlackClientHttpConnector,
    errors::SlackClientError,
    prelude::{
        ClientResult, SlackApiToken, SlackApiTokenValue, SlackClient, SlackClientHyperConnector,
        SlackClientHyperHttpsConnector,
    },
};
use url::Url;

use crate::{
    blocks::Block,
    outbox::Posted,
    settings::Settings,
    web::answers::{
        History, LineOpened, Members, Opened, OpenedChannel, PostedMessage, UploadPlace, UserInfo,
    },
};

pub use answers::User;

/// A trigger is good for three seconds; nothing else may wait longer than this either.
const CALL_LIMIT: Duration = Duration::from_millis(2500);
/// Posting is worth waiting for: giving up early may post twice.
const POST_LIMIT: Duration = Duration::from_secs(10);
/// How far back a message is looked for.
const HISTORY_MESSAGES: &str = "100";
/// The picture of the fleet has some hundred kilobytes.
const UPLOAD_LIMIT: Duration = Duration::from_secs(15);

#[derive(Clone)]
pub struct Web {
    client: Client,
    /// For the bytes of files, which do not go to the Web API itself.
    plain: reqwest::Client,
    token: Arc<SlackApiToken>,
    /// Opens lines, and does nothing else.
    app_token: Option<Arc<SlackApiToken>>,
}

/// Slack itself is reached by TLS only; a local one has no certificate.
#[derive(Clone)]
enum Client {
    Tls(SlackClient<SlackClientHyperHttpsConnector>),
    Plain(SlackClient<SlackClientHyperConnector<HttpConnector>>),
}

/// What went wrong, as far as it matters. Slack's answer itself may hold what must not be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    /// Slack understood and refused; its own word for why.
    #[error("Slack refused: {0}")]
    Refused(String),
    #[error("Slack asks us to wait")]
    RateLimited(Option<Duration>),
    /// No answer, or none that can be read: whether it was done is not known.
    #[error("Slack cannot be reached: {0}")]
    Unavailable(&'static str),
}

impl Web {
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let url = settings.api_url.trim_end_matches('/');
        let client = if url.starts_with("http://") {
            let connector = SlackClientHyperConnector::with_connector(HttpConnector::new());
            Client::Plain(SlackClient::new(connector.with_slack_api_url(url)))
        } else {
            let connector = SlackClientHyperHttpsConnector::new()?;
            Client::Tls(SlackClient::new(connector.with_slack_api_url(url)))
        };
        let token = |text: &String| Arc::new(SlackApiToken::new(SlackApiTokenValue(text.clone())));
        let (app_token, token) = (settings.app_token.as_ref().map(token), token(&settings.bot_token));
        Ok(Self { client, plain: reqwest::Client::new(), token, app_token })
    }

    /// Where a line for Slack's requests is to be opened: once, and soon.
    pub async fn open_line(&self) -> Result<String, WebError> {
        let token = self.app_token.as_ref().ok_or(WebError::Unavailable("there is no app-level token"))?;
        let opened: LineOpened = self.post_as(token, "apps.connections.open", &json!({}), CALL_LIMIT).await?;
        Ok(opened.url)
    }

    /// Opens a modal and tells its id.
    pub async fn open_view(&self, trigger_id: &str, view: &Block) -> Result<String, WebError> {
        let ask = json!({"trigger_id": trigger_id, "view": view});
        let opened: Opened = self.post("views.open", &ask, CALL_LIMIT).await?;
        Ok(opened.view.id)
    }

    /// With the `hash` that it had, only if it has not become another view since.
    pub async fn update_view(&self, view_id: &str, hash: Option<&str>, view: &Block) -> Result<(), WebError> {
        let mut ask = json!({"view_id": view_id, "view": view});
        if let Some(hash) = hash {
            ask["hash"] = hash.into();
        }
        let _: Value = self.post("views.update", &ask, CALL_LIMIT).await?;
        Ok(())
    }

    pub async fn post_message(
        &self,
        channel: &str,
        text: &str,
        blocks: &impl Serialize,
    ) -> Result<Posted, WebError> {
        let ask = json!({"channel": channel, "text": text, "blocks": blocks,
            "unfurl_links": false, "unfurl_media": false});
        let posted: PostedMessage = self.post("chat.postMessage", &ask, POST_LIMIT).await?;
        Ok(Posted { channel_id: posted.channel, ts: posted.ts })
    }

    pub async fn update_message(
        &self,
        at: &Posted,
        text: &str,
        blocks: &impl Serialize,
    ) -> Result<(), WebError> {
        let ask = json!({"channel": at.channel_id, "ts": at.ts, "text": text, "blocks": blocks});
        let _: Value = self.post("chat.update", &ask, POST_LIMIT).await?;
        Ok(())
    }

    /// Finds a message by the name of one of its blocks: Slack may have posted it though we heard nothing.
    pub async fn find_message(&self, channel: &str, block_id: &str) -> Result<Option<Posted>, WebError> {
        let asked = vec![("channel", Some(channel)), ("limit", Some(HISTORY_MESSAGES))];
        let history: History = self.get("conversations.history", asked).await?;
        let mut messages = history.messages.into_iter();
        let found = messages.find(|message| message.is_named(block_id));
        Ok(found.map(|message| Posted { channel_id: channel.to_owned(), ts: message.ts }))
    }

    /// Whether a thread has a reply with a block of this name.
    pub async fn find_reply(&self, thread: &Posted, block_id: &str) -> Result<bool, WebError> {
        let asked = vec![
            ("channel", Some(thread.channel_id.as_str())),
            ("ts", Some(thread.ts.as_str())),
            ("limit", Some(HISTORY_MESSAGES)),
        ];
        let replies: History = self.get("conversations.replies", asked).await?;
        Ok(replies.messages.iter().any(|message| message.is_named(block_id)))
    }

    pub async fn user(&self, user_id: &str) -> Result<User, WebError> {
        let asked = vec![("user", Some(user_id)), ("include_locale", Some("true"))];
        let info: UserInfo = self.get("users.info", asked).await?;
        Ok(info.user)
    }

    /// Who is in a user group. A workspace without them says `plan_upgrade_required`.
    pub async fn members(&self, group_id: &str) -> Result<Vec<String>, WebError> {
        let asked = vec![("usergroup", Some(group_id))];
        let members: Members = self.get("usergroups.users.list", asked).await?;
        Ok(members.users)
    }

    /// Puts a Home up.
    pub async fn publish(&self, user_id: &str, view: &Block) -> Result<(), WebError> {
        let ask = json!({"user_id": user_id, "view": view});
        let _: Value = self.post("views.publish", &ask, POST_LIMIT).await?;
        Ok(())
    }

    /// The direct message with a user.
    pub async fn open_direct(&self, user_id: &str) -> Result<String, WebError> {
        let opened: OpenedChannel =
            self.post("conversations.open", &json!({"users": user_id}), CALL_LIMIT).await?;
        Ok(opened.channel.id)
    }

    /// Makes a file of Slack's, in a channel or in none, and tells its id.
    pub async fn upload(
        &self,
        name: &str,
        content: Vec<u8>,
        channel: Option<&str>,
    ) -> Result<String, WebError> {
        let length = content.len().to_string();
        let asked = vec![("filename", Some(name)), ("length", Some(length.as_str()))];
        let place: UploadPlace = self.get("files.getUploadURLExternal", asked).await?;
        let sent = self.plain.post(&place.upload_url).timeout(UPLOAD_LIMIT).body(content).send().await;
        match sent {
            Ok(answer) if answer.status().is_success() => {}
            // The address in reqwest's error is as good as a key.
            Ok(_) | Err(_) => return Err(WebError::Unavailable("a file was not taken")),
        }
        let mut ask = json!({"files": [{"id": place.file_id, "title": name}]});
        if let Some(channel) = channel {
            ask["channel_id"] = channel.into();
        }
        let _: Value = self.post("files.completeUploadExternal", &ask, POST_LIMIT).await?;
        Ok(place.file_id)
    }

    /// Says something in a message's thread.
    pub async fn reply(
        &self,
        thread: &Posted,
        text: &str,
        blocks: &impl Serialize,
    ) -> Result<Posted, WebError> {
        let ask = json!({"channel": thread.channel_id, "thread_ts": thread.ts, "text": text, "blocks": blocks,
            "unfurl_links": false, "unfurl_media": false});
        let posted: PostedMessage = self.post("chat.postMessage", &ask, POST_LIMIT).await?;
        Ok(Posted { channel_id: posted.channel, ts: posted.ts })
    }

    /// Answers a command by the address that came with it.
    pub async fn respond(&self, response_url: &str, answer: &Value) -> Result<(), WebError> {
        let url: Url = response_url.parse().map_err(|_| WebError::Unavailable("no address"))?;
        let span = tracing::Span::none();
        let context = SlackClientApiCallContext {
            rate_control_params: None,
            token: None,
            tracing_span: &span,
            is_sensitive_url: true,
        };
        let sent = async {
            match &self.client {
                Client::Tls(client) => http_post(&*client.http_api.connector, url, answer, context).await,
                Client::Plain(client) => http_post(&*client.http_api.connector, url, answer, context).await,
            }
        };
        match within(CALL_LIMIT, sent).await {
            // Slack answers `ok`, which is no JSON.
            Ok(_) | Err(WebError::Unavailable(UNREADABLE)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn post<A: DeserializeOwned + Send>(
        &self,
        method: &str,
        ask: &Value,
        limit: Duration,
    ) -> Result<A, WebError> {
        self.post_as(&self.token, method, ask, limit).await
    }

    async fn post_as<A: DeserializeOwned + Send>(
        &self,
        token: &SlackApiToken,
        method: &str,
        ask: &Value,
        limit: Duration,
    ) -> Result<A, WebError> {
        let call = async {
            match &self.client {
                Client::Tls(client) => {
                    let session = client.open_session(token);
                    session.http_session_api.http_post(method, ask, None).await
                }
                Client::Plain(client) => {
                    let session = client.open_session(token);
                    session.http_session_api.http_post(method, ask, None).await
                }
            }
        };
        within(limit, call).await
    }

    async fn get<A: DeserializeOwned + Send>(
        &self,
        method: &str,
        asked: Vec<(&str, Option<&str>)>,
    ) -> Result<A, WebError> {
        let call = async {
            match &self.client {
                Client::Tls(client) => {
                    let session = client.open_session(&self.token);
                    session.http_session_api.http_get(method, &asked, None).await
                }
                Client::Plain(client) => {
                    let session = client.open_session(&self.token);
                    session.http_session_api.http_get(method, &asked, None).await
                }
            }
        };
        within(CALL_LIMIT, call).await
    }
}

const UNREADABLE: &str = "an answer that cannot be read";

async fn http_post<C: SlackClientHttpConnector>(
    connector: &C,
    url: Url,
    body: &Value,
    context: SlackClientApiCallContext<'_>,
) -> ClientResult<Value> {
    connector.http_post_uri(url, body, context).await
}

async fn within<A>(limit: Duration, call: impl Future<Output = ClientResult<A>>) -> Result<A, WebError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(WebError::from),
        Err(_) => Err(WebError::Unavailable("no answer in time")),
    }
}

impl From<SlackClientError> for WebError {
    fn from(error: SlackClientError) -> Self {
        match error {
            SlackClientError::ApiError(error) if error.code == "ratelimited" => Self::RateLimited(None),
            SlackClientError::ApiError(error) if is_passing(&error.code) => {
                Self::Unavailable("an error on Slack's side")
            }
            SlackClientError::ApiError(error) => Self::Refused(error.code),
            SlackClientError::RateLimitError(error) => Self::RateLimited(error.retry_after),
            SlackClientError::HttpError(_) => Self::Unavailable("an HTTP error"),
            SlackClientError::HttpProtocolError(_) => Self::Unavailable("no connection"),
            SlackClientError::ProtocolError(_) => Self::Unavailable(UNREADABLE),
            SlackClientError::EndOfStream(_)
            | SlackClientError::SystemError(_)
            | SlackClientError::SocketModeProtocolError(_) => Self::Unavailable("a broken connection"),
        }
    }
}

/// Slack's words for what may well go at the next attempt.
fn is_passing(code: &str) -> bool {
    matches!(
        code,
        "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" | "team_added_to_org"
    )
}
