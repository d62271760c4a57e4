//! A box on this machine: its identity, its share, its agent.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    cloud::Cloud,
    process::{Process, Program},
    samba::Share,
    secrets::Secrets,
    wait::until,
};

/// A box of the testbed.
pub struct RecehubBox {
    pub thing: String,
    /// The pharmacy's code.
    pub pharmacy: String,
    pub home: PathBuf,
    pub share: Share,
    pub smbd: Option<Process>,
    pub agent: Option<Process>,
    agent_program: Program,
    logs: PathBuf,
}

/// What every box needs to know of the system.
pub struct Surroundings<'a> {
    pub folder: &'a Path,
    pub fleet_api: &'a str,
    pub cloud: &'a Cloud,
    pub secrets: &'a Secrets,
}

impl RecehubBox {
    /// The box number `number`, counted from 1: enrolled and with its share open, its agent not started.
    pub async fn prepare(
        around: &Surroundings<'_>,
        api: &ApiClient,
        number: usize,
        smb_port: u16,
    ) -> Result<Self> {
        let mut this = Self::enrolled(around, api, number, smb_port).await?;
        let process_name = format!("smbd-{}", this.thing);
        this.smbd = Some(this.share.start(&this.logs, &process_name).await?);
        Ok(this)
    }

    /// The same before its share is open.
    pub async fn enrolled(
        around: &Surroundings<'_>,
        api: &ApiClient,
        number: usize,
        smb_port: u16,
    ) -> Result<Self> {
        let thing = format!("tenpo-{number:04}");
        let home = around.folder.join("boxes").join(&thing);
        fs::create_dir_all(home.join("state"))?;
        let logs = around.folder.join("log");
        let share = Share::new(&home, smb_port, &around.secrets.share_password)?;
        let agent_program = agent_program(around, &thing, &home, &share).await?;
        let pharmacy = pharmacy_code(number);
        let this = Self { thing, pharmacy, home, share, smbd: None, agent: None, agent_program, logs };
        if !this.certificate_file().exists() {
            this.enroll(api, number).await?;
        }
        Ok(this)
    }

    pub fn certificate_file(&self) -> PathBuf {
        self.home.join("state/device.cert.pem")
    }

    pub fn key_file(&self) -> PathBuf {
        self.home.join("state/device.key.pem")
    }

    /// What the agent has said.
    pub fn agent_log(&self) -> PathBuf {
        self.logs.join(format!("agent-{}.log", self.thing))
    }

    /// The folder in which the fake LAN interface keeps its state and its gate.
    pub fn lan(&self) -> PathBuf {
        self.home.join("state/lan-fake")
    }

    pub fn start_agent(&mut self) -> Result<()> {
        self.start_agent_as(&self.agent_program.clone())
    }

    /// Starts the agent with other surroundings than it was given, e.g. in another time.
    pub fn start_agent_as(&mut self, program: &Program) -> Result<()> {
        ensure!(self.agent.is_none(), "the agent of {} runs already", self.thing);
        self.agent = Some(program.clone().arg("run").start(&self.logs)?);
        Ok(())
    }

    /// Has the agent run with other surroundings from its next start on.
    pub fn run_agent_as(&mut self, program: Program) {
        self.agent_program = program;
    }

    /// What starts this box's agent, without its sub-command.
    pub fn agent_program(&self) -> &Program {
        &self.agent_program
    }

    /// Starts what has ended of itself; tells which.
    pub async fn restart_ended(&mut self) -> Result<Vec<String>> {
        let mut restarted = Vec::new();
        if let Some(agent) = &mut self.agent
            && agent.ended()?.is_some()
        {
            restarted.push(agent.name().to_owned());
            self.agent = None;
            self.start_agent()?;
        }
        if let Some(smbd) = &mut self.smbd
            && smbd.ended()?.is_some()
        {
            let name = smbd.name().to_owned();
            self.smbd = Some(self.share.start(&self.logs, &name).await?);
            restarted.push(name);
        }
        Ok(restarted)
    }

    pub async fn stop_agent(&mut self) -> Result<()> {
        match self.agent.take() {
            Some(agent) => agent.stop().await,
            None => Ok(()),
        }
    }

    /// Ends the agent as a crash would.
    pub async fn kill_agent(&mut self) -> Result<()> {
        self.agent.take().context("the agent does not run")?.kill().await
    }

    /// Has the agent wait at a step that it has journalled, before the step's effect.
    pub fn hold_at(&self, step: &str) -> Result<()> {
        let gate = self.lan().join("gate");
        fs::create_dir_all(&gate)?;
        Ok(fs::File::create(gate.join(format!("hold-{step}"))).map(drop)?)
    }

    pub fn release(&self, step: &str) -> Result<()> {
        Ok(fs::remove_file(self.lan().join("gate").join(format!("hold-{step}")))?)
    }

    /// Waits until the agent is held at a step.
    pub async fn held_at(&self, step: &str) -> Result<()> {
        let at = self.lan().join("gate/at");
        until(&format!("the agent is held at {step}"), Duration::from_secs(30), || {
            let here = fs::read_to_string(&at).is_ok_and(|text| text.trim() == step);
            async move { Ok(here.then_some(())) }
        })
        .await
    }

    pub async fn stop(mut self) -> Result<()> {
        let agent = self.stop_agent().await;
        let smbd = match self.smbd.take() {
            Some(smbd) => smbd.stop().await,
            None => Ok(()),
        };
        agent.and(smbd)
    }

    async fn enroll(&self, api: &ApiClient, number: usize) -> Result<()> {
        let name = format!("みどり薬局 {number}号店");
        let pharmacy = json!({"code": self.pharmacy, "name": name, "kana": format!("ミドリヤッキョク {number}ゴウテン")});
        let made = api.request(reqwest::Method::POST, "/v1/pharmacies").json(&pharmacy).send().await?;
        // An `up` that was cut short may have made it.
        if made.status() != reqwest::StatusCode::CONFLICT {
            made.error_for_status()?;
        }
        let device = json!({"thing": self.thing, "pharmacy": self.pharmacy});
        let answer = api.post("/v1/devices", &device).await?;
        let code = answer["enrolmentCode"].as_str().context("no enrolment code")?;
        let enroll = self.agent_program.clone().arg("enroll").flag("--code", code);
        enroll.output().await.map(drop)
    }
}

/// A pharmacy's code has ten digits: prefecture, kind, number.
fn pharmacy_code(number: usize) -> String {
    format!("134{number:07}")
}

async fn agent_program(
    around: &Surroundings<'_>,
    thing: &str,
    home: &Path,
    share: &Share,
) -> Result<Program> {
    let cloud = around.cloud;
    let mut program = Program::ours(&format!("agent-{thing}"), "device-agent")?
        .env("RECEHUB_THING", thing)
        .env("RECEHUB_STATE_DIR", home.join("state").display())
        .env("RECEHUB_SHARE_DIR", share.folder.display())
        .env("RECEHUB_FLEET_API", around.fleet_api)
        .env("RECEHUB_SERVER_ID", &around.secrets.server_id)
        .env("RECEHUB_STS_HOST", cloud.sts_host())
        .env("RECEHUB_STS_REGION", &cloud.region)
        .env("RECEHUB_MQTT_HOST", &cloud.mqtt_host)
        .env("RECEHUB_MQTT_PORT", cloud.mqtt_port)
        .env("RECEHUB_CREDENTIALS_URL", &cloud.credential_provider)
        .env("RECEHUB_ROLE_ALIAS", cloud.output("RoleAlias")?)
        .env("RECEHUB_CA_FILE", cloud.ca_file.display())
        .env("RECEHUB_LAN_BACKEND", "fake")
        // On a laptop nobody waits minutes for the next attempt.
        .env("RECEHUB_LAN_RETRY_SECONDS", "1,1,1")
        .env("RECEHUB_LAN_FAKE_DIR", home.join("state/lan-fake").display());
    for (name, value) in share.hosting().await? {
        program = program.env(name, value);
    }
    Ok(program)
}

/// An engineer's way into the fleet API.
#[derive(Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl ApiClient {
    pub fn new(base: &str, token: &str) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build()?;
        Ok(Self { http, base: base.to_owned(), token: token.to_owned() })
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// A request with the token, for tests that look at the whole answer.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        answer(self.request(reqwest::Method::GET, path)).await
    }

    /// Asks again and again until the answer is one that `look` was waiting for, for at most `bound`. A system
    /// under load may have no answer for a moment.
    pub async fn until<T>(
        &self,
        what: &str,
        bound: Duration,
        path: &str,
        look: impl Fn(Value) -> Result<Option<T>>,
    ) -> Result<T> {
        until(what, bound, async || match self.get(path).await {
            Ok(answer) => look(answer),
            Err(_) => Ok(None),
        })
        .await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        answer(self.request(reqwest::Method::POST, path).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        answer(self.request(reqwest::Method::PUT, path).json(body)).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Value> {
    let response = request.send().await?;
    let (status, url) = (response.status(), response.url().path().to_owned());
    let text = response.text().await?;
    ensure!(status.is_success(), "{url} answered {status}: {text}");
    Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
}
