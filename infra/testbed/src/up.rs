//! `up`: the Testbed for hands-on use. It stays until it is told to end, or until a part ends.

use std::{
    fs,
    io::Write,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    secrets::write_json,
    testbed::{self, Options, Testbed},
    up_json,
};

pub const UP_JSON: &str = "up.json";
/// What is told last once everything is ready, the way to end it before.
pub const LAST_LINE: &str = "stops everything; the state stays for the next `up`.";

/// Ctrl-C and SIGTERM.
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

/// Starts everything, tells how to use it, and ends it at Ctrl-C or SIGTERM.
pub async fn run(options: &Options) -> Result<()> {
    let mut stop = Stop::listen()?;
    let started = Instant::now();
    let start = Testbed::start(options, |step| println!("starting {step}"));
    let mut bed = tokio::select! {
        bed = start => bed?,
        () = stop.told() => return Ok(()),
    };
    let file = bed.folder.join(UP_JSON);
    write_json(&file, &up_json::describe(&bed)?)?;
    println!("ready after {:.1} s\n\n{}", started.elapsed().as_secs_f32(), welcome(&bed)?);
    std::io::stdout().flush()?;
    let ended = tokio::select! {
        () = stop.told() => Ok(()),
        fault = watch(&mut bed, &file) => Err(fault),
    };
    println!("stopping");
    let forgotten = forget(&file);
    let stopped = bed.stop().await;
    ended.and(stopped).and(forgotten)
}

impl Stop {
    pub fn listen() -> Result<Self> {
        let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
        Ok(Self { interrupt: signal(interrupt)?, terminate: signal(terminate)? })
    }

    /// Waits for either.
    pub async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Starts `up` as a process of its own and waits until it is ready.
pub fn detach(folder: &Path, arguments: &[String]) -> Result<()> {
    // Asked before the log is begun anew: it may be that of a system that runs.
    drop(testbed::claim(folder)?);
    forget(&folder.join(UP_JSON))?;
    let log = folder.join("log/up.log");
    fs::create_dir_all(folder.join("log"))?;
    // What `up` prints holds the secrets of this system.
    let output = fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(&log)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
    let mut child = command.spawn()?;
    loop {
        let text = fs::read_to_string(&log)?;
        if let Some(status) = child.try_wait()? {
            bail!("{}({status}; all of it: {})", text, log.display());
        }
        if folder.join(UP_JSON).exists() && text.contains(LAST_LINE) {
            print!("{text}");
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Starts boxes' parts anew when they have ended, as systemd does on a box, and keeps up.json true.
/// Resolves when a part has ended that everything stands on.
async fn watch(bed: &mut Testbed, file: &Path) -> anyhow::Error {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Err(error) = mend(bed, file).await {
            return error;
        }
    }
}

async fn mend(bed: &mut Testbed, file: &Path) -> Result<()> {
    bed.ensure_foundation()?;
    let restarted = bed.restart_boxes().await?;
    if !restarted.is_empty() {
        println!("started again: {}", restarted.join(", "));
        write_json(file, &up_json::describe(bed)?)?;
    }
    Ok(())
}

/// A file that tells of a system that does not run would lead clients astray.
pub fn forget(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The table of addresses and the tour.
fn welcome(bed: &Testbed) -> Result<String> {
    let mut rows = vec![
        ("Slack".to_owned(), bed.slack.url.clone()),
        ("fleet API".to_owned(), bed.fleet_api.clone()),
        ("AWS endpoint".to_owned(), bed.cloud.endpoint.clone()),
        ("MQTT".to_owned(), format!("{}:{}", bed.cloud.mqtt_host, bed.cloud.mqtt_port)),
        ("everything, for programs".to_owned(), shown(&bed.folder.join("up.json"))),
        ("logs".to_owned(), shown(&bed.folder.join("log"))),
    ];
    for one in &bed.boxes {
        let share = &one.share;
        rows.push((
            one.thing.clone(),
            format!("smb://127.0.0.1:{}/{} (files: {})", share.port, share.name, shown(&share.folder)),
        ));
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut lines: Vec<String> =
        rows.iter().map(|(name, place)| format!("  {name:width$}  {place}")).collect();
    lines.extend(tour(bed)?);
    lines.push(format!("\nCtrl-C or `cargo xtask down` {LAST_LINE}\n"));
    Ok(lines.join("\n"))
}

/// Five lines that a newcomer can copy and paste.
fn tour(bed: &Testbed) -> Result<Vec<String>> {
    let Some(one) = bed.boxes.first() else { return Ok(Vec::new()) };
    let (share, cloud, key) = (&one.share, &bed.cloud, &bed.secrets.admin_key);
    let thing = &one.thing;
    let lines = [
        format!(
            "printf '山田太郎,アムロジピン\\r\\n' | smbclient //127.0.0.1/{} -p {} -U '{}%{}' -c 'put - 処方1.csv'",
            share.name, share.port, share.user, share.password
        ),
        format!(
            "curl -s -H 'Authorization: Bearer {}' '{}/v1/uploads?thing={thing}'",
            bed.api_token, bed.fleet_api
        ),
        format!(
            "curl -s -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' --aws-sigv4 aws:amz:{}:s3 --user {}:{} '{}/{}?list-type=2&prefix=rx%2F{thing}%2F'",
            cloud.region,
            key.id,
            key.secret,
            cloud.endpoint,
            cloud.output("BucketName")?
        ),
        format!("open {} in a browser, type /rece lan {thing}, and register a change", bed.slack.url),
        format!(
            "curl -s -H 'Authorization: Bearer {}' '{}/v1/changes?thing={thing}'",
            bed.api_token, bed.fleet_api
        ),
    ];
    let whys = [
        "the receipt computer saves a prescription",
        "the ledger has it",
        "S3 has it",
        "an operator changes a LAN setting; the message in the channel follows it until it is applied",
        "and its story is told, with when it was applied",
    ];
    let steps = lines.iter().zip(whys).enumerate();
    Ok(steps.map(|(index, (line, why))| format!("\n{}. {why}:\n   {line}", index + 1)).collect())
}

/// A path as short as it can be said from where the user stands.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}
