//! Every point at which something can die, times everything that can die there.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use device_agent::lan::{journal::Journal, pause::Pauses};
use device_model::{
    outcome::{VerdictKind, code},
    shadow::TrialPhase,
};
use serde_json::json;

use crate::{
    lan_bed::{Bed, Call, GONE, Ground, Point, desired, profile},
    support::SmallDisk,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    Agent,
    /// For so long that NetworkManager puts back what was there.
    AgentForLong,
    NetworkManager,
    Power,
}

const DEATHS: [Death; 4] = [Death::Agent, Death::NetworkManager, Death::Power, Death::AgentForLong];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    Good,
    /// At each attempt.
    ProbeFails,
    /// For a reason that does not go away.
    AddressInUse,
    Superseded,
}

const STORIES: [Story; 4] = [Story::Good, Story::ProbeFails, Story::AddressInUse, Story::Superseded];

const GOOD: [Point; 12] = [
    Point::Reached(TrialPhase::Staged),
    Point::Judgeable,
    Point::Look,
    Point::Baseline,
    Point::Reached(TrialPhase::Trying),
    Point::TryOn,
    Point::TriedOn,
    Point::Probe,
    Point::Reached(TrialPhase::Committing),
    Point::Commit,
    Point::HalfCommitted,
    Point::Committed,
];
const BACK: [Point; 3] = [Point::Reached(TrialPhase::RollingBack), Point::RollBack, Point::RolledBack];

impl Story {
    fn points(self) -> Vec<Point> {
        match self {
            Self::Good | Self::Superseded => GOOD.to_vec(),
            Self::ProbeFails | Self::AddressInUse => GOOD[..8].iter().chain(&BACK).copied().collect(),
        }
    }

    fn answer(self, point: Point) -> Option<&'static str> {
        match (self, point) {
            (Self::ProbeFails, Point::Probe) => Some(code::GATEWAY_SILENT),
            (Self::AddressInUse, Point::Probe) => Some(code::ADDRESS_IN_USE),
            _ => None,
        }
    }
}

/// A box that runs `old` for good, and has been told of `new`.
async fn bed(ground: &Ground) -> Bed {
    let mut bed = ground.bed().await;
    bed.start();
    bed.want(&desired("old", 9));
    bed.settle(|_| None).await;
    assert_eq!(bed.verdict("old").await.unwrap().verdict, VerdictKind::Applied);
    bed.want(&desired("new", 10));
    bed
}

/// Goes on until that point, by the story.
async fn until(bed: &mut Bed, story: Story, point: Point) -> Call {
    loop {
        let call = bed.next().await;
        if call.point == point && !bed.is_idle_at(&call) {
            return call;
        }
        match story.answer(call.point) {
            Some(code) => call.fail(code),
            None => call.go_on(),
        }
    }
}

/// And what comes next: after a start the shadow's desired state is told again.
async fn dies(bed: &mut Bed, call: Call, death: Death, wanted: &serde_json::Value) {
    if death == Death::NetworkManager {
        bed.world().kill_network_manager();
        call.fail(GONE);
        return;
    }
    bed.kill().await;
    drop(call);
    match death {
        Death::AgentForLong => bed.world().let_checkpoint_expire(),
        Death::Power => bed.world().lose_power(),
        Death::Agent | Death::NetworkManager => {}
    }
    bed.start();
    bed.want(wanted);
}

/// How the story ended, whatever died on the way.
async fn check(bed: &Bed, story: Story, name: &str) {
    bed.check_at_rest().await;
    let said = |verdict: &device_model::outcome::Verdict| (verdict.verdict, verdict.code.clone());
    let new = said(&bed.verdict("new").await.unwrap_or_else(|| panic!("{name}: no verdict")));
    let host = match story {
        Story::Good => {
            assert_eq!(new, (VerdictKind::Applied, None), "{name}");
            10
        }
        Story::ProbeFails | Story::AddressInUse => {
            assert_eq!(new.0, VerdictKind::RolledBack, "{name}");
            let code = story.answer(Point::Probe).unwrap();
            assert!(
                matches!(new.1.as_deref(), Some(found) if found == code || found == code::INTERRUPTED || found == GONE),
                "{name}: {new:?}"
            );
            9
        }
        Story::Superseded => {
            let newer = said(&bed.verdict("newer").await.unwrap_or_else(|| panic!("{name}: no verdict")));
            assert_eq!(newer, (VerdictKind::Applied, None), "{name}");
            assert!(matches!(new.0, VerdictKind::Superseded | VerdictKind::Applied), "{name}: {new:?}");
            11
        }
    };
    assert_eq!(bed.world().saved, profile(host), "{name}");
}

#[tokio::test]
async fn whatever_dies_at_any_point_the_change_ends_truthfully_on_exactly_one_of_both_settings() {
    let ground = Ground::new();
    for story in STORIES {
        for point in story.points() {
            for death in DEATHS {
                let name = format!("{story:?}, {death:?} dies at {point:?}");
                let mut bed = bed(&ground).await;
                let call = until(&mut bed, story, point).await;
                let wanted = match story {
                    Story::Superseded => desired("newer", 11),
                    _ => desired("new", 10),
                };
                if story == Story::Superseded {
                    bed.want(&wanted);
                }

                dies(&mut bed, call, death, &wanted).await;
                bed.settle(|point| story.answer(point)).await;

                check(&bed, story, &name).await;
            }
        }
    }
}

#[tokio::test]
async fn what_dies_again_while_it_recovers_ends_the_same_way() {
    let ground = Ground::new();
    for story in [Story::Good, Story::AddressInUse, Story::Superseded] {
        for (first, point) in
            DEATHS[..3].iter().flat_map(|death| story.points().into_iter().map(move |at| (*death, at)))
        {
            for &second in &DEATHS[..3] {
                // Each call after the first death is the place of the second, until none is left.
                for place in 0.. {
                    let name =
                        format!("{story:?}, {first:?} dies at {point:?}, {second:?} {place} calls later");
                    let mut bed = bed(&ground).await;
                    let call = until(&mut bed, story, point).await;
                    let wanted = match story {
                        Story::Superseded => desired("newer", 11),
                        _ => desired("new", 10),
                    };
                    bed.want(&wanted);
                    dies(&mut bed, call, first, &wanted).await;
                    let mut left = place;
                    let call = loop {
                        let call = bed.next().await;
                        if left == 0 || bed.is_idle_at(&call) {
                            break call;
                        }
                        left -= 1;
                        match story.answer(call.point) {
                            Some(code) => call.fail(code),
                            None => call.go_on(),
                        }
                    };
                    let was_over = bed.is_idle_at(&call)
                        && bed.watch.ended().contains(wanted["changeId"].as_str().unwrap());

                    dies(&mut bed, call, second, &wanted).await;
                    bed.settle(|point| story.answer(point)).await;

                    check(&bed, story, &name).await;
                    if was_over {
                        break;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn three_deaths_during_trials_are_the_last() {
    let ground = Ground::new();
    for (death, words) in [(Death::Agent, "the agent was restarted"), (Death::Power, "the power was cut")] {
        let mut bed = bed(&ground).await;
        for _ in 0..3 {
            let call = bed.until(Point::Probe).await;
            dies(&mut bed, call, death, &desired("new", 10)).await;
        }
        bed.settle(|_| None).await;

        bed.check_at_rest().await;
        let verdict = bed.verdict("new").await.unwrap();
        assert_eq!(
            (verdict.verdict, verdict.code.as_deref()),
            (VerdictKind::RolledBack, Some(code::INTERRUPTED))
        );
        assert!(verdict.detail.unwrap().contains(words));
        assert_eq!(bed.world().saved, profile(9));
        assert_eq!(bed.watch.tries["new"], 3);
    }
}

#[tokio::test]
async fn what_would_fail_again_is_tried_once_and_what_may_go_away_three_times() {
    let ground = Ground::new();
    for (code, tries) in [(code::ADDRESS_IN_USE, 1), (code::GATEWAY_SILENT, 3)] {
        let mut bed = bed(&ground).await;
        bed.settle(|point| (point == Point::Probe).then_some(code)).await;

        let verdict = bed.verdict("new").await.unwrap();
        assert_eq!((verdict.verdict, verdict.code.as_deref()), (VerdictKind::RolledBack, Some(code)));
        assert_eq!(bed.watch.tries["new"], tries, "{code}");
    }
}

#[tokio::test]
async fn attempts_keep_their_distance() {
    let ground = Ground::new();
    let mut bed = bed(&ground).await;
    bed.waits.pauses = Pauses([60, 120, 240].map(Duration::from_millis));
    bed.kill().await;
    bed.start();
    bed.want(&desired("new", 10));
    let mut began = Vec::new();
    while bed.verdict("new").await.is_none() {
        let call = bed.until(Point::Probe).await;
        began.push(Instant::now());
        call.fail(code::NO_LEASE);
        bed.until(Point::RolledBack).await.go_on();
        bed.next().await.go_on();
    }

    let pauses: Vec<_> = began.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(pauses.len(), 2);
    assert!(pauses[0] >= Duration::from_millis(60) && pauses[1] >= Duration::from_millis(120), "{pauses:?}");
}

#[tokio::test]
async fn a_pause_is_over_with_its_time_whether_the_box_was_on_or_not_and_never_grows_by_the_clock() {
    let ground = Ground::new();
    let hour = Duration::from_hours(1);
    let short = Duration::from_millis(50);
    let years = 86_400 * 3000;
    for (pause, passed, jump) in [(hour, 3600, 0), (hour, 0, years), (short, 0, -years)] {
        let mut bed = bed(&ground).await;
        bed.waits.pauses = Pauses([pause; 3]);
        bed.kill().await;
        bed.start();
        bed.want(&desired("new", 10));
        bed.until(Point::Probe).await.fail(code::NO_LEASE);
        bed.until(Point::RolledBack).await.go_on();
        let call = bed.until(Point::Reached(TrialPhase::Staged)).await;

        bed.kill().await;
        drop(call);
        bed.pass(passed);
        bed.jump(jump);
        bed.start();
        bed.until(Point::Judgeable).await.go_on();
        bed.settle(|_| None).await;

        assert_eq!(bed.verdict("new").await.unwrap().verdict, VerdictKind::Applied);
    }
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_stops_the_change_before_it_acts_and_not_for_good() {
    stops_the_change(&Ground::new(), async |bed, fails| spoil_writes(bed, fails).await).await;
}

#[tokio::test]
async fn a_full_disk_stops_the_change_before_it_acts_and_not_for_good() {
    let Some(disk) = SmallDisk::mount("1m") else { return };
    let ground = Ground::below(disk.0.path());
    let fill = async |bed: &Bed, is_full: bool| {
        if is_full {
            // Whatever is written from now on takes room that there is not.
            let shorten = |db: &rusqlite::Connection| db.execute_batch("pragma wal_checkpoint(truncate)");
            bed.store.run_alone(shorten).await.unwrap();
            disk.fill();
        } else {
            disk.empty();
        }
    };
    stops_the_change(&ground, fill).await;
}

/// Spoils the journal before each of its writes, with and without a restart before it is mended.
async fn stops_the_change(ground: &Ground, spoil: impl AsyncFn(&Bed, bool)) {
    // The writes of a change, and what is done after each.
    let steps = [
        (Point::Look, Point::Reached(TrialPhase::Staged)),
        (Point::Baseline, Point::Reached(TrialPhase::Trying)),
        (Point::Probe, Point::Reached(TrialPhase::Committing)),
        (Point::Committed, Point::Look),
    ];
    for (last, next) in steps {
        for restarts in [false, true] {
            let mut bed = ground.bed().await;
            bed.start();
            bed.until(Point::Look).await.go_on();
            let call = bed.until(Point::Look).await;
            bed.want(&desired("new", 10));
            let call = if last == Point::Look {
                call
            } else {
                call.go_on();
                bed.until(last).await
            };
            let before = bed.machine().await;
            spoil(&bed, true).await;
            let reported = bed.watch.reports.len();
            call.go_on();

            failed_a_few_times(&bed).await;
            assert_eq!(bed.machine().await, before, "{last:?}");
            assert!(bed.nothing_came(), "it goes on after {last:?} without its journal");
            assert_eq!(bed.watch.reports.len(), reported, "it tells what is not written");
            if restarts {
                bed.kill().await;
            }
            spoil(&bed, false).await;
            if restarts {
                bed.start();
                bed.want(&desired("new", 10));
            } else {
                let call = bed.next().await;
                assert_eq!(call.point, next);
                call.go_on();
            }
            bed.settle(|_| None).await;

            bed.check_at_rest().await;
            assert_eq!(bed.verdict("new").await.unwrap().verdict, VerdictKind::Applied, "{last:?}");
        }
    }
}

#[tokio::test]
async fn by_a_clock_that_nobody_vouches_for_no_window_is_open() {
    let ground = Ground::new();
    let mut bed = ground.bed().await;
    bed.start();
    let mut wanted = desired("new", 10);
    wanted["window"] = json!({"notAfter": bed.now() + TimeDelta::hours(3)});
    bed.want(&wanted);
    bed.until(Point::Reached(TrialPhase::Staged)).await.go_on();

    failed_a_few_times(&bed).await;
    assert!(bed.nothing_came(), "it goes on by a clock that may be wrong");
    bed.clock.learn(bed.now());
    bed.settle(|_| None).await;

    assert_eq!(bed.verdict("new").await.unwrap().verdict, VerdictKind::Applied);
}

/// Every write to the journal fails from now on, as on a disk that fails.
async fn spoil_writes(bed: &Bed, fails: bool) {
    let statement = if fails {
        "create temp trigger spoilt before insert on main.lan_journal begin select raise(abort, 'disk I/O error'); end"
    } else {
        "drop trigger spoilt"
    };
    bed.store.run(move |db| db.execute_batch(statement)).await.unwrap();
}

/// The machine's tries are in the same queue as these, and may take them along when a commit fails.
async fn failed_a_few_times(bed: &Bed) {
    for _ in 0..50 {
        drop(bed.store.run(|_| Ok(())).await);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_torn_journal_costs_the_change_and_not_the_box() {
    let ground = Ground::new();
    let whole = {
        let mut bed = bed(&ground).await;
        drop(bed.until(Point::Probe).await);
        text_of_journal(&bed).await
    };
    for cut in (0..whole.len()).step_by(7) {
        let mut bed = bed(&ground).await;
        let call = bed.until(Point::Probe).await;
        bed.kill().await;
        drop(call);
        let torn = whole[..cut].to_owned();
        let write =
            move |db: &rusqlite::Connection| db.execute("update lan_journal set machine = ?1", [torn]);
        bed.store.run(write).await.unwrap();
        bed.watch.is_spoilt = true;

        bed.start();
        bed.settle(|_| None).await;
        bed.check_at_rest().await;
        assert_eq!(bed.world().saved, profile(9), "cut at {cut}");
        bed.want(&desired("new", 10));
        bed.want(&desired("newer", 11));
        bed.settle(|_| None).await;

        bed.check_at_rest().await;
        assert_eq!(bed.world().saved, profile(11), "cut at {cut}");
    }
}

async fn text_of_journal(bed: &Bed) -> String {
    let read =
        |db: &rusqlite::Connection| db.query_row("select machine from lan_journal", [], |row| row.get(0));
    Journal(bed.store.clone()).0.run(read).await.unwrap()
}
