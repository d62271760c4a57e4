//! Pages that were made before and are still true. Postgres tells by its snapshot whether any transaction
//! has ended since: while it is the same one, so is everything that could be read.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

/// What depends on the time of day, such as who counts as online, is made anew after this.
const KEPT: TimeDelta = TimeDelta::seconds(1);
/// So much is kept; with more, all is forgotten, which costs one reading each.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// A longer address is not worth its place.
const LONGEST: usize = 512;

#[derive(Default)]
pub struct Pages(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    pages: HashMap<String, Page>,
    bytes: usize,
}

struct Page {
    snapshot: String,
    made: DateTime<Utc>,
    body: Bytes,
}

impl Pages {
    /// The page as it was made under this very snapshot.
    pub fn get(&self, address: &str, snapshot: &str, now: DateTime<Utc>) -> Option<Bytes> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let page = kept.pages.get(address)?;
        (page.snapshot == snapshot && now - page.made < KEPT).then(|| page.body.clone())
    }

    /// Keeps a page. The snapshot was taken before the page was read, so that it can only be too old.
    pub fn put(&self, address: &str, snapshot: String, now: DateTime<Utc>, body: Bytes) {
        let weight = |address: &str, body: &Bytes| address.len() + body.len();
        if address.len() > LONGEST {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + weight(address, &body) > MOST_BYTES {
            *kept = Kept::default();
        }
        kept.bytes += weight(address, &body);
        if let Some(old) = kept.pages.insert(address.to_owned(), Page { snapshot, made: now, body }) {
            kept.bytes -= weight(address, &old.body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    #[test]
    fn a_page_is_good_under_its_own_snapshot_and_for_a_moment_only() {
        let pages = Pages::default();
        pages.put("limit=1", "10:20:".to_owned(), NOW, Bytes::from_static(b"x"));

        assert_eq!(pages.get("limit=1", "10:20:", NOW).unwrap(), "x");
        assert_eq!(pages.get("limit=1", "10:21:", NOW), None);
        assert_eq!(pages.get("limit=2", "10:20:", NOW), None);
        assert_eq!(pages.get("limit=1", "10:20:", NOW + KEPT), None);
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let (pages, page) = (Pages::default(), Bytes::from(vec![0; MOST_BYTES / 10]));
        for number in 0..30 {
            pages.put(&(number % 15).to_string(), String::new(), NOW, page.clone());
        }
        pages.put(&"x".repeat(LONGEST + 1), String::new(), NOW, Bytes::new());

        let kept = pages.0.lock().unwrap();
        let held: usize = kept.pages.iter().map(|(address, page)| address.len() + page.body.len()).sum();
        assert_eq!(held, kept.bytes);
        assert!(held <= MOST_BYTES && kept.pages.keys().all(|address| address.len() <= LONGEST));
    }
}
