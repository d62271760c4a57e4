//! A private Postgres cluster: its own data, a loopback port, no socket, no service of the machine's.

mod backup;

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::Signal;
use sqlx::{Connection, PgConnection};

use crate::{
    process::{Process, Program},
    secrets::{text, write_file},
    wait::until,
};

/// The owner of the cluster; applications get roles of their own.
const SUPERUSER: &str = "postgres";
/// Owns the database and brings it up to date; nobody serves as it.
const OWNER: &str = "recehub_owner";
/// The role that the fleet API works as, and the database's name.
const APPLICATION: &str = "recehub";

pub struct Postgres {
    program: Program,
    logs: PathBuf,
    process: Option<Process>,
    port: u16,
    password: String,
}

/// How much a power cut of this machine may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Full,
    /// For tests, whose data nobody wants after them. A crash of the process alone still costs nothing:
    /// what was committed has been handed to the kernel.
    None,
}

impl Postgres {
    /// Starts the cluster of `folder`, making it first if there is none.
    pub async fn start(
        folder: &Path,
        logs: &Path,
        port: u16,
        password: &str,
        durability: Durability,
    ) -> Result<Self> {
        let binaries = binaries()?;
        let user = rustix::process::geteuid().is_root().then_some(SUPERUSER);
        let data = data_folder(folder, user).await?;
        if !data.exists() {
            make_cluster(&binaries, &data, user, password).await?;
        }
        let fsync = if durability == Durability::Full { "on" } else { "off" };
        let program = Program::new("postgres", binaries.join("postgres"))
            .flag("-D", data.display())
            .flag("-p", port)
            .flag("-c", "listen_addresses=127.0.0.1")
            .flag("-c", "unix_socket_directories=")
            .flag("-c", "max_connections=200")
            .flag("-c", "shared_buffers=64MB")
            .flag("-c", format!("fsync={fsync}"))
            .as_user(user)
            .interrupted_to_end();
        let (logs, password) = (logs.to_owned(), password.to_owned());
        let mut postgres = Self { program, logs, process: None, port, password };
        postgres.start_again().await?;
        Ok(postgres)
    }

    /// Ends it as a crash would ("immediate shutdown"): transactions are lost where they stand, and the
    /// next start recovers from the log. Killing the first process alone would leave the others behind.
    pub async fn crash(&mut self) -> Result<()> {
        self.process.take().context("Postgres does not run")?.end_by(Signal::QUIT).await
    }

    pub async fn start_again(&mut self) -> Result<()> {
        let url = self.superuser_url(SUPERUSER);
        let process = self.process.insert(self.program.start(&self.logs)?);
        until("Postgres is ready", Duration::from_secs(30), || {
            let alive = process.ensure_alive();
            let url = url.clone();
            async move {
                alive?;
                let connection = PgConnection::connect(&url).await;
                Ok(connection.is_ok().then_some(()))
            }
        })
        .await
    }

    /// An address with every right, for setting things up.
    pub fn superuser_url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// As which the migrations run.
    pub fn owner_url(&self) -> String {
        format!("postgres://{OWNER}:{}@127.0.0.1:{}/{APPLICATION}", self.password, self.port)
    }

    pub fn application_url(&self, password: &str) -> String {
        format!("postgres://{APPLICATION}:{password}@127.0.0.1:{}/{APPLICATION}", self.port)
    }

    /// The role that `migrate` gives its rights.
    pub fn application_role(&self) -> &'static str {
        APPLICATION
    }

    /// Makes the roles and the database. Roles belong to the cluster, so no migration makes them.
    pub async fn prepare_application(&self, password: &str) -> Result<()> {
        let mut db = PgConnection::connect(&self.superuser_url(SUPERUSER)).await?;
        for (role, password) in [(OWNER, self.password.as_str()), (APPLICATION, password)] {
            let known =
                exists(&mut db, "select exists (select from pg_roles where rolname = $1)", role).await?;
            let verb = if known { "alter" } else { "create" };
            let statement = format!("{verb} role {role} login password '{password}'");
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut db).await?;
        }
        let known = "select exists (select from pg_database where datname = $1)";
        if !exists(&mut db, known, APPLICATION).await? {
            let statement = format!("create database {APPLICATION} owner {OWNER}");
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut db).await?;
        }
        db.close().await?;
        // A state from before there was an owner: what the application made is not its own any more.
        let mut db = PgConnection::connect(&self.superuser_url(APPLICATION)).await?;
        let statement = format!("reassign owned by {APPLICATION} to {OWNER}");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut db).await?;
        Ok(db.close().await?)
    }

    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    pub async fn stop(self) -> Result<()> {
        match self.process {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }
}

async fn exists(db: &mut PgConnection, question: &'static str, name: &str) -> Result<bool> {
    Ok(sqlx::query_scalar(question).bind(name).fetch_one(db).await?)
}

/// The newest Postgres that Debian has put on this machine.
fn binaries() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("Postgres is not installed")?;
    let mut found: Vec<(u32, PathBuf)> = versions
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, binaries)| binaries.join("postgres").is_file())
        .collect();
    found.sort();
    found.pop().map(|(_, binaries)| binaries).context("Postgres is not installed")
}

/// Where the cluster lies: in `folder`, unless the user it runs as cannot get there.
async fn data_folder(folder: &Path, user: Option<&str>) -> Result<PathBuf> {
    let pointer = folder.join("postgres");
    fs::create_dir_all(folder)?;
    if fs::symlink_metadata(&pointer).is_err() {
        if can_reach(folder, user).await {
            fs::create_dir(&pointer)?;
        } else {
            // A name of its own: a state directory that was deleted must not find its old cluster.
            let elsewhere = Path::new("/var/lib/recehub").join(format!("postgres-{}", text(12)));
            fs::create_dir_all(&elsewhere)?;
            std::os::unix::fs::symlink(&elsewhere, &pointer)?;
        }
    }
    Ok(fs::canonicalize(&pointer)?.join("data"))
}

async fn can_reach(folder: &Path, user: Option<&str>) -> bool {
    let test = Program::new("test", "test").flag("-x", folder.display()).as_user(user);
    test.output().await.is_ok()
}

async fn ids(user: &str) -> Result<(u32, u32)> {
    let ask = |flag: &str| Program::new("id", "id").arg(flag).arg(user);
    let number = |text: String| text.trim().parse::<u32>();
    Ok((number(ask("-u").output().await?)?, number(ask("-g").output().await?)?))
}

/// Makes a cluster beside its place and puts it there when it is whole: initdb may be cut short.
async fn make_cluster(binaries: &Path, data: &Path, user: Option<&str>, password: &str) -> Result<()> {
    let draft = data.with_extension("draft");
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    fs::create_dir(&draft)?;
    let password_file = data.with_file_name("password");
    write_file(&password_file, password.as_bytes(), 0o600)?;
    if let Some(user) = user {
        let (uid, gid) = ids(user).await?;
        chown(&draft, Some(uid), Some(gid))?;
        chown(&password_file, Some(uid), Some(gid))?;
    }
    let made = Program::new("initdb", binaries.join("initdb"))
        .flag("-D", draft.display())
        .flag("-U", SUPERUSER)
        .flag("-A", "scram-sha-256")
        .flag("--pwfile", password_file.display())
        .arg("--encoding=UTF8")
        .arg("--no-locale")
        .arg("--no-sync")
        .as_user(user)
        .output()
        .await;
    fs::remove_file(&password_file)?;
    made?;
    Ok(fs::rename(&draft, data)?)
}
