//! Crates that must not be compiled: a second TLS stack doubles the build and panics at run time.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::cargo::{cargo, output};

const BANNED: &[&str] = &["openssl", "openssl-sys", "native-tls", "aws-lc-sys", "aws-lc-rs"];
/// Of these there may be one version.
const SINGLE: &[&str] = &["rustls", "hyper", "ring"];

pub fn check() -> Result<()> {
    // Not `cargo metadata`: that also lists optional crates which nothing here compiles.
    let tree = output(&mut cargo([
        "tree",
        "--workspace",
        "-e",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    let faults = faults(&tree);
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

fn faults(tree: &str) -> Vec<String> {
    let crates: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            words.next().zip(words.next())
        })
        .collect();
    let mut faults: Vec<String> = crates
        .iter()
        .filter(|(name, _)| BANNED.contains(name))
        .map(|(name, version)| {
            format!("banned: {name} {version} (find it with `cargo tree -e normal,build -i {name}`)")
        })
        .collect();
    for single in SINGLE {
        let versions: Vec<&str> = crates.iter().filter(|(name, _)| name == single).map(|(_, v)| *v).collect();
        if versions.len() != 1 {
            faults.push(format!(
                "there must be one {single}, there are {}: {}",
                versions.len(),
                versions.join(", ")
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_tls_stack_is_found() {
        let clean = "ring v0.17.0\nrustls v0.23.1\nhyper v1.0.0\nrustls v0.23.1 (*)\n";

        assert_eq!(faults(clean), Vec::<String>::new());
        assert_eq!(faults(&format!("{clean}rustls v0.21.0\naws-lc-sys v0.1.0\n")).len(), 2);
    }
}
