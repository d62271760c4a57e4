//! Slack on a laptop: one workspace with one app, over Slack's own protocols.
//!
//! The app talks to the Web API (`api`), which refuses what Slack refuses (`blockkit`); Slack talks to
//! the app with signed requests (`deliver`, `payload`), or over lines that it opened (`socket`), for what
//! people do (`act`): they type commands, press buttons, submit modals. People work it in a browser (`page`); tests drive the same acts over
//! `/_local` (`local`). Everything is kept in memory (`state`) and nothing here knows what the app is for.

mod act;
mod api;
mod blockkit;
pub mod clock;
mod deliver;
mod elements;
mod local;
pub mod manifest;
mod page;
mod payload;
mod socket;
pub mod state;
pub mod workspace;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, delete, get, post};

pub use act::{Act, Impossible};
pub use workspace::{Settings, Workspace};

/// Every route there is.
pub fn router(slack: Arc<Workspace>) -> Router {
    Router::new()
        .route("/api/{method}", any(api::call))
        .route("/hooks/{kind}/{team}/{id}/{secret}", post(api::hooks::respond))
        .route("/upload/v1/{secret}", post(api::files::receive))
        .route("/files-pri/{file}/{name}", get(api::files::private))
        .route("/link", get(socket::door::link))
        .route("/_local/lines", get(socket::door::lines).post(socket::door::end_lines))
        .route("/_local/act", post(local::act))
        .route("/_local/replay", post(local::replay))
        .route("/_local/clock", post(local::clock))
        .route("/_local/stream", get(local::stream))
        .route("/_local/faults", get(local::faults).post(local::add_fault).delete(local::clear_faults))
        .route("/_local/sent", get(local::sent))
        .route("/_local/files/{file}", get(api::files::shown))
        .route("/_local/users/{user}/views", get(local::views))
        .route("/_local/users/{user}/frame", get(local::frame))
        .route("/_local/channels/{channel}", post(local::archive))
        .route("/_local/channels/{channel}/messages", get(local::messages))
        .route("/_local/channels/{channel}/messages/{ts}", delete(local::delete_message))
        .merge(page::routes())
        .layer(DefaultBodyLimit::max(64 * 1024 * 1024))
        .with_state(slack)
}
