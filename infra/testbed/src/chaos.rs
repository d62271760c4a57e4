//! Chaos: files are saved through real smbd while agent, API, Postgres, S3, line and disk fail in turn. At
//! the end what S3 has must be what stood on the share. Order and contents come from a seed.

pub mod disk;
pub mod faults;
pub mod lan;
pub mod prescriptions;
pub mod receipt_computer;
pub mod report;
pub mod stage;
pub mod verdict;

use std::{cell::Cell, collections::BTreeSet, num::NonZeroUsize, time::Duration};

use anyhow::{Context, Result};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use tokio::time::{Instant, sleep};

use crate::{
    chaos::{
        faults::Fault,
        receipt_computer::{Book, ReceiptComputer},
        report::{Report, Turn},
        stage::{PATIENCE, Stage},
        verdict::judge,
    },
    wait::until,
};

/// The receipt computer saves so many files in a session.
const SESSION: usize = 12;
/// Lines of the agent's log that are shown when something does not hold.
const LAST_WORDS: usize = 20;
/// What it rests when it has saved all and a fault is not over.
const BETWEEN: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    /// At least so many are saved.
    pub files: usize,
    /// In each of them every fault has its turn; in between the box comes to rest.
    pub rounds: NonZeroUsize,
    /// The line is silent for so long once, beyond every patience.
    pub long_silence: Option<Duration>,
}

/// Runs the plan. An error names what does not hold.
pub async fn run(plan: Plan, tell: impl Fn(&str)) -> Result<Report> {
    let mut stage = Stage::build().await?;
    let outcome = carry_out(&mut stage, plan, &tell).await;
    if let Err(error) = &outcome {
        tell(&format!("it does not hold: {error:#}"));
        let log = stage.agent_log()?;
        let lines: Vec<&str> = log.lines().collect();
        tell("the last words of the agent's log:");
        lines[lines.len().saturating_sub(LAST_WORDS)..].iter().for_each(|line| tell(line));
    }
    let stopped = stage.stop().await;
    let Plan { seed, files, rounds, .. } = plan;
    let report = outcome.with_context(|| {
        format!("again: `cargo xtask chaos capture --seed {seed} --files {files} --rounds {rounds}`")
    })?;
    stopped.map(|()| report)
}

async fn carry_out(stage: &mut Stage, plan: Plan, tell: &impl Fn(&str)) -> Result<Report> {
    let started = Instant::now();
    let mut draw = StdRng::seed_from_u64(plan.seed);
    let one = stage.one();
    let mut receipt_computer = ReceiptComputer::new(&one.share.clone(), &one.thing.clone(), plan.seed)?;
    let mut faults = Fault::possible();
    let batch = plan.files.div_ceil(plan.rounds.get() * faults.len());
    let (mut turns, mut owed) = (Vec::new(), BTreeSet::new());
    for round in 0..plan.rounds.get() {
        faults.shuffle(&mut draw);
        for &fault in &faults {
            let mut lasts = Duration::from_millis(draw.random_range(200..1000));
            if let (0, Fault::LineSilent, Some(long)) = (round, fault, plan.long_silence) {
                lasts = long;
            }
            let (name, what) = fault.words();
            let turn = take_turn(stage, &mut receipt_computer, batch, fault, round, lasts).await;
            let turn = turn.with_context(|| format!("round {}, {name}", round + 1))?;
            let healed = turn.healed_after.as_secs_f64();
            tell(&format!(
                "round {}: {name}: interrupted {} {what}; healed after {healed:.1} s",
                round + 1,
                turn.interrupted
            ));
            turns.push(turn);
        }
        come_to_rest(stage, &receipt_computer.book).await?;
        receipt_computer.ensure_share_holds()?;
        owed.extend(receipt_computer.book.standing.values().cloned());
        tell(&format!(
            "round {}: at rest, {} files stand on the share",
            round + 1,
            receipt_computer.book.standing.len()
        ));
    }
    let verdict = judge(stage, &receipt_computer.book, &owed).await?;
    let book = &receipt_computer.book;
    Ok(Report { plan, turns, saves: book.saves, torn: book.torn.len(), took: started.elapsed(), verdict })
}

/// Has a fault strike while files are saved, until the box sends again.
async fn take_turn(
    stage: &mut Stage,
    receipt_computer: &mut ReceiptComputer,
    batch: usize,
    fault: Fault,
    round: usize,
    lasts: Duration,
) -> Result<Turn> {
    let over = Cell::new(false);
    let save = async {
        let mut left = batch;
        while left > 0 {
            let saves = left.min(SESSION);
            receipt_computer.session(saves).await?;
            left -= saves;
        }
        // Beyond the batch just enough that there is something to interrupt.
        while !over.get() {
            receipt_computer.session(1).await?;
            sleep(BETWEEN).await;
        }
        anyhow::Ok(())
    };
    let strike = async {
        let turn = async {
            let interrupted = fault.strike(stage, round, lasts).await?;
            let healed = Instant::now();
            let before = stage.observations().await?;
            stage.until_more_than(before).await?;
            stage.ensure_alive()?;
            anyhow::Ok(Turn { fault, interrupted, healed_after: healed.elapsed() })
        };
        let turn = turn.await;
        over.set(true);
        turn
    };
    let (saved, turn) = tokio::join!(save, strike);
    saved.and(turn)
}

/// Waits until what stands on the share is current in the ledger and the box has nothing left to send.
async fn come_to_rest(stage: &Stage, book: &Book) -> Result<()> {
    until("everything that stands on the share is current", PATIENCE, || async {
        let current: Vec<String> = sqlx::query_scalar(
            "select distinct on (path_key) upload_id from observations order by path_key, sequence desc",
        )
        .fetch_all(&stage.ledger)
        .await?;
        let current: BTreeSet<String> = current.into_iter().collect();
        Ok(book.standing.values().all(|id| current.contains(id)).then_some(()))
    })
    .await?;
    until("the box has nothing left to send", PATIENCE, || async {
        Ok((stage.backlog().await?["count"] == 0).then_some(()))
    })
    .await
}
