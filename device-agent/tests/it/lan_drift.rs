//! Settings that somebody on site changes: taken as they are, told, never fought; and going back on the spot.

use std::sync::atomic::Ordering;

use device_agent::lan::{desire::Desire, history, rescue, state::Wish};
use device_model::{
    outcome::{VerdictKind, code},
    shadow::TrialPhase,
};
use serde_json::{Value, json};

use crate::lan_bed::{Bed, Ground, Point, desired, profile};

/// A box on which `a` was applied.
async fn bed(ground: &Ground) -> Bed {
    let mut bed = ground.bed().await;
    bed.start();
    bed.want(&desired("a", 9));
    bed.settle(|_| None).await;
    bed
}

fn change_on_site(bed: &mut Bed, host: u8) {
    bed.watch.unnoticed = true;
    bed.world().change_on_site(profile(host));
}

fn alarm(bed: &Bed) -> bool {
    bed.health.lan_drift.load(Ordering::Relaxed)
}

#[tokio::test]
async fn what_is_changed_on_site_is_kept_reported_and_alarmed_until_the_cloud_changes_it() {
    let ground = Ground::new();
    let mut bed = bed(&ground).await;
    assert!(!alarm(&bed));

    change_on_site(&mut bed, 77);
    bed.settle(|_| None).await;

    bed.check_at_rest().await;
    assert_eq!(bed.watch.last()["lan"]["address"], "192.168.10.77/24");
    assert!(alarm(&bed));
    // Told again, as at each connect, the change that was applied before is not fought for.
    bed.want(&desired("a", 9));
    bed.settle(|_| None).await;
    assert_eq!(bed.world().running, profile(77));
    bed.kill().await;
    bed.start();
    bed.settle(|_| None).await;
    assert!(alarm(&bed), "a restart forgets the alarm");
    bed.want(&desired("b", 10));
    bed.settle(|_| None).await;
    assert!(!alarm(&bed));
    bed.check_at_rest().await;
}

#[tokio::test]
async fn what_is_changed_on_site_and_back_again_is_no_drift() {
    let ground = Ground::new();
    let mut bed = bed(&ground).await;

    change_on_site(&mut bed, 77);
    bed.settle(|_| None).await;
    change_on_site(&mut bed, 9);
    bed.settle(|_| None).await;

    assert!(!alarm(&bed));
    bed.check_at_rest().await;
}

#[tokio::test]
async fn what_is_changed_on_site_before_the_box_was_ever_told_anything_is_noticed_after_a_restart() {
    let ground = Ground::new();
    let mut bed = ground.bed().await;
    bed.start();
    bed.settle(|_| None).await;
    bed.kill().await;

    change_on_site(&mut bed, 77);
    bed.start();
    bed.settle(|_| None).await;

    assert!(alarm(&bed));
    bed.check_at_rest().await;
}

#[tokio::test]
async fn a_trial_that_fails_goes_back_to_what_was_set_on_site_while_it_waited() {
    let ground = Ground::new();
    let mut bed = bed(&ground).await;
    bed.want(&desired("b", 10));
    let call = bed.until(Point::Judgeable).await;

    change_on_site(&mut bed, 77);
    call.go_on();
    bed.settle(|point| (point == Point::Probe).then_some(code::ADDRESS_IN_USE)).await;

    assert_eq!(bed.verdict("b").await.unwrap().verdict, VerdictKind::RolledBack);
    assert_eq!(bed.world().running, profile(77));
    bed.check_at_rest().await;
}

#[tokio::test]
async fn each_attempt_is_held_to_what_worked_before_the_first_unless_somebody_on_site_changed_that() {
    let ground = Ground::new();
    let mut bed = bed(&ground).await;
    let before = bed.world().held_to.len();
    bed.want(&desired("b", 10));
    for _ in 0..2 {
        bed.until(Point::Probe).await.fail(code::SHARE_LOGIN);
    }
    let call = bed.until(Point::Judgeable).await;
    change_on_site(&mut bed, 77);
    call.go_on();
    bed.settle(|_| None).await;
    bed.want(&desired("c", 11));
    bed.settle(|_| None).await;

    let held_to = bed.world().held_to[before..].to_vec();
    assert_eq!(bed.verdict("b").await.unwrap().verdict, VerdictKind::Applied);
    assert_eq!(held_to, [2, 2, 4, 5], "counted from the first change of the bed");
}

#[tokio::test]
async fn the_interface_that_does_not_say_what_it_has_saved_holds_up_nothing() {
    let ground = Ground::new();
    let mut bed = bed(&ground).await;
    bed.want(&desired("b", 10));

    loop {
        let call = bed.next().await;
        let is_over = bed.watch.verdicts.contains_key("b");
        if call.point == Point::Look {
            call.fail(code::APPLY_FAILED);
        } else {
            call.go_on();
        }
        if is_over {
            break;
        }
    }

    assert_eq!(bed.verdict("b").await.unwrap().verdict, VerdictKind::Applied);
    assert!(!alarm(&bed));
}

fn back_to(name: &str, host: u8) -> Desire {
    let change_id = name.parse().unwrap();
    Desire::Wish(Box::new(Wish { change_id, profile: profile(host), window: None, local: true }))
}

#[tokio::test]
async fn who_goes_back_on_the_spot_needs_no_cloud_is_reported_and_counts_as_drift() {
    let ground = Ground::new();
    let mut bed = bed(&ground).await;

    bed.ask_on_the_spot(back_to("local-1", 1));
    loop {
        let call = bed.next().await;
        assert_ne!(call.point, Point::Judgeable, "it waits for the cloud");
        let is_over = bed.watch.verdicts.contains_key("local-1");
        call.go_on();
        if is_over {
            break;
        }
    }

    bed.settle(|_| None).await;
    bed.check_at_rest().await;
    assert_eq!(bed.world().saved, profile(1));
    assert_eq!(bed.watch.last()["verdicts"][0]["changeId"], "local-1");
    assert!(alarm(&bed));
}

#[tokio::test]
async fn who_goes_back_on_the_spot_takes_the_place_of_a_trial_and_gets_no_second_attempt() {
    let ground = Ground::new();
    let mut bed = bed(&ground).await;
    bed.want(&desired("b", 10));
    let call = bed.until(Point::Reached(TrialPhase::Trying)).await;
    bed.ask_on_the_spot(back_to("local-1", 1));
    call.go_on();

    bed.settle(|point| (point == Point::Probe).then_some(code::GATEWAY_SILENT)).await;

    let said = bed.verdict("local-1").await.unwrap();
    assert_eq!((said.verdict, said.code.as_deref()), (VerdictKind::RolledBack, Some(code::GATEWAY_SILENT)));
    assert_eq!(bed.watch.tries["local-1"], 1);
    assert_eq!(bed.verdict("b").await.unwrap().verdict, VerdictKind::Superseded);
    bed.check_at_rest().await;
    assert_eq!(bed.world().saved, profile(9));
}

#[tokio::test]
async fn a_request_is_there_until_its_verdict_is() {
    let ground = Ground::new();
    let mut bed = bed(&ground).await;
    let ask = |db: &rusqlite::Connection| {
        let events = history::events(db)?;
        rescue::ask(db, events.last().unwrap())
    };
    let change = bed.store.run(ask).await.unwrap();
    let waiting = "select count(*) from lan_request";
    let count = move |db: &rusqlite::Connection| db.query_row(waiting, [], |row| row.get::<_, i64>(0));

    bed.ask_on_the_spot(back_to(change.as_str(), 1));
    bed.until(Point::Probe).await.go_on();
    assert_eq!(bed.store.read(count).await.unwrap(), 1);
    bed.settle(|_| None).await;

    assert_eq!(bed.store.read(count).await.unwrap(), 0);
    assert_eq!(bed.watch.last()["trial"], Value::Null);
    assert_eq!(bed.watch.last()["lan"], json!(profile(1).lan));
}
