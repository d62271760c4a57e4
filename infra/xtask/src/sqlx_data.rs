//! `fleet-api/.sqlx`: what a real, migrated database says about every query, so that builds need none.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, Result, ensure};

use crate::{
    cargo::{binaries, cargo, run, workspace},
    packages,
    test::Postgres,
};

/// Compares the committed folder with what the database says now.
pub fn check(postgres: &Postgres) -> Result<()> {
    let fresh = prepare(postgres)?;
    let same = contents(&fresh)? == contents(&committed())?;
    ensure!(same, "fleet-api/.sqlx is not up to date: run `cargo xtask sqlx` and commit the folder");
    Ok(())
}

/// Writes the folder anew.
pub fn rewrite() -> Result<()> {
    packages::ensure(&[packages::UP])?;
    // Not the fleet API: with queries that the folder does not have yet it would not build.
    run(&mut cargo(["build", "--package", "testbed", "--bins"]))?;
    let postgres = Postgres::start()?;
    let fresh = prepare(&postgres)?;
    let target = committed();
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    fs::create_dir_all(&target)?;
    for name in contents(&fresh)?.keys() {
        fs::copy(fresh.join(name), target.join(name))?;
    }
    println!("{} queries written", contents(&target)?.len());
    Ok(())
}

fn committed() -> PathBuf {
    workspace().join("fleet-api/.sqlx")
}

fn prepare(postgres: &Postgres) -> Result<PathBuf> {
    let folder = binaries().join("sqlx-data");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    // The macros run only if the crate is compiled again.
    touch(&workspace().join("fleet-api/src/lib.rs"))?;
    // The whole workspace: alone, the crate's dependencies would have other features and be built anew.
    let mut check = cargo(["check", "--quiet", "--workspace", "--all-targets"]);
    check.env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", &folder).env("DATABASE_URL", postgres.url());
    run(&mut check)?;
    Ok(folder)
}

fn touch(file: &Path) -> Result<()> {
    let file = fs::File::options().append(true).open(file).context("fleet-api has no lib.rs")?;
    Ok(file.set_modified(SystemTime::now())?)
}

fn contents(folder: &Path) -> Result<BTreeMap<String, String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} is missing", folder.display()))?;
    let mut contents = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") {
            contents.insert(name, fs::read_to_string(entry.path())?);
        }
    }
    Ok(contents)
}
