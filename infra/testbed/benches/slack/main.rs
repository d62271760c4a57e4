//! Fifty commands a second from Slack: how soon each is acknowledged, and how soon its operator sees
//! something. Slack runs on the same machine, and takes its share of it.

#[path = "../api/fleet.rs"]
#[expect(dead_code, reason = "the other bench's boxes log in, ours need not")]
mod fleet;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testbed::{Testbed, wait::until};
use tokio::{task::JoinSet, time::MissedTickBehavior};

/// Boxes in the fleet.
const BOXES: usize = 10_000;
const A_SECOND: usize = 50;
const SECONDS: usize = 30;
const COMMANDS: usize = A_SECOND * SECONDS;
/// Slack lets no modal open later.
const TRIGGER_LIVES_MS: u64 = 3000;
/// For what is still under way when the last command was typed.
const REST: Duration = Duration::from_mins(2);

// One thread: the kernel ends our processes when the thread that started them is gone.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok()
        .context("a TLS provider is set already")?;
    let bed = Testbed::for_bench(1, Path::new(env!("CARGO_TARGET_TMPDIR"))).await?;
    fleet::fill(&bed.superuser_url(), BOXES).await?;
    let local = format!("{}/_local", bed.slack.url);
    // Who is who is remembered; the first of each asks Slack.
    for user in bed.slack.users.values() {
        type_in(bed.api.http(), &local, user, "help").await?;
    }
    let warm = looked(&bed, &local, bed.slack.users.len()).await?.len();

    println!("\n{A_SECOND} commands a second for {SECONDS} s, {BOXES} boxes");
    let acks = commands(&bed, &local).await?;
    let failed = acks.iter().filter(|ack| ack["status"] != 200).count();
    let took = acks.iter().filter_map(|ack| ack["ackMs"].as_u64()).collect();
    println!("acknowledged: {} of {COMMANDS}, {} (goal: p99 300 ms)", acks.len() - failed, figures(took));
    let sent = looked(&bed, &local, warm + COMMANDS).await?;
    tell("modals opened", &sent[warm..], "views.open");
    tell("answers shown", &sent[warm..], "response_url");
    bed.stop().await
}

/// Types commands at their pace, however long each takes; gives what the app answered.
async fn commands(bed: &Testbed, local: &str) -> Result<Vec<Value>> {
    let users: Vec<Arc<str>> = bed.slack.users.values().map(|user| user.as_str().into()).collect();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / u32::try_from(A_SECOND)?);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut typed = JoinSet::new();
    for number in 0..COMMANDS {
        pace.tick().await;
        let (http, local) = (bed.api.http().clone(), local.to_owned());
        let (user, text) = (users[number % users.len()].clone(), text(number));
        typed.spawn(async move { type_in(&http, &local, &user, &text).await });
    }
    typed.join_all().await.into_iter().collect()
}

/// What operators ask for, by thing and by pharmacy: two modals in five, the rest answers.
fn text(number: usize) -> String {
    let one = number * 7 % BOXES;
    match number % 5 {
        0 => format!("lan {}", fleet::thing(one)),
        1 => format!("status {}", fleet::thing(one)),
        2 => format!("lan 薬局{one}"),
        3 => format!("history 薬局{one}"),
        _ => String::new(),
    }
}

async fn type_in(http: &reqwest::Client, local: &str, user: &str, text: &str) -> Result<Value> {
    let act = json!({"userId": user, "type": "command", "command": "/rece", "text": text});
    Ok(http.post(format!("{local}/act")).json(&act).send().await?.error_for_status()?.json().await?)
}

/// What operators were shown first for so many commands, oldest first.
async fn looked(bed: &Testbed, local: &str, commands: usize) -> Result<Vec<Value>> {
    until(&format!("{commands} commands have been answered"), REST, || async {
        let url = format!("{local}/sent?bodies=false");
        let mut sent: Value = bed.api.http().get(url).send().await?.json().await?;
        let Value::Array(mut calls) = sent["calls"].take() else {
            anyhow::bail!("local Slack does not tell what was sent");
        };
        calls.retain(|call| call["method"] == "views.open" || call["method"] == "response_url");
        // Whoever was told that it is too late has two.
        let refused = calls.iter().filter(|call| call.get("error").is_some()).count();
        Ok((calls.len() - refused >= commands).then_some(calls))
    })
    .await
}

fn tell(what: &str, sent: &[Value], method: &str) {
    let of: Vec<_> = sent.iter().filter(|call| call["method"] == method).collect();
    let after = |call: &&Value| call.get("error").is_none().then(|| call["afterMs"].as_u64()).flatten();
    let took: Vec<_> = of.iter().filter_map(after).collect();
    let in_time = took.iter().filter(|took| **took <= TRIGGER_LIVES_MS).count();
    println!("{what}: {} of {}, {in_time} within 3 s, {}", took.len(), of.len(), figures(took));
}

fn figures(mut took: Vec<u64>) -> String {
    took.sort_unstable();
    let Some(last) = took.len().checked_sub(1) else { return "none".to_owned() };
    let at = |percent: usize| took[last * percent / 100];
    format!("median {} ms, p99 {} ms, most {} ms", at(50), at(99), took[last])
}
