//! The judge of LAN settings beside two others that were written apart from it: one looks at the bits of
//! addresses, one asks Python's `ipaddress`. A million drafts from a seed; one that fails names it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bits;
mod drafts;
mod python;

use std::net::Ipv4Addr;

use bits::Numbers;
use device_model::{
    fault::Faults,
    lan::{Addressing, LanDraft, LanSettings, ReservedRanges},
};
use drafts::{RESERVED, Random};

const BY_BITS: u64 = 900_000;
const BY_PYTHON: u64 = 100_000;

/// `RECEHUB_ORACLE_SEED` plays one again.
fn seed() -> u64 {
    std::env::var("RECEHUB_ORACLE_SEED").map_or(20_261_122, |text| text.parse().unwrap())
}

/// What the line of the box's own has, for each of the judges.
struct Rules {
    reserved: &'static [&'static str],
    by_number: Vec<(u32, u8)>,
    ranges: ReservedRanges,
}

fn rules() -> Vec<Rules> {
    let number = |text: &&str| {
        let (net, prefix) = text.split_once('/').unwrap();
        (u32::from_be_bytes(net.parse::<Ipv4Addr>().unwrap().octets()), prefix.parse().unwrap())
    };
    let rules = |reserved: &&'static [&'static str]| Rules {
        reserved,
        by_number: reserved.iter().map(number).collect(),
        ranges: reserved.join(",").parse().unwrap(),
    };
    RESERVED.iter().map(rules).collect()
}

/// The draft number `number` of a seed, and which rules it is judged by.
fn draft(seed: u64, number: u64) -> (LanDraft, usize) {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ (number << 20));
    let which = random.below(4) as usize;
    (random.draft(), which)
}

fn told(faults: &Faults) -> Vec<(String, &'static str)> {
    faults.iter().map(|fault| (fault.field.clone(), fault.code.name())).collect()
}

fn numbers(settings: &LanSettings) -> Numbers {
    let number = |address: &Ipv4Addr| u32::from_be_bytes(address.octets());
    let (address, gateway) = match settings.addressing() {
        Addressing::Static { address, gateway } => {
            (Some((number(&address.addr()), address.prefix_len())), gateway.as_ref().map(number))
        }
        Addressing::Dhcp => (None, None),
    };
    let routes = settings.routes().iter();
    Numbers {
        address,
        gateway,
        dns: settings.dns().iter().map(number).collect(),
        routes: routes.map(|it| ((number(&it.to.addr()), it.to.prefix_len()), number(&it.via))).collect(),
    }
}

/// Judges one draft by its bits; answers whether it was good.
fn judge_by_bits(seed: u64, number: u64, rules: &[Rules]) -> bool {
    let (draft, which) = draft(seed, number);
    let Rules { reserved, by_number, ranges } = &rules[which];
    let (expected, read) = bits::judge(&draft, by_number);
    let case = || format!("RECEHUB_ORACLE_SEED={seed}, draft {number} beside {reserved:?}: {draft:?}");
    match LanSettings::parse(draft.clone(), ranges) {
        Ok(settings) => {
            assert_eq!(expected, [], "{}", case());
            assert_eq!(numbers(&settings), read, "{}", case());
            let again = LanSettings::parse(LanDraft::from(settings.clone()), ranges);
            assert_eq!(again.as_ref(), Ok(&settings), "{}", case());
        }
        Err(faults) => assert_eq!(told(&faults), expected, "{}", case()),
    }
    // A box reads settings off the wire first, and asks for its own line's ranges then.
    let on_the_box = LanSettings::try_from(draft.clone()).and_then(|settings| {
        let overlaps = ranges.faults_of(&settings);
        overlaps.unless_any(settings)
    });
    assert_eq!(on_the_box.is_ok(), expected.is_empty(), "{}", case());
    expected.is_empty()
}

#[test]
fn drafts_are_judged_as_the_bits_of_their_addresses_say() {
    let (seed, rules) = (seed(), rules());
    let half = |numbers: std::ops::Range<u64>| {
        numbers.filter(|number| judge_by_bits(seed, *number, &rules)).count() as u64
    };
    let good = std::thread::scope(|scope| {
        let first = scope.spawn(|| half(0..BY_BITS / 2));
        half(BY_BITS / 2..BY_BITS) + first.join().unwrap()
    });
    println!("{BY_BITS} drafts, {good} of them good");

    assert!((BY_BITS / 10..BY_BITS / 2).contains(&good), "too few of one kind: {good} were good");
}

#[test]
fn drafts_are_judged_as_by_pythons_ipaddress() {
    let (seed, rules) = (seed(), rules());
    let asked = (BY_BITS..BY_BITS + BY_PYTHON).map(|number| {
        let (draft, which) = draft(seed, number);
        (draft, &rules[which])
    });
    let mut number = BY_BITS;

    python::judge(asked, |expected, draft, Rules { ranges, reserved, .. }| {
        let found = LanSettings::parse(draft.clone(), ranges).err().unwrap_or_default();
        let found = told(&found).into_iter().map(|(field, code)| (field, code.to_owned()));
        assert_eq!(
            found.collect::<Vec<_>>(),
            expected,
            "RECEHUB_ORACLE_SEED={seed}, draft {number} beside {reserved:?}: {draft:?}"
        );
        number += 1;
    });

    assert_eq!(number, BY_BITS + BY_PYTHON);
}
