//! A process of the testbed: started with its output in a file, ended in order, never left behind.

use std::{
    fs::File,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

const GRACE: Duration = Duration::from_secs(10);

/// What to start and how.
#[derive(Debug, Clone)]
pub struct Program {
    name: String,
    path: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    user: Option<String>,
    end_signal: EndSignal,
}

/// How a program is told to end in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndSignal {
    Terminate,
    Interrupt,
}

/// A program that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    end_signal: EndSignal,
}

impl Program {
    pub fn new(name: &str, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            path: path.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            user: None,
            end_signal: EndSignal::Terminate,
        }
    }

    /// One of our own programs, which lie beside this one (a test lies one folder below them).
    pub fn ours(name: &str, program: &str) -> Result<Self> {
        let here = std::env::current_exe()?;
        let found =
            here.ancestors().skip(1).take(2).map(|folder| folder.join(program)).find(|path| path.is_file());
        let hint = "run `cargo build --workspace --bins` first";
        let found = found.with_context(|| format!("{program} is not built: {hint}"))?;
        // Its last lines are told when it ends: they shall be what it said, and not where it said that.
        Ok(Self::new(name, found).env("RUST_LIB_BACKTRACE", "0"))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// `--flag value`
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "callers hand in numbers, texts and displays alike")]
    pub fn flag(self, flag: &str, value: impl ToString) -> Self {
        self.arg(flag).arg(value.to_string())
    }

    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "callers hand in numbers, texts and displays alike")]
    pub fn env(mut self, key: &str, value: impl ToString) -> Self {
        self.environment.push((key.to_owned(), value.to_string()));
        self
    }

    /// Runs as another user, if we are root.
    #[must_use]
    pub fn as_user(mut self, user: Option<&str>) -> Self {
        self.user = user.map(str::to_owned);
        self
    }

    /// Ends at SIGINT, which to Postgres means "at once, but in order".
    #[must_use]
    pub fn interrupted_to_end(mut self) -> Self {
        self.end_signal = EndSignal::Interrupt;
        self
    }

    /// The same program, started by another one that is put in front of it.
    #[must_use]
    pub fn behind(mut self, front: &str, arguments: &[&str]) -> Self {
        let program = std::mem::replace(&mut self.path, front.into());
        let mut all: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        all.push(program.display().to_string());
        all.append(&mut self.arguments);
        self.arguments = all;
        self
    }

    /// In another time, as libfaketime's `FAKETIME` tells it. Not by its wrapper `faketime`: that waits for
    /// what it starts, and does not take it along when it is ended.
    pub fn in_time(self, time: &str) -> Result<Self> {
        let library = |folder: std::fs::DirEntry| folder.path().join("faketime/libfaketime.so.1");
        let found = std::fs::read_dir("/usr/lib")?.flatten().map(library).find(|path| path.is_file());
        let found = found.context("libfaketime is not installed")?;
        Ok(self.env("LD_PRELOAD", found.display()).env("FAKETIME", time))
    }

    /// Starts it; what it prints goes to `{logs}/{name}.log`.
    pub fn start(&self, logs: &Path) -> Result<Process> {
        std::fs::create_dir_all(logs)?;
        let log = logs.join(format!("{}.log", self.name));
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
        // A group of its own: Ctrl-C reaches only the supervisor, which ends all in order.
        command.process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.name))?;
        Ok(Process { name: self.name.clone(), child, log, end_signal: self.end_signal })
    }

    /// Runs it to its end and gives back what it printed.
    pub async fn output(&self) -> Result<String> {
        let output = self.ended().await?;
        if !output.status.success() {
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            bail!("{} failed ({}): {}{}", self.name, output.status, out.trim(), err.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it to its end, good or bad, and gives back how it ended and what it printed.
    pub async fn ended(&self) -> Result<Output> {
        let mut command = self.command();
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(Duration::from_mins(2), command.output()).await;
        let output = output.with_context(|| format!("{} did not end", self.name))?;
        output.with_context(|| format!("cannot start {}", self.name))
    }

    fn command(&self) -> Command {
        // The kernel ends it when the thread that started it is gone, even by SIGKILL.
        let mut command = Command::new("setpriv");
        if let Some(user) = &self.user {
            command.args(["--reuid", user, "--regid", user, "--init-groups"]);
        }
        let signal = match self.end_signal {
            EndSignal::Terminate => "TERM",
            EndSignal::Interrupt => "INT",
        };
        command.args(["--pdeathsig", signal, "--"]).arg(&self.path).args(&self.arguments);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }
}

impl Process {
    pub fn pid(&self) -> Result<u32> {
        self.child.id().with_context(|| format!("{} has ended; see {}", self.name, self.log.display()))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails with the last lines of its log if it has ended.
    pub fn ensure_alive(&mut self) -> Result<()> {
        let Some(status) = self.ended()? else {
            return Ok(());
        };
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(8)..].join("\n");
        let how = status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}"));
        bail!("{} has ended ({how}):\n{last}\n(all of it: {})", self.name, self.log.display())
    }

    /// Ends it in order; if it does not want to, by force.
    pub async fn stop(mut self) -> Result<()> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        self.signal(match self.end_signal {
            EndSignal::Terminate => Signal::TERM,
            EndSignal::Interrupt => Signal::INT,
        })?;
        if timeout(GRACE, self.child.wait()).await.is_err() {
            tracing::warn!(process = self.name, "did not end in time and is killed");
            self.child.kill().await?;
        }
        Ok(())
    }

    /// Ends it as a crash would.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Ends it by a signal of its own meaning, and waits until it has ended.
    pub async fn end_by(mut self, signal: Signal) -> Result<()> {
        self.signal(signal)?;
        let ended = timeout(GRACE, self.child.wait()).await;
        ended.with_context(|| format!("{} did not end", self.name))??;
        Ok(())
    }

    /// Stops it without ending it, as a machine under load might; see [`Self::resume`].
    pub fn suspend(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()?)?;
        Ok(kill_process(Pid::from_raw(pid).context("no process")?, signal)?)
    }
}
