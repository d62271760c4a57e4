//! `cargo xtask check`: what is slower, or needs a tool from elsewhere.

use std::process::Command;

use anyhow::Result;

use crate::{
    cargo::{cargo, run, workspace},
    openapi, packages,
    test::run_tests,
    venv,
};

/// The version that the template was last read with.
const CFN_LINT: &str = "cfn-lint==1.*\n";

pub fn run_all() -> Result<()> {
    packages::ensure(&[packages::CHECK, packages::UP])?;
    let programs = venv::ensure("check-venv", CFN_LINT)?;
    println!("== CloudFormation template");
    run(Command::new(programs.join("cfn-lint")).arg(workspace().join("infra/aws/recehub.yaml")))?;
    println!("no finding");
    println!("== its policies: no statement wider than it must be");
    run_tests(&mut cargo(["test", "--quiet", "--package", "local-cloud", "--test", "it", "least::"]))?;
    println!("== the fleet API against its own document");
    openapi::check()
}
