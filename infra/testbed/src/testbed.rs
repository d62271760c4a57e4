//! The Testbed itself: which parts there are, in which order they start and end.

mod crashes;
mod replicas;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::json;

pub use self::replicas::Replica;
use crate::{
    boxes::{ApiClient, RecehubBox, Surroundings},
    cloud::{Cloud, Slack, cloud_program, start_cloud, start_slack},
    ports::Ports,
    postgres::{Durability, Postgres},
    process::{Process, Program},
    secrets::{Secrets, read_json, text, write_file, write_json},
    wait::until,
};

/// Tells `cargo xtask down` which process to end.
const PID_FILE: &str = "supervisor.pid";

/// What a Testbed is to have.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its state lies; it survives a restart.
    pub folder: PathBuf,
    pub boxes: usize,
    /// Starts the boxes' agents.
    pub agents: bool,
    /// Ports that were asked for, by name.
    pub ports: BTreeMap<String, u16>,
    pub durability: Durability,
    /// Which changes need a second pair of eyes in Slack, as in `SLACK_APPROVAL`; empty: none.
    pub approval: String,
    /// Slack's requests come over lines that the API opens.
    pub socket_mode: bool,
}

impl Options {
    /// What most want: boxes with their agents, nothing that costs time.
    pub fn of(folder: &Path, boxes: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            boxes,
            agents: true,
            ports: BTreeMap::new(),
            durability: Durability::None,
            approval: String::new(),
            socket_mode: false,
        }
    }
}

/// The font of the fleet's map, where Debian's fonts-noto-cjk puts it.
const MAP_FONT: &str = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc";

/// Everything, running.
pub struct Testbed {
    pub folder: PathBuf,
    pub secrets: Secrets,
    pub cloud: Cloud,
    pub slack: Slack,
    pub fleet_api: String,
    pub api_token: String,
    pub api: ApiClient,
    pub boxes: Vec<RecehubBox>,
    postgres: Postgres,
    cloud_process: Option<Process>,
    cloud_program: Program,
    slack_process: Process,
    api_process: Option<Process>,
    api_program: Program,
    /// Held as long as this lives: the folder's lock, and the folder itself if it is a test's.
    _lock: fs::File,
    scratch: Option<tempfile::TempDir>,
}

impl Testbed {
    /// Starts everything, telling of each step.
    pub async fn start(options: &Options, tell: impl Fn(&str)) -> Result<Self> {
        let lock = claim(&options.folder)?;
        let folder = fs::canonicalize(&options.folder)?;
        write_file(&folder.join(PID_FILE), std::process::id().to_string().as_bytes(), 0o644)?;
        let secrets = Secrets::open(&folder)?;
        let mut ports = Ports::open(&folder, options.ports.clone())?;
        let logs = folder.join("log");

        tell("Postgres");
        let port = ports.take("postgres")?;
        let postgres =
            Postgres::start(&folder, &logs, port, &secrets.postgres_password, options.durability).await?;
        postgres.prepare_application(&secrets.application_password).await?;

        tell("the local cloud and the local Slack");
        let api_port = ports.take("fleet-api")?;
        let fleet_api = format!("http://127.0.0.1:{api_port}");
        let cloud_program = cloud_program(&folder, &mut ports, &secrets, &fleet_api)?;
        let (cloud_process, cloud) = start_cloud(&folder, &cloud_program).await?;
        // Not among the secrets: nobody outside has a use for it.
        let line_token = options.socket_mode.then(|| format!("xapp-{}", text(32)));
        let (slack_process, slack) =
            start_slack(&folder, &mut ports, &secrets, &fleet_api, line_token.as_deref()).await?;

        tell("the fleet API");
        let mut program = api_program(api_port, &postgres, &cloud, &slack, &secrets)?;
        program = program.env("SLACK_APPROVAL", &options.approval);
        if let Some(token) = &line_token {
            program = program.env("SLACK_APP_TOKEN", token);
        }
        if Path::new(MAP_FONT).is_file() {
            program = program.env("RECEHUB_MAP_FONT", MAP_FONT);
        }
        let migrate = program.clone().env("DATABASE_URL", postgres.owner_url()).arg("migrate");
        migrate.flag("--application-role", postgres.application_role()).output().await?;
        let api_token = api_token(&folder, &program).await?;
        let api = ApiClient::new(&fleet_api, &api_token)?;
        let mut api_process = program.clone().arg("serve").start(&logs)?;
        wait_until_ready(&mut api_process, &api).await?;

        let mut this = Self {
            folder,
            secrets,
            cloud,
            slack,
            fleet_api,
            api_token,
            api,
            boxes: Vec::new(),
            postgres,
            cloud_process: Some(cloud_process),
            cloud_program,
            slack_process,
            api_process: Some(api_process),
            api_program: program,
            _lock: lock,
            scratch: None,
        };
        for number in 1..=options.boxes {
            tell(&format!("box {number} of {}", options.boxes));
            let smb_port = ports.take(&format!("smb-{number}"))?;
            this.add_box(number, smb_port).await?;
        }
        if options.agents {
            for one in &mut this.boxes {
                one.start_agent()?;
            }
        }
        Ok(this)
    }

    /// A Testbed in a folder of its own, for one test; its agents run.
    pub async fn for_test(boxes: usize) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("recehub-").tempdir()?;
        let options = Options::of(scratch.path(), boxes);
        Self::in_scratch(scratch, options).await
    }

    /// The same, where these changes need a second pair of eyes.
    pub async fn for_test_with_approval(boxes: usize, approval: &str) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("recehub-").tempdir()?;
        let mut options = Options::of(scratch.path(), boxes);
        approval.clone_into(&mut options.approval);
        Self::in_scratch(scratch, options).await
    }

    /// The same, where Slack's requests come over lines that the API opens.
    pub async fn for_test_over_sockets(boxes: usize) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("recehub-").tempdir()?;
        let mut options = Options::of(scratch.path(), boxes);
        options.socket_mode = true;
        Self::in_scratch(scratch, options).await
    }

    /// A Testbed for a bench, below a folder on the disk that counts: as durable as a real one, its
    /// agents not started.
    pub async fn for_bench(boxes: usize, below: &Path) -> Result<Self> {
        fs::create_dir_all(below)?;
        let scratch = tempfile::Builder::new().prefix("bench-").tempdir_in(below)?;
        let mut options = Options::of(scratch.path(), boxes);
        (options.agents, options.durability) = (false, Durability::Full);
        Self::in_scratch(scratch, options).await
    }

    async fn in_scratch(scratch: tempfile::TempDir, options: Options) -> Result<Self> {
        // A test's output is shown only if it fails, and then one wants to know how far it came.
        let mut this = Self::start(&options, |step| println!("starting {step}")).await?;
        this.scratch = Some(scratch);
        Ok(this)
    }

    /// Where the ledger and the audit log are, with the rights that the API has.
    pub fn database_url(&self) -> String {
        self.postgres.application_url(&self.secrets.application_password)
    }

    /// The same with every right: what a test does with it, an intruder could.
    pub fn superuser_url(&self) -> String {
        self.postgres.superuser_url(self.postgres.application_role())
    }

    /// The fleet API's program with its configuration, for its other commands.
    pub fn api_program(&self) -> Program {
        self.api_program.clone()
    }

    /// What a box that is made by hand needs to know.
    pub fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            folder: &self.folder,
            fleet_api: &self.fleet_api,
            cloud: &self.cloud,
            secrets: &self.secrets,
        }
    }

    /// Fails if a part has ended that should run.
    pub fn ensure_alive(&mut self) -> Result<()> {
        self.ensure_foundation()?;
        for one in &mut self.boxes {
            for process in [&mut one.smbd, &mut one.agent].into_iter().flatten() {
                process.ensure_alive()?;
            }
        }
        Ok(())
    }

    /// Fails if a part has ended that everything stands on: all but the boxes.
    pub fn ensure_foundation(&mut self) -> Result<()> {
        let others = [self.postgres.process(), self.cloud_process.as_mut(), self.api_process.as_mut()];
        for process in others.into_iter().flatten().chain([&mut self.slack_process]) {
            process.ensure_alive()?;
        }
        Ok(())
    }

    /// Starts parts of boxes again that have ended of themselves; tells which.
    pub async fn restart_boxes(&mut self) -> Result<Vec<String>> {
        let mut restarted = Vec::new();
        for one in &mut self.boxes {
            restarted.extend(one.restart_ended().await?);
        }
        Ok(restarted)
    }

    /// Processes by name, for whoever wants to look at them.
    pub fn processes(&mut self) -> Vec<(String, u32)> {
        let mut found: Vec<(String, u32)> = Vec::new();
        let fixed = [self.postgres.process(), self.cloud_process.as_mut(), Some(&mut self.slack_process)];
        let boxes = self.boxes.iter_mut().flat_map(|one| [one.smbd.as_mut(), one.agent.as_mut()]);
        for process in fixed.into_iter().chain([self.api_process.as_mut()]).chain(boxes).flatten() {
            found.extend(process.pid().ok().map(|pid| (process.name().to_owned(), pid)));
        }
        found
    }

    /// Ends everything in order: first those who use the others.
    pub async fn stop(self) -> Result<()> {
        let mut outcome = Ok(());
        for one in self.boxes {
            outcome = outcome.and(one.stop().await);
        }
        if let Some(api) = self.api_process {
            outcome = outcome.and(api.stop().await);
        }
        outcome = outcome.and(self.slack_process.stop().await);
        if let Some(cloud) = self.cloud_process {
            outcome = outcome.and(cloud.stop().await);
        }
        outcome.and(self.postgres.stop().await)
    }

    async fn add_box(&mut self, number: usize, smb_port: u16) -> Result<()> {
        let made = RecehubBox::prepare(&self.surroundings(), &self.api, number, smb_port).await?;
        self.boxes.push(made);
        Ok(())
    }
}

/// Holds a folder for this process; the kernel lets go of it when the process ends, however it ends.
pub fn claim(folder: &Path) -> Result<fs::File> {
    let cannot = || format!("cannot write in {}", folder.display());
    fs::create_dir_all(folder).with_context(cannot)?;
    let mut open = fs::File::options();
    let lock =
        open.create(true).truncate(false).write(true).open(folder.join("lock")).with_context(cannot)?;
    if lock.try_lock().is_err() {
        let pid = fs::read_to_string(folder.join(PID_FILE)).unwrap_or_default();
        bail!(
            "{} is in use by a system that runs (process {}); end it with `cargo xtask down`, or give another --dir",
            folder.display(),
            pid.trim()
        );
    }
    Ok(lock)
}

fn api_program(
    port: u16,
    postgres: &Postgres,
    cloud: &Cloud,
    slack: &Slack,
    secrets: &Secrets,
) -> Result<Program> {
    let role = |name: &str| {
        let user = slack.users.get(name).map_or("", String::as_str);
        let role = if name == "english" { "operator" } else { name };
        format!("{user}={role}")
    };
    let roles: Vec<String> = slack.users.keys().map(|name| role(name)).collect();
    Ok(Program::ours("fleet-api", "fleet-api")?
        .env("FLEET_API_LISTEN", format!("127.0.0.1:{port}"))
        .env("DATABASE_URL", postgres.application_url(&secrets.application_password))
        .env("RECEHUB_SERVER_ID", &secrets.server_id)
        .env("RECEHUB_STS_URL", &cloud.endpoint)
        .env("RECEHUB_STS_REGION", &cloud.region)
        .env("RECEHUB_AWS_ACCOUNT", &cloud.account_id)
        .env("RECEHUB_BOX_ROLE", cloud.output("BoxRoleName")?)
        .env("RECEHUB_BOX_POLICY", cloud.output("BoxPolicyName")?)
        .env("PRESCRIPTION_BUCKET", cloud.output("BucketName")?)
        .env("RECEHUB_PATH_KEY", &secrets.path_key)
        .env("RECEHUB_AUDIT_KEY", &secrets.audit_key)
        // A laptop is looked at now, not in five minutes.
        .env("RECEHUB_CHECKPOINT_SECONDS", 10)
        .env("RECEHUB_EVENTS_SECRET", &secrets.events_secret)
        .env("RECEHUB_EVENTS_DESTINATION_ARN", cloud.output("EventsDestinationArn")?)
        // One token does all the asking on a laptop, and one box may have thousands of files to bring.
        .env("RECEHUB_RATE_PER_TOKEN", "20000")
        .env("RECEHUB_RATE_PER_BOX", "5000")
        .env("SLACK_SIGNING_SECRET", &secrets.slack_signing_secret)
        .env("SLACK_BOT_TOKEN", &secrets.slack_bot_token)
        .env("SLACK_API_URL", format!("{}/api", slack.url))
        .env("SLACK_TEAM_ID", &slack.team_id)
        .env("SLACK_APP_ID", &slack.app_id)
        .env("SLACK_CHANNEL_ID", &slack.channel_id)
        .env("SLACK_ROLES", roles.join(","))
        .env("AWS_ENDPOINT_URL", &cloud.endpoint)
        .env("AWS_REGION", &cloud.region)
        .env("AWS_ACCESS_KEY_ID", &secrets.api_key.id)
        .env("AWS_SECRET_ACCESS_KEY", &secrets.api_key.secret))
}

/// The token of up.json, made once: the API keeps only its hash.
async fn api_token(folder: &Path, program: &Program) -> Result<String> {
    let file = folder.join("api-token.json");
    if let Some(token) = read_json::<String>(&file)? {
        return Ok(token);
    }
    let make = program.clone().arg("token").arg("create").flag("--name", "laptop").flag("--scope", "admin");
    let token = make.output().await?.trim().to_owned();
    write_json(&file, &json!(token))?;
    Ok(token)
}

async fn wait_until_ready(process: &mut Process, api: &ApiClient) -> Result<()> {
    until("the fleet API is ready", Duration::from_secs(30), || {
        let alive = process.ensure_alive();
        let ready = api.get("/readyz");
        async move {
            alive?;
            Ok(ready.await.ok().map(drop))
        }
    })
    .await
}
