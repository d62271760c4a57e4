//! The document of the fleet API: written anew, and held against the running system by a program that
//! invents requests.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};

use crate::{
    cargo::{binaries, output, run, workspace},
    up, venv,
};

const SCHEMATHESIS: &str = "schemathesis==4.*\n";
/// Requests that are invented for each operation.
const EXAMPLES: &str = "40";

/// Writes `fleet-api/openapi.json` anew.
pub fn rewrite() -> Result<()> {
    up::build()?;
    let document = output(Command::new(binaries().join("fleet-api")).arg("openapi"))?;
    let target = workspace().join("fleet-api/openapi.json");
    let draft = target.with_extension("json.new");
    fs::File::create(&draft)
        .and_then(|mut file| std::io::Write::write_all(&mut file, document.as_bytes()))?;
    Ok(fs::rename(draft, target)?)
}

/// Starts the system and sends it what the document allows and what it does not: nothing may be answered
/// that the document does not say, and nothing with 5xx.
pub fn check() -> Result<()> {
    up::build()?;
    let programs = venv::ensure("schemathesis-venv", SCHEMATHESIS)?;
    let folder = binaries().join("schemathesis");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let testbed = binaries().join("testbed");
    let up = ["up", "--boxes", "1", "--no-agents", "--detach", "--dir"];
    run(Command::new(&testbed).args(up).arg(&folder).current_dir(workspace()))?;
    let checked = ask(&programs, &folder);
    let down = crate::down::run_down(&["--dir".to_owned(), folder.display().to_string()]);
    checked.and(down)
}

fn ask(programs: &Path, folder: &Path) -> Result<()> {
    let told = |name: &str| -> Result<String> {
        let read = "import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])";
        let mut python = Command::new(programs.join("python"));
        let value = output(python.args(["-c", read]).arg(folder.join("up.json")).arg(name));
        Ok(value.with_context(|| format!("up.json has no {name}"))?.trim().to_owned())
    };
    let (api, token) = (told("fleetApi")?, told("apiToken")?);
    let mut ask = Command::new(programs.join("schemathesis"));
    ask.arg("run").arg(format!("{api}/openapi.json")).current_dir(folder);
    ask.args(["--header", &format!("Authorization: Bearer {token}")]);
    ask.args([
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
    ]);
    // A stream without an end is none of its business; the tests follow that.
    ask.args(["--exclude-path", "/v1/events"]);
    ask.args(["--max-examples", EXAMPLES, "--request-timeout", "20", "--generation-database", "none"]);
    run(&mut ask)
}
