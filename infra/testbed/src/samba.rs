//! A box's share: a real smbd on a loopback port, for one user, without touching the machine's Samba.

use std::{
    fmt::Write,
    fs,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    process::{Process, Program},
    secrets::write_file,
    wait::until,
};

/// The share of one box, as up.json tells of it.
#[derive(Debug, Clone)]
pub struct Share {
    /// Where the files lie: what the agent watches.
    pub folder: PathBuf,
    pub port: u16,
    pub name: String,
    pub user: String,
    pub password: String,
    private: PathBuf,
    /// Those that smbd keeps to.
    interfaces: Option<&'static str>,
}

impl Share {
    pub fn new(home: &Path, port: u16, password: &str) -> Result<Self> {
        let folder = home.join("share");
        fs::create_dir_all(&folder)?;
        // The box would make a password of its own; here everybody knows it beforehand.
        let own = home.join("state/share/password");
        if !own.exists() {
            fs::create_dir_all(home.join("state/share"))?;
            write_file(&own, password.as_bytes(), 0o600)?;
        }
        let (name, user) = ("rx".to_owned(), "rece".to_owned());
        let (password, private) = (password.to_owned(), home.join("samba"));
        Ok(Self { folder, port, name, user, password, private, interfaces: Some("lo") })
    }

    /// The same share, open to whatever network it stands in.
    #[must_use]
    pub fn on_every_interface(self) -> Self {
        Self { interfaces: None, ..self }
    }

    /// Starts smbd and waits until it answers.
    pub async fn start(&self, logs: &Path, process_name: &str) -> Result<Process> {
        let smbd = self.smbd(logs, process_name).await?;
        let mut process = smbd.start(logs)?;
        until("smbd answers", Duration::from_secs(20), || {
            let alive = process.ensure_alive();
            let open = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok();
            async move { alive.map(|()| open.then_some(())) }
        })
        .await?;
        Ok(process)
    }

    /// What starts smbd.
    pub async fn smbd(&self, logs: &Path, process_name: &str) -> Result<Program> {
        let configuration = self.configure(&logs.join("samba")).await?;
        Ok(Program::new(process_name, find("smbd")?)
            .arg("--foreground")
            .arg("--no-process-group")
            .flag("-s", configuration.display()))
    }

    /// What lets the share's user in, or not.
    pub async fn set_account(&self, is_open: bool) -> Result<Program> {
        let flags = if is_open { "[]" } else { "[D]" };
        let configuration = self.private.join("smb.conf");
        let edit = Program::new("pdbedit", "pdbedit").flag("-s", configuration.display()).arg("-r");
        Ok(edit.flag("-u", account().await?).flag("-c", flags))
    }

    /// `smbclient` on this share, with a command of its own language, e.g. `put a b`.
    pub fn client(&self, command: &str) -> Program {
        self.client_at("127.0.0.1", command)
    }

    /// The same from elsewhere.
    pub fn client_at(&self, address: &str, command: &str) -> Program {
        self.open(Program::new("smbclient", "smbclient"), address).flag("-c", command)
    }

    /// The same with the lines of a file, of which some may be of the shell's, e.g. `!sleep 1`.
    pub fn client_reading(&self, commands: &Path) -> Program {
        let line = r#"exec smbclient "$@" < "$0""#;
        let shell = Program::new("smbclient", "sh").flag("-c", line).arg(commands.display().to_string());
        self.open(shell, "127.0.0.1")
    }

    fn open(&self, smbclient: Program, address: &str) -> Program {
        smbclient
            .arg(format!("//{address}/{}", self.name))
            .flag("-p", self.port)
            .flag("-U", format!("{}%{}", self.user, self.password))
            .flag("-m", "SMB3")
    }

    /// What the box's agent needs to know to host the share, with the names of its environment.
    pub async fn hosting(&self) -> Result<[(&'static str, String); 4]> {
        Ok([
            ("RECEHUB_SHARE_CONF", self.configuration().display().to_string()),
            ("RECEHUB_SHARE_ACCOUNT", account().await?),
            ("RECEHUB_SHARE_PORT", self.port.to_string()),
            ("RECEHUB_SHARE_INCLUDE", self.machine().display().to_string()),
        ])
    }

    fn configuration(&self) -> PathBuf {
        self.private.join("smb.conf")
    }

    /// What smbd is told beside the share: where its own files lie, and to stay on this machine.
    fn machine(&self) -> PathBuf {
        self.private.join("machine.conf")
    }

    /// The share as a box's agent first offers it, which takes over from there.
    async fn configure(&self, logs: &Path) -> Result<PathBuf> {
        let kept_to =
            self.interfaces.map(|names| format!("interfaces = {names}\nbind interfaces only = yes\n"));
        let mut machine = kept_to.unwrap_or_default();
        for kind in ["lock", "state", "cache", "private", "pid", "ncalrpc"] {
            let folder = self.private.join(kind);
            fs::create_dir_all(&folder)?;
            let option = match kind {
                "ncalrpc" => "ncalrpc dir".to_owned(),
                "private" => "private dir".to_owned(),
                kind => format!("{kind} directory"),
            };
            writeln!(machine, "{option} = {}", folder.display())?;
        }
        fs::create_dir_all(logs)?;
        writeln!(machine, "log file = {}/smbd.%p.log", logs.display())?;
        write_file(&self.machine(), machine.as_bytes(), 0o600)?;
        let configuration = self.configuration();
        let port = format!("smb ports = {}\n", self.port);
        if fs::read_to_string(&configuration).is_ok_and(|text| text.contains(&port)) {
            return Ok(configuration);
        }
        // smbd can only work as accounts of this machine: the share's user is mapped to ours.
        let account = account().await?;
        let map = self.private.join("users");
        write_file(&map, format!("!{account} = {}\n", self.user).as_bytes(), 0o600)?;
        let text = format!(
            "[global]\n  include = {machine}\n  server role = standalone\n  workgroup = WORKGROUP\n  \
             {port}  disable netbios = yes\n  username map = {map}\n  server min protocol = SMB2_10\n  \
             load printers = no\n  printcap name = /dev/null\n  disable spoolss = yes\n  \
             log level = 0\n  max log size = 1000\n\
             [{name}]\n  path = {share}\n  read only = no\n  valid users = {account}\n  \
             sync always = yes\n  create mask = 0600\n  directory mask = 0700\n",
            machine = self.machine().display(),
            map = map.display(),
            name = self.name,
            share = self.folder.display(),
        );
        write_file(&configuration, text.as_bytes(), 0o600)?;
        self.set_password(&configuration, &account).await?;
        Ok(configuration)
    }

    /// `pdbedit` writes our own database also without root, which `smbpasswd` does not.
    async fn set_password(&self, configuration: &Path, account: &str) -> Result<()> {
        let input = self.private.join("password");
        write_file(&input, format!("{0}\n{0}\n", self.password).as_bytes(), 0o600)?;
        // It takes the password from its standard input only.
        let line = r#"exec pdbedit -s "$1" -a -u "$2" -t < "$3""#;
        let done = Program::new("pdbedit", "sh")
            .flag("-c", line)
            .arg("sh")
            .arg(configuration.display().to_string())
            .arg(account)
            .arg(input.display().to_string())
            .output()
            .await;
        fs::remove_file(&input)?;
        done.map(drop)
    }
}

/// The one that smbd works as: ours.
async fn account() -> Result<String> {
    Ok(Program::new("id", "id").arg("-un").output().await?.trim().to_owned())
}

/// smbd is not on every user's PATH.
fn find(program: &str) -> Result<PathBuf> {
    let folders = ["/usr/sbin", "/usr/local/sbin", "/sbin"];
    let found = folders.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file());
    found.with_context(|| format!("{program} is not installed"))
}
