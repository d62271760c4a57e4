//! `cargo xtask check`: what is slower, or needs a tool from elsewhere.

use std::process::Command;

use anyhow::Result;

use crate::{
    cargo::{binaries, run, workspace},
    packages,
};

/// The version that the template was last read with.
const CFN_LINT: &str = "cfn-lint==1.*";

pub fn run_all() -> Result<()> {
    packages::ensure(&[packages::CHECK])?;
    let venv = binaries().join("check-venv");
    if !venv.join("bin/cfn-lint").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", CFN_LINT]))?;
    }
    println!("== CloudFormation template");
    run(Command::new(venv.join("bin/cfn-lint")).arg(workspace().join("infra/aws/recehub.yaml")))?;
    println!("no finding");
    Ok(())
}
