//! The machine by itself, event by event.

use device_model::outcome::VerdictKind;
use serde_json::json;

use super::*;

fn profile(host: u8) -> Profile {
    serde_json::from_value(json!({"lan": {"mode": "static", "address": format!("192.168.10.{host}/24")}}))
        .unwrap()
}

fn wish(id: &str) -> Wish {
    Wish { change_id: id.parse().unwrap(), profile: profile(9), window: None, local: false }
}

fn wished(wish: Wish) -> Event {
    Event::Wished(Box::new(wish))
}

fn idle() -> Machine {
    Machine::settled(profile(1))
}

fn after(events: impl IntoIterator<Item = Event>) -> (Machine, Vec<Ending>) {
    events.into_iter().fold((idle(), Vec::new()), |(machine, mut endings), event| {
        let (machine, ending) = machine.on(event).unwrap();
        endings.extend(ending);
        (machine, endings)
    })
}

fn at() -> DateTime<Utc> {
    "2026-11-22T00:00:00Z".parse().unwrap()
}

fn begin() -> Event {
    Event::Begin { boot_id: "boot".to_owned() }
}

fn restarted(boot: &str) -> Event {
    Event::Restarted { boot_id: boot.to_owned() }
}

fn failed(code: &str) -> Event {
    Event::Failed { code: code.to_owned(), detail: None }
}

fn impossible(code: &str) -> Event {
    Event::Impossible(Setback { code: code.to_owned(), detail: None, at: at() })
}

fn restored() -> Event {
    Event::Restored { at: at() }
}

fn said(endings: &[Ending]) -> Vec<(VerdictKind, Option<&str>)> {
    endings.iter().map(|ending| (ending.verdict, ending.code.as_deref())).collect()
}

#[test]
fn settings_that_work_become_the_current_ones() {
    let (machine, endings) = after([wished(wish("a")), begin(), Event::Passed, Event::Committed]);

    assert_eq!(machine, Machine::settled(profile(9)));
    assert_eq!(endings, [Ending::applied("a".parse().unwrap())]);
}

#[test]
fn the_third_attempt_is_the_last_whether_it_fails_or_is_cut_short() {
    for (third, code) in
        [(failed(code::GATEWAY_SILENT), code::GATEWAY_SILENT), (restarted("boot"), code::INTERRUPTED)]
    {
        let attempt = |end: &Event| [begin(), end.clone(), restored()];
        let twice = [wished(wish("a"))]
            .into_iter()
            .chain(attempt(&failed(code::NO_LEASE)))
            .chain(attempt(&restarted("boot")));
        let (machine, endings) = after(twice.clone());
        assert_eq!(endings, []);
        let State::Staged { attempts: 2, setbacks, .. } = machine.state else {
            panic!("{machine:?}");
        };
        assert_eq!(setbacks.count, 2);

        let (machine, endings) = after(twice.chain(attempt(&third)));

        assert_eq!(machine, idle());
        assert_eq!(said(&endings), [(VerdictKind::RolledBack, Some(code))]);
    }
}

#[test]
fn what_would_fail_again_is_not_tried_again() {
    let (machine, endings) = after([wished(wish("a")), begin(), failed(code::ADDRESS_IN_USE), restored()]);
    assert_eq!(machine, idle());
    assert_eq!(said(&endings), [(VerdictKind::RolledBack, Some(code::ADDRESS_IN_USE))]);

    let (machine, endings) = after([wished(wish("a")), impossible(code::OVERLAPS_WAN)]);
    assert_eq!(machine, idle());
    assert_eq!(said(&endings), [(VerdictKind::Refused, Some(code::OVERLAPS_WAN))]);
}

#[test]
fn what_cannot_even_be_tried_is_given_up_after_a_while_and_was_not_rolled_back() {
    let no = || impossible(code::NO_CARRIER);
    let (machine, endings) = after([wished(wish("a")), no(), no(), no()]);
    assert_eq!(endings, []);
    assert!(matches!(machine.state, State::Staged { attempts: 0, .. }));

    let (_, endings) = after([wished(wish("a")), no(), no(), no(), no()]);
    let (_, tried) =
        after([wished(wish("a")), begin(), failed(code::NO_LEASE), restored(), no(), no(), no()]);

    assert_eq!(said(&endings), [(VerdictKind::Refused, Some(code::NO_CARRIER))]);
    assert_eq!(said(&tried), [(VerdictKind::RolledBack, Some(code::NO_CARRIER))]);
}

#[test]
fn an_interruption_says_whether_it_was_the_power() {
    for (boot, words) in [("boot", "the agent was restarted"), ("other", "the power was cut")] {
        let (machine, _) = after([wished(wish("a")), begin(), restarted(boot), restored()]);

        let State::Staged { setbacks, .. } = machine.state else {
            panic!("{machine:?}");
        };
        assert_eq!(setbacks.last.unwrap().detail.unwrap(), format!("{words} during attempt 1"));
    }
}

#[test]
fn a_newer_change_undoes_a_trial_but_not_a_commit() {
    let (machine, endings) = after([wished(wish("a")), begin(), Event::Overtaken, restored()]);
    assert_eq!((machine, endings[0].verdict), (idle(), VerdictKind::Superseded));

    let (committing, _) = after([wished(wish("a")), begin(), Event::Passed]);
    assert!(committing.on(Event::Overtaken).is_err());
}

#[test]
fn a_missed_window_is_told_as_such_whether_the_change_was_tried_or_not() {
    let (_, untried) = after([wished(wish("a")), Event::WindowMissed]);
    let (_, tried) =
        after([wished(wish("a")), begin(), failed(code::NO_LEASE), restored(), Event::WindowMissed]);

    assert_eq!(said(&untried), [(VerdictKind::Refused, Some(code::WINDOW_MISSED))]);
    assert_eq!(said(&tried), [(VerdictKind::RolledBack, Some(code::WINDOW_MISSED))]);
    assert!(tried[0].detail.as_deref().unwrap().contains(code::NO_LEASE));
}

#[test]
fn what_somebody_on_site_changed_is_kept_and_remembered_until_the_cloud_changes_it_or_they_do() {
    let drifted = |host| Event::Drifted(Box::new(profile(host)));
    let (machine, _) = after([drifted(7), drifted(8)]);
    assert_eq!((&machine.current, machine.drifted_from.as_ref()), (&profile(8), Some(&profile(1))));

    let (back, _) = after([drifted(7), drifted(1)]);
    let (applied, _) = after([wished(wish("a")), drifted(7), begin(), Event::Passed, Event::Committed]);
    let (rolled_back, _) =
        after([wished(wish("a")), drifted(7), begin(), failed(code::ADDRESS_IN_USE), restored()]);

    assert_eq!(back, idle());
    assert_eq!(applied, Machine::settled(profile(9)));
    assert_eq!((rolled_back.current, rolled_back.drifted_from), (profile(7), Some(profile(1))));
    let (trying, _) = after([wished(wish("a")), begin()]);
    assert!(trying.on(drifted(7)).is_err(), "what a trial has changed is no drift");
}

#[test]
fn a_change_that_says_nothing_of_the_share_leaves_it_as_it_is() {
    let share = json!({"name": "rx", "user": "rece", "workgroup": "WORKGROUP"});
    let hosting = Profile { share: serde_json::from_value(share).unwrap(), ..profile(1) };
    let machine = Machine::settled(hosting.clone());

    let machine = [wished(wish("a")), begin(), Event::Passed, Event::Committed]
        .into_iter()
        .fold(machine, |machine, event| machine.on(event).unwrap().0);

    assert_eq!(machine, Machine::settled(Profile { share: hosting.share, ..profile(9) }));
}

#[test]
fn a_change_on_the_spot_counts_as_drift_and_is_not_tried_twice_unless_it_was_interrupted() {
    let local = || wished(Wish { local: true, ..wish("local-1") });
    let (applied, _) = after([local(), begin(), Event::Passed, Event::Committed]);
    assert_eq!((applied.current, applied.drifted_from), (profile(9), Some(profile(1))));

    let (_, endings) = after([local(), begin(), failed(code::GATEWAY_SILENT), restored()]);
    let (interrupted, _) = after([local(), begin(), restarted("other"), restored()]);

    assert_eq!(said(&endings), [(VerdictKind::RolledBack, Some(code::GATEWAY_SILENT))]);
    assert!(matches!(interrupted.state, State::Staged { attempts: 1, .. }));
}

#[test]
fn the_journal_is_read_back_as_it_was_written() {
    let drifted = Event::Drifted(Box::new(profile(7)));
    let (machine, _) = after([
        drifted,
        wished(wish("a")),
        begin(),
        failed(code::NO_LEASE),
        restored(),
        begin(),
        restarted("other"),
    ]);

    let text = serde_json::to_string(&machine).unwrap();

    assert_eq!(serde_json::from_str::<Machine>(&text).unwrap(), machine);
}

#[test]
fn the_journal_of_an_older_agent_is_read() {
    let old = json!({"current": profile(1), "state": {"phase": "rollingBack", "attempt": 1,
        "wish": {"changeId": "a", "profile": profile(9)}, "reason": {"kind": "interrupted"}}});

    let machine: Machine = serde_json::from_value(old).unwrap();

    let (machine, _) = machine.on(restored()).unwrap();
    assert!(matches!(machine.state, State::Staged { attempts: 1, .. }));
}
