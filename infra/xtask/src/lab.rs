//! `cargo xtask lab …`: pharmacies in network namespaces, for people to look into and to break.

use anyhow::{Result, bail};

use crate::{
    down, packages,
    up::{build, run_testbed},
};

pub fn run_lab(rest: &[String]) -> Result<()> {
    let words = |command: &str| vec!["lab".to_owned(), command.to_owned()];
    match rest.split_first() {
        Some((command, rest)) if command == "up" => {
            packages::ensure(&[packages::UP, packages::LAB])?;
            build()?;
            run_testbed(&[&words("up")[..], rest].concat())
        }
        Some((command, rest)) if command == "down" => {
            down::end("lab down", ".recehub-lab", rest)?;
            // If its supervisor was killed there is nobody to end; what is left is found by its mark.
            build()?;
            run_testbed(&words("sweep"))
        }
        _ => bail!("usage: cargo xtask lab up [--pharmacies N] [--dir DIR] | down [--dir DIR]"),
    }
}
