//! `cargo xtask …`: one door to everything a developer does with this workspace.
//!
//! It only dispatches: it installs what is missing, builds, and hands over. It has no dependencies
//! but anyhow, so that it builds in seconds on a machine that has nothing yet.

mod banned;
mod bench;
mod cargo;
mod chaos;
mod check;
mod down;
mod imports;
mod lab;
mod openapi;
mod packages;
mod sqlx_data;
mod test;
mod up;
mod venv;

use std::process::ExitCode;

const HELP: &str = "\
Recehub's commands:

  cargo xtask up [--boxes N] [--dir DIR] [--no-agents] [--detach] [--port NAME=PORT]...
                      installs what is missing, builds, and starts the whole system
  cargo xtask down [--dir DIR]
                      stops a system that `up` started
  cargo xtask test    formatting, lints, import directions, banned crates, query data, docs, every test
  cargo xtask check   what is slower or needs other tools: the CloudFormation template and its policies;
                      the fleet API against its own document, by Schemathesis
  cargo xtask bench cloud [shadows|idle|objects]
                      what the local cloud does on this machine, in release
  cargo xtask bench capture [footprint|paced|burst]
                      a prescription from the share to its receipt, beside rclone and s5cmd; what the agent takes
  cargo xtask bench api [list|lan|uploads|memory]
                      the fleet API: device list of 10,000 boxes, wishes taken, uploads beside a plain PUT, its memory
  cargo xtask bench slack
                      how soon Slack's commands are acknowledged and answered, fifty a second
  cargo xtask bench line
                      what a box sends and receives over its line, and has AWS do
  cargo xtask bench audit
                      how fast audit entries go in, are chained, and are verified
  cargo xtask lab up [--pharmacies N] [--dir DIR] | down [--dir DIR]
                      a pharmacy in network namespaces that stays: box, switch, receipt computer (needs root)
  cargo xtask chaos capture [--files N] [--seed S] [--rounds N]
                      has agent, API, Postgres, S3, line and disk fail while 10,000 files are saved
  cargo xtask chaos lan [--cases N] [--seed S] [--only WORDS]
                      changes of the LAN, each with something that goes wrong in the middle of it (needs root)
  cargo xtask sqlx    writes fleet-api/.sqlx anew after a query or a migration changed
  cargo xtask openapi writes fleet-api/openapi.json anew after a route changed
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let outcome = match command.as_str() {
        "up" => up::run_up(&rest),
        "down" => down::run_down(&rest),
        "test" => test::run_all(),
        "check" => check::run_all(),
        "bench" => bench::run_bench(&rest),
        "chaos" => chaos::run_chaos(&rest),
        "lab" => lab::run_lab(&rest),
        "openapi" => openapi::rewrite(),
        "sqlx" => sqlx_data::rewrite(),
        "" | "help" | "--help" | "-h" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("there is no command `{other}`\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
