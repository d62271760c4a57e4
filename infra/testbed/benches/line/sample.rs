//! A made-up file of the kind that is saved: lines in `Shift_JIS`, ended by CRLF.

use rand::{Rng, SeedableRng, rngs::StdRng};

pub const BYTES: usize = 5 * 1024;

pub fn content(number: u64) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(number);
    let mut content = Vec::with_capacity(BYTES);
    while content.len() < BYTES {
        let kind: u8 = random.random_range(1..60);
        content.extend(format!("{kind},{:07},", random.random_range(0..10_000_000)).bytes());
        // Katakana, two bytes each.
        for _ in 0..random.random_range(4..16) {
            content.extend([0x83, random.random_range(0x40..0x7f)]);
        }
        let (amount, days) = (random.random_range(1..100), random.random_range(1..90));
        content.extend(format!(",{amount},{days},2026{:04}\r\n", random.random_range(101..1232)).bytes());
    }
    content.truncate(BYTES);
    content
}
