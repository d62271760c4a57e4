//! The room operators sit in: a Slack app for looking at boxes and for changing their LAN settings.
//!
//! A request of Slack comes in at the door (`request`): small, signed a moment ago, of our workspace.
//! A command (`command`) is written down as a job and acknowledged at once, since Slack waits three
//! seconds and no longer; the worker (`worker`) opens the modal (`lan_view`). What is submitted
//! (`interaction`) is read (`form`), judged and registered by the fleet, and every fault comes back
//! at its field, in the reader's language ([`i18n`]). Each change has one message in the operators'
//! channel (`message`), which the outbox (`outbox`) edits until the change has ended.
//!
//! The app keeps nothing itself: what it needs stands behind the small traits of `fleet`.

pub mod blocks;
mod command;
mod events;
pub mod fleet;
pub mod form;
pub mod i18n;
mod interaction;
pub mod lan_view;
mod locales;
pub mod message;
mod normal;
pub mod notice;
pub mod outbox;
mod problem;
mod request;
pub mod roles;
pub mod settings;
mod signature;
pub mod web;
pub mod worker;

use std::sync::Arc;

use axum::{Router, routing::post};
use chrono::{DateTime, Utc};

use crate::{fleet::Ports, locales::Locales, request::Turned, settings::Settings, web::Web};

/// Tells the time.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The app with all that it needs.
pub struct SlackApp<P>(Arc<Inner<P>>);

struct Inner<P> {
    settings: Settings,
    ports: P,
    web: Web,
    locales: Locales,
    now: Now,
}

/// Every way in, to be nested at `/slack`.
pub fn router<P: Ports>(app: SlackApp<P>) -> Router {
    Router::new()
        .route("/commands", post(command::take::<P>))
        .route("/interactions", post(interaction::take::<P>))
        .route("/events", post(events::take::<P>))
        .method_not_allowed_fallback(async || Turned::WrongMethod)
        .fallback(async || Turned::NoSuchPlace)
        .with_state(app)
}

impl<P> SlackApp<P> {
    /// Fails if the system's certificates cannot be read, which Slack's own address needs.
    pub fn new(settings: Settings, ports: P, now: Now) -> anyhow::Result<Self> {
        let web = Web::new(&settings)?;
        Ok(Self(Arc::new(Inner { settings, ports, web, locales: Locales::default(), now })))
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub fn web(&self) -> &Web {
        &self.0.web
    }

    pub fn now(&self) -> DateTime<Utc> {
        (self.0.now)()
    }

    fn ports(&self) -> &P {
        &self.0.ports
    }

    fn locales(&self) -> &Locales {
        &self.0.locales
    }
}

impl<P> Clone for SlackApp<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
