//! The workspace: its settings, its state behind one lock, and who is told when something changed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::deliver::Delivery;
use crate::manifest::Manifest;
use crate::socket::Sockets;
use crate::state::State;
use crate::state::views::View;

/// How the emulated workspace is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the app listens, without `/slack/..`.
    pub app_url: String,
    pub signing_secret: String,
    pub bot_token: String,
    pub channel_name: String,
    pub manifest: Manifest,
}

/// What the page is told over its event stream: where to look again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "camelCase")]
pub enum Change {
    Messages { channel: String },
    Views { user: String },
}

/// One Slack workspace with one app in it.
#[derive(Debug)]
pub struct Workspace {
    pub settings: Settings,
    pub clock: Clock,
    pub(crate) http: reqwest::Client,
    /// The last request sent to the app, for sending it once more.
    pub(crate) last_delivery: Mutex<Option<Delivery>>,
    /// Acts under way: they go on to their end when whoever asked for them hangs up, as in Slack.
    pub(crate) acts: TaskTracker,
    pub(crate) sockets: Sockets,
    public_url: OnceLock<String>,
    state: Mutex<State>,
    changes: broadcast::Sender<Change>,
}

impl Workspace {
    pub fn new(settings: Settings) -> anyhow::Result<Arc<Self>> {
        // A second call is refused and that is fine: the same provider is in place then.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent("Slackbot 1.0 (+https://api.slack.com/robots)")
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .context("cannot set up the HTTP client")?;
        let clock = Clock::default();
        let app_name = &settings.manifest.display_information.name;
        let state = State::new(clock.now(), app_name, &settings.channel_name);
        Ok(Arc::new(Self {
            state: Mutex::new(state),
            changes: broadcast::channel(256).0,
            acts: TaskTracker::new(),
            sockets: Sockets::default(),
            public_url: OnceLock::new(),
            last_delivery: Mutex::new(None),
            settings,
            clock,
            http,
        }))
    }

    /// Tells where this workspace can be reached. The first word counts.
    pub fn reachable_at(&self, url: &str) {
        let _ = self.public_url.set(url.trim_end_matches('/').to_owned());
    }

    pub fn url(&self) -> &str {
        self.public_url.get().map_or("http://127.0.0.1", String::as_str)
    }

    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    pub fn app_name(&self) -> &str {
        &self.settings.manifest.display_information.name
    }

    /// The state. Never held across an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    pub fn messages_changed(&self, channel: &str) {
        // Nobody listening is fine: no page is open.
        let _ = self.changes.send(Change::Messages { channel: channel.to_owned() });
    }

    pub fn views_changed(&self, user: &str) {
        let _ = self.changes.send(Change::Views { user: user.to_owned() });
    }

    /// A view of the state as the page reads it.
    pub fn screen_of(&self, user: &str) -> Value {
        let state = self.state();
        let stack: Vec<Value> = state.views.stack(user).into_iter().map(View::on_screen).collect();
        serde_json::json!({"user": user, "views": stack, "home": state.views.home(user).map(View::on_screen)})
    }
}
