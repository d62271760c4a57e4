//! Hands the fleet to the Slack app: its small traits, over the verbs and over Postgres.

mod fleet;
mod jobs;
mod outbox;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use slack_app::{
    SlackApp,
    fleet::{Directory, Role, SlackUser},
    outbox as messages,
    roles::ConfiguredRoles,
    settings::Settings,
    worker,
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{config::SlackConfig, fleet::Fleet};

/// How long work of another replica may wait unseen.
const POLL: Duration = Duration::from_secs(1);

/// Everything the Slack app asks for, in one place. Cheap to clone.
#[derive(Clone)]
pub struct Ports {
    fleet: Fleet,
    roles: Arc<ConfiguredRoles>,
    /// Wakes the worker of this replica.
    job_written: Arc<Notify>,
}

impl Ports {
    pub fn new(fleet: Fleet, roles: ConfiguredRoles) -> Self {
        Self { fleet, roles: Arc::new(roles), job_written: Arc::default() }
    }
}

/// Makes the app, spawns its worker and its outbox, and gives the routes to be nested at `/slack`.
pub fn start(
    config: &SlackConfig,
    fleet: Fleet,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    stop: &CancellationToken,
) -> anyhow::Result<Router> {
    let (app, ports) = app(config, fleet)?;
    let channel = config.channel_id.clone();
    let (web, outbox, outbox_stop) = (app.web().clone(), ports, stop.clone());
    tasks.spawn(async move {
        messages::run(web, outbox, channel, outbox_stop).await;
        Ok(())
    });
    let (worked, worker_stop) = (app.clone(), stop.clone());
    tasks.spawn(async move {
        worker::run(worked, worker_stop).await;
        Ok(())
    });
    Ok(slack_app::router(app))
}

/// The app as configured, without anything running.
pub fn app(config: &SlackConfig, fleet: Fleet) -> anyhow::Result<(SlackApp<Ports>, Ports)> {
    let settings = Settings {
        signing_secrets: Settings::signing_secrets(&config.signing_secret),
        bot_token: config.bot_token.clone(),
        api_url: config.api_url.clone(),
        team_id: Some(config.team_id.clone()),
        app_id: Some(config.app_id.clone()),
        channel_id: config.channel_id.clone(),
    };
    let roles = config.roles.iter().map(|(user, role)| format!("{user}={role}"));
    let roles = roles.collect::<Vec<_>>().join(",").parse().context("SLACK_ROLES")?;
    let clock = fleet.clone();
    let ports = Ports::new(fleet, roles);
    let now = Arc::new(move || clock.clock().now());
    Ok((SlackApp::new(settings, ports.clone(), now)?, ports))
}

impl Directory for Ports {
    async fn role_of(&self, user: &SlackUser) -> anyhow::Result<Option<Role>> {
        Ok(self.roles.role_of(user))
    }
}
