//! `cargo xtask bench …`: figures of this machine, in release.

use anyhow::{Result, bail};

use crate::cargo::{cargo, run};

/// The words after the name choose parts of the bench.
pub fn run_bench(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((name, parts)) if name == "cloud" => {
            run(&mut cargo(["build", "--release", "--package", "local-cloud", "--package", "cloud-bench"]))?;
            run(cargo(["run", "--quiet", "--release", "--package", "cloud-bench", "--"]).args(parts))
        }
        Some((name, [])) if name == "receipt" => {
            run(&mut cargo(["build", "--release", "--workspace", "--bins"]))?;
            run(&mut cargo(["bench", "--quiet", "--workspace", "--bench", "receipt"]))
        }
        _ => bail!("bench what? `cloud [shadows|idle|objects]` or `receipt`"),
    }
}
