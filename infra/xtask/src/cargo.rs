//! Calls of cargo and other programs, with their failure told in words.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// The workspace's folder, from wherever `cargo xtask` was called.
pub fn workspace() -> PathBuf {
    // `cargo run` tells where this package lies now; a binary from elsewhere only where it was built.
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.ancestors().nth(2).unwrap_or(&here).to_owned()
}

/// Where binaries of the `dev` profile come to lie.
pub fn binaries() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    target.join("debug")
}

/// `cargo …` in the workspace.
pub fn cargo<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace());
    // What cargo tells us of this package, ring's build takes as its own: with it, everything above ring would be
    // built anew whenever `cargo xtask …` and `cargo …` take turns.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|of_a_package| name.to_string_lossy().starts_with(of_a_package))
        {
            command.env_remove(name);
        }
    }
    command
}

/// Runs it with its output on the terminal.
pub fn run(command: &mut Command) -> Result<()> {
    let words = words(command);
    let status = command.status().with_context(|| format!("cannot start `{words}`"))?;
    ensure!(status.success(), "`{words}` failed");
    Ok(())
}

/// Runs it and gives back what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    let words = words(command);
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start `{words}`"))?;
    ensure!(output.status.success(), "`{words}` failed");
    String::from_utf8(output.stdout).with_context(|| format!("`{words}` did not print text"))
}

fn words(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let mut all = vec![program.to_string_lossy()];
    all.extend(command.get_args().map(OsStr::to_string_lossy));
    all.join(" ")
}
