//! What a run of the chaos tells: a table of the faults, and the verdict.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::chaos::{Plan, faults::Fault, verdict::Verdict};

pub struct Report {
    pub plan: Plan,
    pub turns: Vec<Turn>,
    pub saves: usize,
    /// Saves that were cut short and made good for.
    pub torn: usize,
    pub took: Duration,
    pub verdict: Verdict,
}

/// One fault's turn.
pub struct Turn {
    pub fault: Fault,
    pub interrupted: u64,
    /// From its end to the next file that arrived.
    pub healed_after: Duration,
}

impl Report {
    /// How often each fault struck.
    pub fn strikes(&self) -> BTreeMap<Fault, usize> {
        let mut strikes = BTreeMap::new();
        for turn in &self.turns {
            *strikes.entry(turn.fault).or_default() += 1;
        }
        strikes
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { owed, stored, pieces, overtaken, observations } = &self.verdict;
        writeln!(f, "seed {}: {} saves in {:.0} s\n", self.plan.seed, self.saves, self.took.as_secs_f64())?;
        writeln!(f, "{:27} {:>5}  {:>11}  {:>13}   of", "fault", "times", "interrupted", "heal (s) most")?;
        for (fault, times) in self.strikes() {
            let turns = self.turns.iter().filter(|turn| turn.fault == fault);
            let interrupted: u64 = turns.clone().map(|turn| turn.interrupted).sum();
            let most = turns.map(|turn| turn.healed_after).max().unwrap_or_default();
            let (name, what) = fault.words();
            writeln!(f, "{name:27} {times:5}  {interrupted:11}  {:13.1}   {what}", most.as_secs_f64())?;
        }
        writeln!(
            f,
            "\n{stored} contents in S3, {observations} observations: 0 lost, 0 doubled, 0 partial as current"
        )?;
        writeln!(f, "{owed} contents stood on the share when all was calm: all of them are there")?;
        writeln!(
            f,
            "{pieces} are pieces of the {} files whose save was cut short: none is current",
            self.torn
        )?;
        writeln!(f, "{overtaken} were overwritten or renamed before anyone had read them")?;
        match Fault::possible().len() {
            all if all == Fault::ALL.len() => Ok(()),
            _ => writeln!(f, "left out, since only root can mount a disk to break: full and read-only disks"),
        }
    }
}
