//! The directions in which crates may import each other, as ARCHITECTURE.md draws them.

use anyhow::{Result, ensure};

use crate::cargo::{cargo, output};

/// `crate` must never reach a crate whose name begins with one of `never`.
struct Rule {
    krate: &'static str,
    never: &'static [&'static str],
}

const OURS: &[&str] = &["device-model", "device-agent", "fleet-api", "slack-app", "testbed"];
const RULES: &[Rule] = &[
    Rule {
        krate: "device-model",
        never: &["tokio", "axum", "sqlx", "aws-", "slack-app", "fleet-api", "device-agent", "local-"],
    },
    Rule {
        krate: "device-agent",
        never: &["fleet-api", "slack-app", "local-", "testbed", "sqlx", "aws-sdk-", "aws-config"],
    },
    Rule { krate: "fleet-api", never: &["device-agent", "local-", "testbed"] },
    Rule { krate: "slack-app", never: &["fleet-api", "device-agent", "sqlx", "aws-", "local-", "testbed"] },
    Rule { krate: "local-cloud", never: OURS },
    Rule { krate: "local-slack", never: OURS },
];

pub fn check() -> Result<()> {
    let mut broken = Vec::new();
    for rule in RULES {
        for reached in reached_from(rule.krate)? {
            if rule.never.iter().any(|never| matches_name(never, &reached)) {
                broken.push(format!("{} must never import {reached}", rule.krate));
            }
        }
    }
    ensure!(broken.is_empty(), "imports run the wrong way:\n  {}", broken.join("\n  "));
    Ok(())
}

/// What a crate compiles against, its own tests included.
fn reached_from(krate: &str) -> Result<Vec<String>> {
    let shipped = tree(&["-p", krate, "-e", "normal,build"])?;
    let tested = tree(&["-p", krate, "-e", "dev", "--depth", "1"])?;
    let names = shipped.lines().chain(tested.lines()).filter_map(|line| line.split(' ').next());
    let mut names: Vec<String> = names.filter(|name| *name != krate).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    ensure!(names.len() > 3, "`cargo tree -p {krate}` names hardly anything");
    Ok(names)
}

fn tree(arguments: &[&str]) -> Result<String> {
    output(cargo(["tree", "--prefix", "none", "--format", "{p}"]).args(arguments))
}

/// A pattern that ends in `-` is a family of crates.
fn matches_name(pattern: &str, name: &str) -> bool {
    if pattern.ends_with('-') { name.starts_with(pattern) } else { name == pattern }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_told_from_a_name() {
        assert!(matches_name("aws-", "aws-sdk-s3"));
        assert!(matches_name("sqlx", "sqlx"));
        assert!(!matches_name("sqlx", "sqlx-core"));
    }
}
