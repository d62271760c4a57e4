//! Debian packages that the system stands on: found or installed, never started, never enabled.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::cargo::run;

/// A package and a program that is there when the package is.
pub struct Package {
    name: &'static str,
    program: &'static str,
}

const fn package(name: &'static str, program: &'static str) -> Package {
    Package { name, program }
}

/// What `up` needs.
pub const UP: &[Package] = &[
    package("postgresql", "postgres"),
    package("samba", "smbd"),
    package("smbclient", "smbclient"),
    package("curl", "curl"),
];

/// What the tests need besides.
pub const TEST: &[Package] = &[package("faketime", "faketime")];

/// What the slower checks need besides.
pub const CHECK: &[Package] = &[package("python3-venv", "python3")];

/// Services that these packages bring along, and that must not run beside ours.
const SERVICES: &[&str] = &["smbd", "nmbd", "samba-ad-dc", "winbind", "postgresql"];
const POLICY: &str = "/usr/sbin/policy-rc.d";
const CLUSTER_DEFAULTS: &str = "/etc/postgresql-common/createcluster.conf";

/// Installs whichever of them are missing.
pub fn ensure(wanted: &[&[Package]]) -> Result<()> {
    let missing: Vec<&str> =
        wanted.iter().flat_map(|list| list.iter()).filter(|p| !is_there(p.program)).map(|p| p.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("missing Debian packages: {}", missing.join(" "));
    let Some(prefix) = become_root() else {
        bail!(
            "these need to be installed, and this user may not do it. Run this, then try again:\n\n    \
             sudo apt-get install --no-install-recommends {}\n",
            missing.join(" ")
        );
    };
    install(prefix, &missing)
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders.iter().any(|folder| folder.join(program).is_file())
}

/// The words before a command that make it run as root; none if there is no way.
fn become_root() -> Option<&'static [&'static str]> {
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() == b"0" {
        return Some(&[]);
    }
    let sudo = Command::new("sudo").args(["-n", "true"]).stderr(Stdio::null()).status();
    sudo.is_ok_and(|status| status.success()).then_some(&["sudo", "-n"])
}

fn install(prefix: &[&str], missing: &[&str]) -> Result<()> {
    println!("installing them with apt-get; no service is started or enabled");
    let enabled_before = enabled_units();
    let guard = Guard::put_up(prefix)?;
    let apt = |arguments: &[&str]| {
        let mut words =
            vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"];
        words.extend(arguments);
        run(&mut as_root(prefix, &words))
    };
    apt(&["update"])?;
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(missing);
    let installed = apt(&install);
    drop(guard);
    for unit in enabled_units().difference(&enabled_before) {
        run(&mut as_root(prefix, &["deb-systemd-helper", "disable", unit]))?;
    }
    installed.context("apt-get could not install the packages")
}

fn as_root(prefix: &[&str], words: &[&str]) -> Command {
    let mut all = prefix.iter().chain(words);
    let mut command = Command::new(all.next().unwrap_or(&"false"));
    command.args(all);
    command
}

/// Those of [`SERVICES`] that systemd would start at boot.
fn enabled_units() -> BTreeSet<String> {
    let wants = Path::new("/etc/systemd/system/multi-user.target.wants");
    let units = SERVICES.iter().map(|service| format!("{service}.service"));
    units.filter(|unit| fs::symlink_metadata(wants.join(unit)).is_ok()).collect()
}

/// While it lives, packages' scripts may start nothing and make no Postgres cluster.
/// See policy-rc.d in Debian's invoke-rc.d(8) and createcluster.conf in `pg_createcluster(1)`.
struct Guard<'a> {
    prefix: &'a [&'a str],
    remove: Vec<&'static str>,
}

impl<'a> Guard<'a> {
    fn put_up(prefix: &'a [&'a str]) -> Result<Self> {
        let mut guard = Self { prefix, remove: Vec::new() };
        guard.place(POLICY, "#!/bin/sh\nexit 101\n", 0o755)?;
        guard.place(CLUSTER_DEFAULTS, "create_main_cluster = false\n", 0o644)?;
        Ok(guard)
    }

    /// Puts a file where there is none; what an administrator wrote stays.
    fn place(&mut self, target: &'static str, text: &str, mode: u32) -> Result<()> {
        if Path::new(target).exists() {
            return Ok(());
        }
        let draft = std::env::temp_dir().join(format!("recehub-guard-{}", std::process::id()));
        std::io::Write::write_all(&mut fs::File::create(&draft)?, text.as_bytes())?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(mode))?;
        let mode = format!("{mode:o}");
        let source = draft.to_string_lossy().into_owned();
        run(&mut as_root(self.prefix, &["install", "-D", "-m", &mode, &source, target]))?;
        self.remove.push(target);
        fs::remove_file(draft)?;
        Ok(())
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // dpkg would ask about a changed configuration file; the guard's own one is gone by then.
        for target in &self.remove {
            if run(&mut as_root(self.prefix, &["rm", "-f", target])).is_err() {
                eprintln!("could not remove {target}, which keeps services from starting: please remove it");
            }
        }
    }
}
