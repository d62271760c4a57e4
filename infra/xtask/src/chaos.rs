//! `cargo xtask chaos …`: the long runs of what `cargo xtask test` runs short.

use anyhow::Result;

use crate::{
    packages,
    up::{build, run_testbed},
};

pub fn run_chaos(rest: &[String]) -> Result<()> {
    packages::ensure(&[packages::UP, packages::LAB])?;
    build()?;
    run_testbed(&[&["chaos".to_owned()], rest].concat())
}
