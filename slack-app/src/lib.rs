//! The room operators sit in: a Slack app for looking at boxes and for changing their LAN settings.
//!
//! A request of Slack comes in at the door (`request`): small, signed a moment ago, of our workspace; or over a
//! line that we opened ([`socket`]).
//! A command (`command`) or a button (`interaction`) is written down as a job and acknowledged at once,
//! since Slack waits three seconds and no longer; the worker (`worker`) answers it or opens a modal.
//! The LAN form (`lan_view`), submitted, is read (`form`), and every fault comes back at its field, in
//! the reader's language ([`i18n`]). A form without a fault becomes a preview (`preview`), and only the
//! preview, submitted, is registered with the fleet. Each change has one message in the operators'
//! channel (`message`), which the outbox (`outbox`) edits until the change has ended; its buttons carry
//! an id and nothing else. Who may do what is asked each time something is done (`directory`).
//!
//! The app keeps nothing itself: what it needs stands behind the small traits of `fleet`.

pub mod blocks;
pub mod chooser;
mod command;
pub mod directory;
mod events;
pub mod fleet;
pub mod fleet_map;
pub mod form;
pub mod home;
pub mod i18n;
mod interaction;
pub mod job;
pub mod lan_view;
pub mod lists;
mod locales;
pub mod message;
pub mod model;
mod normal;
pub mod notice;
pub mod once_page;
pub mod outbox;
pub mod password_view;
pub mod preview;
mod problem;
mod request;
pub mod roles;
pub mod settings;
mod settings_text;
mod signature;
pub mod socket;
pub mod status_view;
pub mod verb;
mod wanted;
pub mod web;
pub mod worker;

use std::sync::Arc;

use axum::{Router, routing::post};
use chrono::{DateTime, Utc};

use crate::{
    fleet::Ports, fleet_map::Maps, job::Job, locales::Locales, request::Turned, settings::Settings, web::Web,
};

/// Tells the time.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The app with all that it needs.
pub struct SlackApp<P>(Arc<Inner<P>>);

struct Inner<P> {
    settings: Settings,
    ports: P,
    web: Web,
    locales: Locales,
    maps: Maps,
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
    pub fn new(settings: Settings, ports: P, web: Web, now: Now) -> Self {
        let (locales, maps) = (Locales::default(), Maps::default());
        Self(Arc::new(Inner { settings, ports, web, locales, maps, now }))
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

    fn maps(&self) -> &Maps {
        &self.0.maps
    }

    fn locales(&self) -> &Locales {
        &self.0.locales
    }
}

impl<P: Ports> SlackApp<P> {
    /// Writes down what is to be done. From here on Slack need not wait, and a repetition does nothing.
    async fn write_down(&self, key: &str, job: &Job) -> Result<(), Turned> {
        match self.ports().enqueue(key, job).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                tracing::info!("a request came twice and is done once");
                Ok(())
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "could not write a request down");
                Err(Turned::Failed)
            }
        }
    }
}

impl<P> Clone for SlackApp<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
