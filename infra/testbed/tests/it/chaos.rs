//! Chaos, short: every fault three times.

use std::num::NonZeroUsize;

use testbed::chaos::{self, Plan, faults::Fault};

use crate::support::tls_provider;

#[tokio::test]
async fn nothing_is_lost_doubled_or_cut_short_whatever_fails() {
    tls_provider();
    let plan =
        Plan { seed: rand::random(), files: 500, rounds: NonZeroUsize::new(3).unwrap(), long_silence: None };

    let report = chaos::run(plan, |line| println!("{line}")).await.unwrap();

    println!("{report}");
    assert!(report.saves >= 500);
    for fault in Fault::possible() {
        assert!(report.strikes()[&fault] >= 3, "{fault:?}");
    }
    assert!(report.turns.iter().all(|turn| turn.interrupted > 0));
}
