//! Samba's own programs, each bounded in time. A password goes in on standard input: arguments can be
//! read by everybody on the machine.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{io::AsyncWriteExt, process::Command, time::timeout};
use zeroize::Zeroizing;

use crate::{config::hosting::Hosting, lan::Fault, share::not_set};

/// Each of them takes well under a second on a box.
const PATIENCE: Duration = Duration::from_secs(20);

/// What has to be installed.
pub const PROGRAMS: [&str; 5] = ["testparm", "pdbedit", "smbcontrol", "smbclient", "smbstatus"];

pub struct Samba {
    conf: PathBuf,
    account: String,
    pid_file: Option<PathBuf>,
}

/// What a program said.
pub(super) struct Said {
    pub succeeded: bool,
    pub output: String,
    pub errors: String,
}

impl Samba {
    pub fn new(hosting: &Hosting) -> Self {
        let Hosting { conf, account, pid_file, .. } = hosting;
        Self { conf: conf.clone(), account: account.clone(), pid_file: pid_file.clone() }
    }

    /// Whether smbd would read the file as it was meant: the share there, at its place.
    pub async fn check(&self, conf: &Path, name: &str, share: &Path) -> Result<(), Fault> {
        let section = format!("--section-name={name}");
        let arguments = ["-s", &section, "--parameter-name=path"].map(OsString::from);
        let said = run("testparm", arguments.into_iter().chain([conf.into()]), None).await?;
        if said.succeeded && said.output.trim() == share.to_string_lossy() {
            Ok(())
        } else {
            Err(not_set("testparm does not take the configuration"))
        }
    }

    /// In smbd's database, where only a hash of it stands.
    pub async fn set_password(&self, password: &str) -> Result<(), Fault> {
        let arguments = ["-a", "-u", &self.account, "-t", "-s"].map(OsString::from);
        let arguments = arguments.into_iter().chain([self.conf.clone().into()]);
        let twice = Zeroizing::new(format!("{password}\n{password}\n"));
        let said = run("pdbedit", arguments, Some(twice.as_bytes())).await?;
        if said.succeeded { Ok(()) } else { Err(not_set("pdbedit does not take the password")) }
    }

    /// smbd reads its files anew. One that does not run reads them when it starts.
    pub async fn reload(&self) -> Result<(), Fault> {
        let Some(pid_file) = &self.pid_file else {
            let arguments = ["all", "reload-config", "-s"].map(OsString::from);
            let said =
                run("smbcontrol", arguments.into_iter().chain([self.conf.clone().into()]), None).await?;
            return if said.succeeded { Ok(()) } else { Err(not_set("smbcontrol does not reach smbd")) };
        };
        let pid = fs::read_to_string(pid_file).ok().and_then(|text| text.trim().parse().ok());
        let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) else {
            return Ok(());
        };
        match rustix::process::kill_process(pid, rustix::process::Signal::HUP) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(not_set(&format!("smbd cannot be told to read anew: {error}"))),
        }
    }
}

pub(super) async fn run(
    program: &str,
    arguments: impl IntoIterator<Item = OsString>,
    input: Option<&[u8]>,
) -> Result<Said, Fault> {
    let failed = |error: std::io::Error| not_set(&format!("{program}: {error}"));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let talk = async {
        if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
            // One that ends without reading says why in its answer.
            drop(stdin.write_all(text).await);
        }
        child.wait_with_output().await
    };
    let Ok(output) = timeout(PATIENCE, talk).await else {
        return Err(not_set(&format!("{program} does not end")));
    };
    let output = output.map_err(failed)?;
    Ok(Said {
        succeeded: output.status.success(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
