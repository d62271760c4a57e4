//! Chaos on the pharmacy's side: random changes, each with something that goes wrong in the middle of it.
//! What is drawn comes from a seed.

use std::{collections::BTreeMap, fmt, num::NonZeroUsize, time::Duration};

use anyhow::{Result, ensure};
use futures::future::join_all;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::time::Instant;

use crate::{
    boxes::ApiClient,
    lab::{
        Lab,
        case::{Case, Story, Wish},
        cloud_side::CloudSide,
        fault::Fault,
        pharmacy::Pharmacy,
    },
};

/// Cases go on side by side, one in a pharmacy: most of a case is waiting.
const PHARMACIES: usize = 4;
/// The longest that a strike waits: about as long as a trial takes.
const LONGEST_DELAY: Duration = Duration::from_secs(3);

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub cases: NonZeroUsize,
    /// Of the faults only those in whose names this stands.
    pub only: String,
}

pub struct Report {
    plan: Plan,
    stories: Vec<Story>,
    /// What does not hold, in words.
    broken: Vec<String>,
    took: Duration,
}

/// Runs the plan, telling of each case as it ends.
pub async fn run(plan: Plan, tell: impl Fn(&str)) -> Result<Report> {
    let started = Instant::now();
    let cases = draw(&plan)?;
    let mut lab = Lab::for_test(PHARMACIES.min(plan.cases.get())).await?;
    let (cloud, api) = (&lab.cloud, &lab.bed.api);
    let count = lab.pharmacies.len();
    let in_turn = lab.pharmacies.iter_mut().enumerate().map(|(index, pharmacy)| {
        let mine: Vec<Case> = cases.iter().copied().skip(index).step_by(count).collect();
        work_through(mine, pharmacy, cloud, api, &tell)
    });
    let (mut stories, mut broken) = (Vec::new(), Vec::new());
    for (told, failure) in join_all(in_turn).await {
        stories.extend(told);
        broken.extend(failure);
    }
    lab.stop().await?;
    Ok(Report { plan, stories, broken, took: started.elapsed() })
}

/// What a pharmacy's cases came to, up to the first that does not hold.
async fn work_through(
    cases: Vec<Case>,
    pharmacy: &mut Pharmacy,
    cloud: &CloudSide,
    api: &ApiClient,
    tell: &impl Fn(&str),
) -> (Vec<Story>, Option<String>) {
    let mut stories = Vec::new();
    for case in cases {
        let outcome = case.run(pharmacy, cloud, api).await;
        match outcome.and_then(Story::as_allowed) {
            Ok(story) => {
                tell(&story.to_string());
                stories.push(story);
            }
            Err(error) => {
                tell(&format!("BROKEN {error:#}"));
                return (stories, Some(format!("{error:#}")));
            }
        }
    }
    (stories, None)
}

fn draw(plan: &Plan) -> Result<Vec<Case>> {
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut faults = Fault::all();
    faults.retain(|fault| fault.to_string().contains(&plan.only));
    ensure!(!faults.is_empty(), "no fault is called {}", plan.only);
    let one = |_| {
        let fault = faults.choose(&mut random).copied().unwrap_or(Fault::Nothing);
        let is_static = random.random_bool(0.7);
        let last = random.random_range(30..50);
        let wish = if is_static { Wish::Static(last) } else { Wish::Dhcp };
        // Half of them at the first moment of their phase, where what is in flight is the least known.
        let delay = if random.random_bool(0.5) {
            Duration::ZERO
        } else {
            random.random_range(Duration::ZERO..LONGEST_DELAY)
        };
        Case { fault, wish, delay }
    };
    Ok((0..plan.cases.get()).map(one).collect())
}

impl Report {
    /// Fails if something did not hold.
    pub fn verdict(&self) -> Result<()> {
        ensure!(
            self.broken.is_empty(),
            "{} of {} cases do not hold; again: `cargo xtask chaos lan --seed {} --cases {} --only '{}'`\n{}",
            self.broken.len(),
            self.plan.cases,
            self.plan.seed,
            self.plan.cases,
            self.plan.only,
            self.broken.join("\n")
        );
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seed = self.plan.seed;
        writeln!(f, "seed {seed}: {} cases in {:.0} s\n", self.stories.len(), self.took.as_secs_f64())?;
        writeln!(f, "{:<34} {:<36} {:>5} {:>9} {:>9}", "fault", "verdict", "times", "attempts", "most (s)")?;
        let mut rows: BTreeMap<(String, String), Vec<&Story>> = BTreeMap::new();
        for story in &self.stories {
            let verdict = format!("{} {}", story.state, story.code.as_deref().unwrap_or_default());
            rows.entry((story.case.fault.to_string(), verdict)).or_default().push(story);
        }
        for ((fault, verdict), stories) in &rows {
            let attempts = stories.iter().map(|story| story.attempts).max().unwrap_or_default();
            let most = stories.iter().map(|story| story.took).max().unwrap_or_default();
            let times = stories.len();
            writeln!(f, "{fault:<34} {verdict:<36} {times:>5} {attempts:>9} {:>9.1}", most.as_secs_f64())?;
        }
        writeln!(f, "\nfrom desired to the verdict, in seconds{:>17} {:>7} {:>7}", "cases", "p50", "p99")?;
        for state in ["applied", "rolled_back", "refused"] {
            let mut times: Vec<Duration> =
                self.stories.iter().filter(|story| story.state == state).map(|story| story.took).collect();
            times.sort_unstable();
            let seconds = |percent| percentile(&times, percent).as_secs_f64();
            let (count, p50, p99) = (times.len(), seconds(50), seconds(99));
            writeln!(f, "  {state:<48} {count:>5} {p50:>7.1} {p99:>7.1}")?;
        }
        writeln!(f, "\n{} cases broken", self.broken.len())
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_cases() {
        let drawn = |seed, only: &str| {
            draw(&Plan { seed, cases: NonZeroUsize::new(50).unwrap(), only: only.to_owned() })
        };

        assert_eq!(drawn(1, "").unwrap(), drawn(1, "").unwrap());
        assert_ne!(drawn(1, "").unwrap(), drawn(2, "").unwrap());
        assert!(drawn(1, "share off").unwrap().iter().all(|case| case.fault == Fault::ShareOff));
        assert!(drawn(1, "nonsense").is_err());
    }

    #[test]
    fn a_percentile_is_the_least_that_so_many_do_not_exceed() {
        let times: Vec<_> = (1..=10).map(Duration::from_secs).collect();

        assert_eq!([percentile(&times, 50), percentile(&times, 99)], [5, 10].map(Duration::from_secs));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
