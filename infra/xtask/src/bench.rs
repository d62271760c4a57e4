//! `cargo xtask bench …`: figures of this machine, in release.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    cargo::{cargo, run},
    packages,
    test::Postgres,
    venv,
};

/// The words after the name choose parts of the bench.
pub fn run_bench(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((name, parts)) if name == "cloud" => {
            run(&mut cargo(["build", "--release", "--package", "local-cloud", "--package", "cloud-bench"]))?;
            run(cargo(["run", "--quiet", "--release", "--package", "cloud-bench", "--"]).args(parts))
        }
        Some((name, parts)) if name == "capture" => {
            packages::ensure(&[packages::UP, packages::BENCH])?;
            let [rclone, s5cmd] = venv::rivals()?;
            run(system(name)?.args(parts).env("RECEHUB_RCLONE", rclone).env("RECEHUB_S5CMD", s5cmd))
        }
        Some((name, parts)) if name == "api" => {
            packages::ensure(&[packages::UP])?;
            run(system(name)?.args(parts))
        }
        Some((name, [])) if name == "slack" => {
            packages::ensure(&[packages::UP])?;
            run(&mut system(name)?)
        }
        Some((name, [])) if name == "line" => {
            packages::ensure(&[packages::UP, packages::BENCH])?;
            run(&mut system(name)?)
        }
        Some((name, [])) if name == "audit" => {
            packages::ensure(&[packages::UP])?;
            run(&mut cargo(["build", "--workspace", "--bins"]))?;
            let postgres = Postgres::durable()?;
            let mut bench = cargo(["bench", "--quiet", "--workspace", "--bench", "audit"]);
            run(bench.env("DATABASE_URL", postgres.url()))
        }
        _ => {
            bail!(
                "bench what? `cloud [shadows|idle|objects]`, `capture [footprint|paced|burst]`, `api [list|lan|uploads|memory]`, `line`, `slack` or `audit`"
            )
        }
    }
}

/// A bench that starts the whole system, all of it in release.
fn system(name: &str) -> Result<Command> {
    run(&mut cargo(["build", "--release", "--workspace", "--bins"]))?;
    Ok(cargo(["bench", "--quiet", "--workspace", "--bench", name, "--"]))
}
