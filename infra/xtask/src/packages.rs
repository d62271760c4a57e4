//! Debian packages that the system stands on: found or installed, never started, never enabled.

use std::{
    fs,
    io::IsTerminal,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::cargo::{run, workspace};

/// A package, and what is there when the package is: a program, and some module of Python's.
pub struct Package {
    name: &'static str,
    program: &'static str,
    module: Option<&'static str>,
}

const fn package(name: &'static str, program: &'static str) -> Package {
    Package { name, program, module: None }
}

/// `python3 -m venv` ends half-way without this; a Python that is not Debian's has it built in.
const PYTHON: Package = Package { name: "python3-venv", program: "python3", module: Some("ensurepip") };

/// What `up` needs.
pub const UP: &[Package] = &[
    package("postgresql", "postgres"),
    package("samba", "smbd"),
    package("smbclient", "smbclient"),
    package("curl", "curl"),
];

/// What the tests need besides.
pub const TEST: &[Package] =
    &[package("faketime", "faketime"), package("iproute2", "ip"), package("e2fsprogs", "mkfs.ext4"), PYTHON];

/// What the operators' stories are told in: a real browser, with letters to show. Of a font the file is looked for.
pub const BROWSER: &[Package] = &[
    package("chromium", "chromium"),
    package("chromium-driver", "chromedriver"),
    package("fonts-noto-cjk", "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"),
    package("fonts-dejavu-core", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
];

/// What a pharmacy in network namespaces needs besides. None of their services runs on the machine itself.
pub const LAB: &[Package] = &[
    package("network-manager", "NetworkManager"),
    package("dbus", "dbus-daemon"),
    package("dnsmasq-base", "dnsmasq"),
    package("iproute2", "ip"),
    package("e2fsprogs", "mkfs.ext4"),
];

/// What the benches need besides.
pub const BENCH: &[Package] = &[package("faketime", "faketime"), package("iproute2", "ip"), PYTHON];

/// What the slower checks need besides.
pub const CHECK: &[Package] = &[PYTHON];

/// Installs without starting or enabling any service; also what a person is told to run.
const SCRIPT: &str = "infra/xtask/packages.sh";

/// Installs whichever of them are missing.
pub fn ensure(wanted: &[&[Package]]) -> Result<()> {
    let missing: Vec<&str> =
        wanted.iter().flat_map(|list| list.iter()).filter(|p| !p.is_there()).map(|p| p.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("missing Debian packages: {}", missing.join(" "));
    let Some(prefix) = become_root() else {
        bail!(
            "these need to be installed, and this user may not do it. Run this, then try again:\n\n    \
             sudo sh {SCRIPT} {}\n",
            missing.join(" ")
        );
    };
    println!("installing them with apt-get; no service is started or enabled");
    let mut words = prefix.iter().chain(&["sh", SCRIPT]).chain(&missing);
    let mut command = Command::new(words.next().unwrap_or(&"sh"));
    run(command.args(words).current_dir(workspace()))
}

impl Package {
    fn is_there(&self) -> bool {
        has_program(self.program) && self.module.is_none_or(has_module)
    }
}

fn has_module(module: &str) -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", &format!("import {module}")]).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

fn has_program(program: &str) -> bool {
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
    // On a terminal sudo may ask for the password; elsewhere nobody would answer.
    let ask: &[&str] = if std::io::stdin().is_terminal() { &["-v"] } else { &["-n", "true"] };
    let sudo = Command::new("sudo").args(ask).stderr(Stdio::null()).status();
    sudo.is_ok_and(|status| status.success()).then_some(&["sudo"])
}
