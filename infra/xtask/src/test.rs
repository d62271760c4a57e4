//! `cargo xtask test`: everything that must hold before a change lands.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    banned,
    cargo::{binaries, cargo, run, workspace},
    imports, packages, sqlx_data, up, venv,
};

pub fn run_all() -> Result<()> {
    step("packages", || packages::ensure(&[packages::UP, packages::TEST, packages::BROWSER, packages::LAB]))?;
    step("formatting", || run(&mut cargo(["fmt", "--all", "--check"])))?;
    step("import directions", imports::check)?;
    step("banned crates", banned::check)?;
    step("build", up::build)?;
    step("lints", || {
        run(&mut cargo(["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    })?;
    step("documentation", || {
        run(cargo(["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings"))
    })?;
    let postgres = Postgres::start()?;
    step("query data", || sqlx_data::check(&postgres))?;
    let mut python = PathBuf::new();
    step("foreign clients", || {
        python = venv::foreign_python()?;
        Ok(())
    })?;
    step("tests", || tests(&postgres, &python))
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("== {name}");
    let started = Instant::now();
    work().with_context(|| format!("{name} failed"))?;
    println!("== {name}: {} s", started.elapsed().as_secs());
    Ok(())
}

fn tests(postgres: &Postgres, python: &Path) -> Result<()> {
    let mut command = cargo(["test", "--workspace", "--no-fail-fast"]);
    command.env("DATABASE_URL", postgres.url()).env("RECEHUB_FOREIGN_PYTHON", python);
    run_tests(&mut command)
}

/// Runs a `cargo test …`. A test that was skipped shows nothing, so it counts as failed, and so does none at all.
pub fn run_tests(command: &mut Command) -> Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start `cargo test`")?;
    let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let (mut passed, mut ignored) = (0, 0);
    for line in lines {
        let line = line?;
        writeln!(std::io::stdout(), "{line}")?;
        if line.starts_with("test result:") {
            passed += count(&line, "passed");
            ignored += count(&line, "ignored");
        }
    }
    ensure!(child.wait()?.success(), "a test failed");
    ensure!(ignored == 0, "{ignored} tests were skipped");
    ensure!(passed > 0, "no test ran");
    println!("{passed} tests passed");
    Ok(())
}

/// The number before a word of `test result: ok. 3 passed; 0 failed; …`.
fn count(line: &str, word: &str) -> u32 {
    let before = line.split(word).next().unwrap_or_default();
    before.split_whitespace().next_back().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// A Postgres cluster of the tests' own, gone when this is.
pub struct Postgres {
    child: Child,
    url: String,
}

impl Postgres {
    /// Starts one, migrated, by way of the testbed, which tells its address on the first line.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// One whose commits are on the disk.
    pub fn durable() -> Result<Self> {
        Self::start_with(&["--durable"])
    }

    fn start_with(flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(binaries().join("testbed"));
        command.arg("postgres").arg("--migrations").arg(workspace().join("migrations")).args(flags);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the testbed's Postgres")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        match line.trim() {
            "" => bail!("the testbed's Postgres did not start"),
            url => Ok(Self { child, url: url.to_owned() }),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It ends when its standard input does.
        drop(self.child.stdin.take());
        if self.child.wait().is_err() {
            eprintln!("the testbed's Postgres did not end");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_tests_are_counted() {
        let line = "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out";

        assert_eq!((count(line, "passed"), count(line, "ignored")), (12, 3));
    }
}
