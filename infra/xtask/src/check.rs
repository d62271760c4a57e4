//! `cargo xtask check`: what is slower, or needs a tool from elsewhere.

use std::process::Command;

use anyhow::Result;

use crate::{
    cargo::{run, workspace},
    packages, venv,
};

/// The version that the template was last read with.
const CFN_LINT: &str = "cfn-lint==1.*\n";

pub fn run_all() -> Result<()> {
    packages::ensure(&[packages::CHECK])?;
    let programs = venv::ensure("check-venv", CFN_LINT)?;
    println!("== CloudFormation template");
    run(Command::new(programs.join("cfn-lint")).arg(workspace().join("infra/aws/recehub.yaml")))?;
    println!("no finding");
    Ok(())
}
