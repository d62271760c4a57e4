//! Hands the fleet to the Slack app: its small traits, over the verbs and over Postgres.

pub mod approval;
mod fleet;
mod jobs;
mod outbox;
pub mod password_pages;
mod stories;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use slack_app::{
    SlackApp,
    directory::SlackDirectory,
    fleet::Directory,
    fleet_map,
    model::{Role, SlackUser},
    outbox as messages,
    roles::ConfiguredRoles,
    settings::Settings,
    socket,
    web::Web,
    worker,
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    config::SlackConfig,
    fleet::Fleet,
    slack::{approval::ApprovalRules, password_pages::PasswordPages},
};

/// How long work of another replica may wait unseen.
const POLL: Duration = Duration::from_secs(1);

/// Everything the Slack app asks for, in one place. Cheap to clone.
#[derive(Clone)]
pub struct Ports {
    fleet: Fleet,
    directory: SlackDirectory,
    approval: Arc<ApprovalRules>,
    pages: PasswordPages,
    /// Wakes the worker of this replica.
    job_written: Arc<Notify>,
}

/// Makes the app, spawns its worker and its outbox, and gives the routes to be nested at `/slack`.
pub fn start(
    config: &SlackConfig,
    fleet: Fleet,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    stop: &CancellationToken,
) -> anyhow::Result<Router> {
    let (app, ports) = app(config, fleet)?;
    if let Some(font) = &config.map_font {
        fleet_map::check(font).context("RECEHUB_MAP_FONT")?;
    }
    let pages = ports.pages.routes();
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
    if app.settings().app_token.is_some() {
        let (listening, lines_stop) = (app.clone(), stop.clone());
        tasks.spawn(async move {
            socket::run(listening, lines_stop).await;
            Ok(())
        });
    }
    Ok(slack_app::router(app).merge(pages))
}

/// The app as configured, without anything running.
pub fn app(config: &SlackConfig, fleet: Fleet) -> anyhow::Result<(SlackApp<Ports>, Ports)> {
    let settings = Settings {
        signing_secrets: Settings::signing_secrets(&config.signing_secret),
        bot_token: config.bot_token.clone(),
        app_token: config.app_token.clone(),
        api_url: config.api_url.clone(),
        team_id: Some(config.team_id.clone()),
        enterprise_id: config.enterprise_id.clone(),
        app_id: Some(config.app_id.clone()),
        channel_id: config.channel_id.clone(),
        channels: config.channels.clone(),
        map_font: config.map_font.clone(),
    };
    let web = Web::new(&settings)?;
    let users = roles(&config.roles).context("SLACK_ROLES")?;
    let groups = roles(&config.role_groups).context("SLACK_ROLE_GROUPS")?;
    let approval: Arc<ApprovalRules> = Arc::new(config.approval.parse().context("SLACK_APPROVAL")?);
    let ports = Ports {
        directory: SlackDirectory::new(web.clone(), settings.team_id.clone(), users, groups),
        pages: PasswordPages::new(fleet.clone(), config.public_url.clone(), approval.clone()),
        approval,
        job_written: Arc::default(),
        fleet: fleet.clone(),
    };
    let now = Arc::new(move || fleet.clock().now());
    Ok((SlackApp::new(settings, ports.clone(), web, now), ports))
}

fn roles(named: &[(String, String)]) -> anyhow::Result<ConfiguredRoles> {
    let named = named.iter().map(|(id, role)| format!("{id}={role}"));
    Ok(named.collect::<Vec<_>>().join(",").parse()?)
}

impl Directory for Ports {
    async fn role_of(&self, user: &SlackUser) -> anyhow::Result<Option<Role>> {
        self.directory.role_of(user).await
    }
}
