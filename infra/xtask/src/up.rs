//! `cargo xtask up`: install, build, hand over to the testbed.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::{
    cargo::{binaries, cargo, run, workspace},
    packages,
};

pub fn run_testbed(arguments: &[String]) -> Result<()> {
    let testbed = binaries().join("testbed");
    let error = std::process::Command::new(&testbed).args(arguments).current_dir(workspace()).exec();
    Err(error).with_context(|| format!("cannot start {}", testbed.display()))
}

pub fn run_up(rest: &[String]) -> Result<()> {
    packages::ensure(&[packages::UP])?;
    build()?;
    let mut arguments = vec!["up".to_owned()];
    arguments.extend_from_slice(rest);
    run_testbed(&arguments)
}

/// Builds every binary; cargo shows its progress.
pub fn build() -> Result<()> {
    run(&mut cargo(["build", "--workspace", "--bins"]))
}
