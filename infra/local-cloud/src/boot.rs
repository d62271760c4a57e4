//! Builds the cloud: state, what the template asks for, and the listeners.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::authority::Account;
use crate::ca::{self, Ca};
use crate::calls::Calls;
use crate::clock::Clock;
use crate::config::Config;
use crate::credentials::KnownRole;
use crate::faults::Faults;
use crate::hub::Hub;
use crate::iot::Iot;
use crate::keys::{Keys, Principal, RoleRef};
use crate::limits::Limits;
use crate::mqtt::{self, broker::Broker};
use crate::policy::Document;
use crate::rules::{Rules, put_object::Objects, worker};
use crate::shadow::Shadows;
use crate::state::Store;
use crate::sts::Sts;
use crate::template::{Pseudo, Resources, Role, Template};
use crate::{admin, credentials, front, s3, stack};

/// How long what is under way may take after the stop.
const GRACE: Duration = Duration::from_secs(3);

/// A cloud that runs; it ends by `stop`.
pub struct LocalCloud {
    pub endpoint: SocketAddr,
    pub mqtt: SocketAddr,
    pub credentials: SocketAddr,
    pub admin: SocketAddr,
    pub ca_file: PathBuf,
    pub outputs: BTreeMap<String, String>,
    account: Account,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl LocalCloud {
    /// Starts everything and answers when all of it listens.
    pub async fn start(config: &Config, clock: Clock) -> anyhow::Result<Self> {
        anyhow::ensure!(
            config.admin_listen.ip().is_loopback(),
            "the admin port is for the loopback interface only"
        );
        std::fs::create_dir_all(&config.state).context("the state directory cannot be made")?;
        let account = Account { id: config.account.clone(), region: config.region.clone() };
        let now = clock.now();
        let store = Store::open(&config.state)?;
        store.everyone_is_offline()?;
        let ca = Arc::new(Ca::open(&config.state, now)?);
        let resources = load_template(config)?;
        stack::apply(&store, &resources, now)?;
        let (rules, jobs) = Rules::open(store.clone())?;
        let attributes = stack::destinations(&store, &rules, &resources, now)?;
        let (keys, assumable) = keys(config, &resources, &clock)?;
        let hub = Hub {
            broker: Broker::open(store.clone())?,
            shadows: Shadows::new(store.clone()),
            rules,
            faults: Faults::default(),
            limits: Limits::new(config.rate_limits),
            calls: Calls::default(),
            store: store.clone(),
            account: account.clone(),
            clock,
        };

        let http_listener = bind(config.listen).await?;
        let mqtt_listener = bind(config.mqtt_listen).await?;
        let credentials_listener = bind(config.credentials_listen).await?;
        let admin_listener = bind(config.admin_listen).await?;
        let (mqtt_at, credentials_at) = (mqtt_listener.local_addr()?, credentials_listener.local_addr()?);
        let allowed = worker::Allowed { plain_http: config.allow_http_destinations };
        let endpoints = BTreeMap::from([
            ("iot:Data-ATS", format!("localhost:{}", mqtt_at.port())),
            ("iot:Data", format!("localhost:{}", mqtt_at.port())),
            ("iot:CredentialProvider", format!("localhost:{}", credentials_at.port())),
        ]);
        let iot = Iot { hub: hub.clone(), ca: Arc::clone(&ca), allowed, endpoints: Arc::new(endpoints) };
        let objects = config.state.join("s3");
        let s3 = s3::service(&objects, keys.clone(), &resources.buckets, Arc::new(move || clock.now()))?;
        let sts = Sts::new(keys.clone(), resources.roles.clone(), &config.region);
        let mqtt_tls = ca.tls(store.clone(), now, &["x-amzn-mqtt-ca", "mqtt"])?;
        let https_tls = ca.tls(store, now, &["h2", "http/1.1", "x-amzn-http-ca"])?;

        let stop = CancellationToken::new();
        let mut cloud = Self {
            endpoint: http_listener.local_addr()?,
            mqtt: mqtt_at,
            credentials: credentials_at,
            admin: admin_listener.local_addr()?,
            ca_file: ca.file().to_owned(),
            outputs: resources.outputs(&attributes)?,
            account,
            stop: stop.clone(),
            tasks: JoinSet::new(),
        };
        let objects = Objects::new(s3.clone(), keys.clone(), &config.region, assumable.clone());
        cloud.tasks.spawn(worker::run(hub.clone(), objects, jobs, allowed, stop.clone()));
        let (served, ended) = (hub.clone(), stop.clone());
        cloud.tasks.spawn(async move {
            mqtt::serve(mqtt_listener, mqtt_tls, served, ended).await;
            Ok(())
        });
        let (for_credentials, front_keys, ended) = (iot.clone(), keys.clone(), stop.clone());
        cloud.tasks.spawn(async move {
            credentials::serve(credentials_listener, https_tls, for_credentials, keys, assumable, ended)
                .await;
            Ok(())
        });
        cloud.serve(http_listener, front::router(&iot, front_keys, sts, s3));
        cloud.serve(admin_listener, admin::router(hub));
        Ok(cloud)
    }

    /// What the ready file says.
    pub fn ready(&self) -> Value {
        json!({
            "endpoint": format!("http://{}", self.endpoint),
            "mqttHost": "localhost",
            "mqttPort": self.mqtt.port(),
            "credentialProvider": format!("https://localhost:{}", self.credentials.port()),
            "caFile": self.ca_file,
            "admin": format!("http://{}", self.admin),
            "accountId": self.account.id,
            "region": self.account.region,
            "outputs": self.outputs,
        })
    }

    pub fn write_ready(&self, file: &Path) -> anyhow::Result<()> {
        let file = std::path::absolute(file)?;
        ca::replace(&file, format!("{}\n", self.ready()).as_bytes())
    }

    /// Waits for the first part that ends, which none should.
    pub async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("a part of the cloud ended"),
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => error.into(),
        }
    }

    /// Ends: connections are told, sessions are written down.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, rest).await.is_err() {
            tracing::debug!(tasks.left = self.tasks.len(), "some requests were cut short");
        }
    }

    fn serve(&mut self, listener: TcpListener, router: axum::Router) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let ended = stop.clone();
            let served =
                axum::serve(listener, router).with_graceful_shutdown(async move { ended.cancelled().await });
            // Idle keep-alive connections of clients must not hold the process.
            let patience = async {
                stop.cancelled().await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            };
            tokio::select! {
                served = served.into_future() => Ok(served?),
                () = patience => Ok(()),
            }
        });
    }
}

fn load_template(config: &Config) -> anyhow::Result<Resources> {
    let text = std::fs::read_to_string(&config.template)
        .with_context(|| format!("the template {} cannot be read", config.template.display()))?;
    let pseudo = Pseudo { account_id: config.account.clone(), region: config.region.clone() };
    Ok(Template::load(&text, &config.parameters.iter().cloned().collect(), &pseudo)?)
}

/// The account's keys, and the roles that certificates may take on.
fn keys(config: &Config, resources: &Resources, clock: &Clock) -> anyhow::Result<(Keys, Vec<KnownRole>)> {
    let keys = Keys::open(&config.state, &config.account, clock.now())?;
    let mut known = Vec::new();
    for role in &resources.roles {
        let reference = reference(role)?;
        keys.add_role(reference.clone());
        known.push(KnownRole::new(role, reference)?);
    }
    for key in &config.admin_keys {
        keys.add_long_lived(&key.id, &key.secret, Principal::administrator(&config.account));
    }
    for (logical_id, key) in &config.role_keys {
        let role =
            resources.role(logical_id).with_context(|| format!("the template has no role {logical_id}"))?;
        let principal = Principal::of_role(&reference(role)?, "local", &config.account);
        keys.add_long_lived(&key.id, &key.secret, principal);
    }
    Ok((keys, known))
}

fn reference(role: &Role) -> anyhow::Result<RoleRef> {
    let policies =
        role.policies.iter().map(|policy| Document::parse(&policy.to_string())).collect::<Result<_, _>>()?;
    Ok(RoleRef { arn: role.arn.clone(), name: role.name.clone(), policies })
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{address} cannot be listened on"))
}
