//! `lab up`: a lab that stays, for people to look into and to break.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    lab::{Lab, space::Space},
    secrets::{write_file, write_json},
    testbed::Options,
    up::{LAST_LINE, Stop, UP_JSON, forget, shown},
    up_json,
};

/// Starts it, tells how to look at it, and ends it at Ctrl-C or SIGTERM.
pub async fn run(options: &Options, pharmacies: usize) -> Result<()> {
    let mut stop = Stop::listen()?;
    let started = Instant::now();
    let mut lab = tokio::select! {
        lab = Lab::start(options, pharmacies, |step| println!("starting {step}")) => lab?,
        () = stop.told() => return Ok(()),
    };
    let file = lab.bed.folder.join(UP_JSON);
    write_doors(&lab)?;
    write_json(&file, &up_json::describe(&lab.bed)?)?;
    println!("ready after {:.1} s\n\n{}", started.elapsed().as_secs_f32(), welcome(&lab));
    let ended = tokio::select! {
        () = stop.told() => Ok(()),
        fault = watch(&mut lab) => Err(fault),
    };
    println!("stopping");
    let forgotten = forget(&file);
    let stopped = lab.stop().await;
    ended.and(stopped).and(forgotten)
}

async fn watch(lab: &mut Lab) -> anyhow::Error {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Err(error) = mend(lab).await {
            return error;
        }
    }
}

async fn mend(lab: &mut Lab) -> Result<()> {
    lab.bed.ensure_foundation()?;
    for index in 0..lab.pharmacies.len() {
        let pharmacy = &mut lab.pharmacies[index];
        let restarted = pharmacy.hub.restart_ended().await?;
        if !restarted.is_empty() {
            println!("started again: {}", restarted.join(", "));
        }
        let cut = lab.bed.folder.join(format!("cut-power-{}", pharmacy.number));
        if cut.exists() {
            fs::remove_file(&cut)?;
            pharmacy.cut_power(&lab.cloud).await?;
            println!("the box of {} had its power cut and is on again", pharmacy.hub.one.thing);
            write_doors(lab)?;
        }
    }
    Ok(())
}

/// Small scripts that run a command at a place of the lab.
fn write_doors(lab: &Lab) -> Result<()> {
    let folder = &lab.bed.folder;
    write_door(&folder.join("cloud-side"), lab.cloud.space())?;
    for pharmacy in &lab.pharmacies {
        let door = |name: &str| folder.join(format!("{name}-{}", pharmacy.number));
        write_door(&door("box"), pharmacy.hub.space()?)?;
        write_door(&door("switch"), pharmacy.router.space())?;
        write_door(&door("receipt-computer"), pharmacy.receipt_computer.space())?;
    }
    Ok(())
}

fn write_door(file: &Path, space: &Space) -> Result<()> {
    let text = format!("#!/bin/sh\nexec {} \"$@\"\n", space.entrance()?.join(" "));
    write_file(file, text.as_bytes(), 0o755)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).context("a script cannot be made one")
}

fn welcome(lab: &Lab) -> String {
    let at = |name: &str| shown(&lab.bed.folder.join(name));
    let mut lines = vec![
        format!("  the fleet API          {}", lab.bed.fleet_api),
        format!("  Slack                  {}", lab.bed.slack.url),
        format!("  everything, for programs   {}", at(UP_JSON)),
        format!("  logs                   {}", at("log")),
        format!("  the far end of lines   {} COMMAND...", at("cloud-side")),
    ];
    for pharmacy in &lab.pharmacies {
        let number = pharmacy.number;
        lines.push(format!("\n  {}", pharmacy.hub.one.thing));
        for (name, what) in [
            ("box", "e.g. nmcli device, ip addr, ip route"),
            ("receipt-computer", "e.g. ip neigh, smbclient"),
            ("switch", "e.g. ip link set box down"),
        ] {
            lines.push(format!("    {} COMMAND...   {what}", at(&format!("{name}-{number}"))));
        }
        lines.push(format!("    touch {}   cuts its power for a moment", at(&format!("cut-power-{number}"))));
    }
    lines.push("\nHow to watch a bad gateway being undone: infra/testbed/LAB.md".to_owned());
    lines.push(format!("\n`cargo xtask lab down` {LAST_LINE}\n"));
    lines.join("\n")
}
