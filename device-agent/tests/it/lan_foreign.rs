//! Shadows that are not ours: whatever stands there is refused with a code, reported, and touches nothing.

use device_model::{
    outcome::{VerdictKind, code},
    shadow::MAX_SIDE_BYTES,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use crate::lan_bed::{Bed, Ground, Point, desired};

const DOCUMENTS: usize = 3000;

/// Any JSON, not deeper than the shadow service lets it be, and then some.
fn anything(random: &mut StdRng, depth: usize) -> Value {
    match random.random_range(0..if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(random.random::<bool>()),
        2 => json!(random.random::<i64>()),
        3 => json!(random.random::<f64>() * 1e300),
        4 => json!(""),
        5 => json!("処\u{0}方 \"'\\ 192.168.10.9/24".repeat(random.random_range(1..4))),
        6 => (0..random.random_range(0..5)).map(|_| anything(random, depth - 1)).collect(),
        _ => {
            let mut object = json!({});
            for _ in 0..random.random_range(0..5) {
                let name =
                    *["lan", "mode", "address", "schema", "", "x", "__proto__"].choose(random).unwrap();
                object[name] = anything(random, depth - 1);
            }
            object
        }
    }
}

/// A place in a document that must be as it is, for it to be settings.
const PLACES: [&str; 10] = [
    "/lan",
    "/lan/mode",
    "/lan/address",
    "/lan/routes",
    "/lan/routes/0",
    "/lan/routes/0/to",
    "/lan/mtu",
    "/lan/dns",
    "/window",
    "/share",
];

/// Spoils settings in one way that can be told to be one, and says by which code that is refused.
fn spoilt(random: &mut StdRng, change: &str) -> (Value, &'static [&'static str]) {
    const BAD: &[&str] = &[code::BAD_SETTINGS];
    let mut document = desired(change, 9);
    document["lan"]["routes"] = json!([{"to": "192.168.20.0/24", "via": "192.168.10.1"}]);
    document["lan"]["mtu"] = json!(1500);
    document["lan"]["dns"] = json!(["192.168.10.1"]);
    document["share"] = json!({"name": "rx", "user": "rece", "workgroup": "WORKGROUP"});
    document["window"] = json!({"from": "22:00", "to": "05:00"});
    match random.random_range(0..7) {
        0 => {
            let schema = [json!(0), json!(2), json!(u64::MAX)].choose(random).unwrap().clone();
            document["schema"] = schema;
            (document, &[code::AGENT_TOO_OLD])
        }
        1 => {
            let schema = [json!("1"), json!(-1), json!(1.5), json!([1]), json!(null)];
            document["schema"] = schema.choose(random).unwrap().clone();
            (document, BAD)
        }
        2 => {
            let gone = *["schema", "lan"].choose(random).unwrap();
            document.as_object_mut().unwrap().remove(gone);
            (document, BAD)
        }
        3 => {
            // Numbers do for none of these, and a text for none of the first.
            let place = *PLACES.choose(random).unwrap();
            *document.pointer_mut(place).unwrap() = if place == "/lan/mtu" { json!("x") } else { json!(7) };
            (document, BAD)
        }
        4 => {
            // A key that nobody knows is let by; so much of it is not.
            let size = random.random_range(MAX_SIDE_BYTES..8192);
            document["note"] = json!("n".repeat(size));
            (document, BAD)
        }
        5 => {
            let mut deep = json!("deep");
            for _ in 0..random.random_range(10..100) {
                deep = if random.random_bool(0.5) { json!([deep]) } else { json!({"lan": deep}) };
            }
            let place = *["/lan", "/lan/address", "/share", "/probe"].choose(random).unwrap();
            document["probe"] = json!({});
            *document.pointer_mut(place).unwrap() = if place == "/probe" { json!([deep]) } else { deep };
            (document, BAD)
        }
        _ => {
            let address = ["10.128.0.9/16", "100.64.1.1/24", "0.0.0.0/0", "8.8.8.8/24", "192.168.10.255/24"];
            document["lan"] = json!({"mode": "static", "address": address.choose(random).unwrap()});
            (document, &[code::BAD_SETTINGS, code::OVERLAPS_WAN])
        }
    }
}

/// Nothing but looks may come until there is this much to report.
async fn untouched_until(bed: &mut Bed, done: impl Fn(&Bed) -> bool) {
    while !done(bed) {
        let call = bed.next().await;
        assert_eq!(call.point, Point::Look, "it goes on to act");
        call.go_on();
    }
}

#[tokio::test]
async fn whatever_is_not_settings_is_refused_with_a_code_and_never_touches_the_interface() {
    let ground = Ground::new();
    let mut bed = ground.bed().await;
    let mut random = StdRng::seed_from_u64(20_261_122);
    bed.start();

    for number in 0..DOCUMENTS {
        let change = format!("x{number}");
        let (document, codes) = spoilt(&mut random, &change);
        bed.want(&document);
        untouched_until(&mut bed, |bed| bed.watch.verdicts.contains_key(&change)).await;

        let report = bed.watch.last();
        let verdict = &report["verdicts"][0];
        assert_eq!((&verdict["changeId"], &verdict["verdict"]), (&json!(change), &json!("refused")));
        assert!(codes.contains(&verdict["code"].as_str().unwrap()), "{verdict} for {document}");
        assert!(report.to_string().len() <= MAX_SIDE_BYTES);
    }

    bed.want(&desired("good", 9));
    bed.settle(|_| None).await;
    assert_eq!(bed.verdict("good").await.unwrap().verdict, VerdictKind::Applied);
    bed.check_at_rest().await;
}

#[tokio::test]
async fn what_names_no_change_is_answered_by_nobody_and_harms_nobody() {
    let ground = Ground::new();
    let mut bed = ground.bed().await;
    let mut random = StdRng::seed_from_u64(20_261_123);
    bed.start();

    for number in 0..DOCUMENTS {
        let mut document = anything(&mut random, 7);
        let named = document.is_object() && number % 2 == 0;
        if named {
            document["changeId"] = anything(&mut random, 1);
        }
        bed.want(&document);
        // One more look for what was heard, and one for being idle.
        for _ in 0..2 {
            untouched_until(&mut bed, |_| true).await;
            let call = bed.next().await;
            assert_eq!(call.point, Point::Look, "{document} makes it act");
            call.go_on();
        }
    }

    assert_eq!(bed.verdicts().await, []);
    bed.want(&desired("good", 9));
    bed.settle(|_| None).await;
    assert_eq!(bed.verdict("good").await.unwrap().verdict, VerdictKind::Applied);
}

#[tokio::test]
async fn fields_that_only_a_newer_cloud_knows_are_let_by() {
    let ground = Ground::new();
    let mut bed = ground.bed().await;
    bed.start();
    let mut newer = desired("newer", 9);
    newer["vlan"] = json!({"id": 7});
    newer["lan"]["ipv6"] = json!({"mode": "auto"});
    newer["probe"] = json!({"share": "warn", "printer": "required"});

    bed.want(&newer);
    bed.settle(|_| None).await;

    assert_eq!(bed.verdict("newer").await.unwrap().verdict, VerdictKind::Applied);
    assert_eq!(bed.watch.last()["probe"], json!({"share": "warn"}));
}
