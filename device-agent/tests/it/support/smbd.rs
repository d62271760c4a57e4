//! A real smbd for tests: on a loopback port, with folders of its own.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use device_agent::{config::hosting::Hosting, identity::sealing::SealingKey, share::ShareHost};
use device_model::{enrolment::SHARE_PASSWORD_INFO, lan::ReservedRanges, share::ShareSettings};
use hpke::{
    Deserializable, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256, kem::X25519HkdfSha256,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::eventually;

pub const THING: &str = "tenpo-0001";

/// A box's folders, and smbd if it was started.
pub struct Samba {
    pub home: TempDir,
    pub hosting: Hosting,
    smbd: Option<Child>,
}

impl Samba {
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        let mut machine = vec!["interfaces = lo".to_owned(), "bind interfaces only = yes".to_owned()];
        for (option, name) in [
            ("lock directory", "lock"),
            ("state directory", "smbd-state"),
            ("cache directory", "cache"),
            ("private dir", "private"),
            ("pid directory", "pid"),
            ("ncalrpc dir", "ncalrpc"),
        ] {
            fs::create_dir(at(name)).unwrap();
            machine.push(format!("{option} = {}", at(name).display()));
        }
        for name in ["share", "state", "log"] {
            fs::create_dir(at(name)).unwrap();
        }
        machine.push(format!("log file = {}\n", at("log/smbd.log").display()));
        write(&at("machine.conf"), &machine.join("\n"));
        let id = Command::new("id").arg("-un").output().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let hosting = Hosting {
            conf: at("smb.conf"),
            account: String::from_utf8(id.stdout).unwrap().trim().to_owned(),
            port: free.local_addr().unwrap().port(),
            include: Some(at("machine.conf")),
            pid_file: None,
        };
        Self { home, hosting, smbd: None }
    }

    /// With the share set up and smbd running.
    pub async fn started() -> (Self, ShareHost) {
        let mut this = Self::new();
        let host = this.host();
        host.start().await.unwrap();
        this.start().await;
        (this, host)
    }

    /// What an agent that starts here makes of it.
    pub fn host(&self) -> ShareHost {
        let (hosting, share, state) = (self.hosting.clone(), self.share(), self.state());
        let thing = THING.parse().unwrap();
        ShareHost::open(hosting, share, &state, thing, self.sealing(), ReservedRanges::default()).unwrap()
    }

    pub fn sealing(&self) -> SealingKey {
        SealingKey::load_or_make(&self.state().join("sealing.key")).unwrap()
    }

    pub fn share(&self) -> PathBuf {
        self.home.path().join("share")
    }

    pub fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    pub async fn start(&mut self) {
        let smbd = Command::new("/usr/sbin/smbd")
            .args(["--foreground", "--no-process-group", "-s"])
            .arg(&self.hosting.conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // When it ends it ends its whole group.
            .process_group(0)
            .spawn();
        self.smbd = Some(smbd.expect("smbd is needed"));
        let port = self.hosting.port;
        eventually("smbd answers", || async { TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok() }).await;
    }

    /// What the receipt computer would do.
    pub fn run(&self, name: &str, credentials: &Path, command: &str) -> Output {
        self.client(name, credentials).args(["-c", command]).stdin(Stdio::null()).output().unwrap()
    }

    /// A client that stays connected until nobody has anything to tell it any more.
    pub fn stay(&self, name: &str, credentials: &Path) -> Child {
        self.client(name, credentials).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    }

    fn client(&self, name: &str, credentials: &Path) -> Command {
        let mut client = Command::new("smbclient");
        client.args([&format!("//127.0.0.1/{name}"), "-s", "/dev/null", "-A"]).arg(credentials);
        client.args(["-p", &self.hosting.port.to_string()]);
        client
    }

    /// Whether a user gets into a share with a password.
    pub fn lets_in(&self, name: &str, user: &str, password: &str) -> bool {
        let file = self.home.path().join("typed");
        write(&file, &format!("username = {user}\npassword = {password}\n"));
        self.run(name, &file, "exit").status.success()
    }
}

impl Drop for Samba {
    fn drop(&mut self) {
        if let Some(mut smbd) = self.smbd.take() {
            // It takes its children along.
            let _ = kill_process(Pid::from_child(&smbd), Signal::TERM);
            drop(smbd.wait());
        }
    }
}

pub fn write(path: &Path, text: &str) {
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

pub fn settings(name: &str, user: &str) -> ShareSettings {
    let workgroup = "WORKGROUP".to_owned();
    ShareSettings { name: name.to_owned(), user: user.to_owned(), workgroup, password_sealed: None }
}

/// As the cloud seals a password to a box.
pub fn seal(to: &SealingKey, password: &str) -> String {
    type Kem = X25519HkdfSha256;
    let key = <Kem as hpke::Kem>::PublicKey::from_bytes(&to.public_key()).unwrap();
    let (encapsulated, sealed) = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem, _>(
        &OpModeS::Base,
        &key,
        SHARE_PASSWORD_INFO,
        password.as_bytes(),
        THING.as_bytes(),
        &mut rand::rng(),
    )
    .unwrap();
    STANDARD.encode([&encapsulated.to_bytes()[..], &sealed].concat())
}
