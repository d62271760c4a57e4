//! Files that someone still had open for writing when they were read. The kernel tells of a close before it
//! lets go of the file (`fsnotify_close` comes first in `__fput`), so the close that was waited for may have
//! been told already: such a file is read again after a moment. Whoever writes on for longer will be told of.

use std::{collections::HashMap, time::Duration};

use crate::{backoff::Backoff, capture::source::SharePath};

/// A close is over in 2 ms, its flush to the disk included, unless the machine is busy.
const FIRST: Duration = Duration::from_millis(10);
/// Once a wait could be as long as this, it is no close that is waited for.
const MOST: Duration = Duration::from_secs(10);
/// More files than these are found by looking at everything.
const FILES: usize = 256;

#[derive(Default)]
pub struct Closing(HashMap<SharePath, Backoff>);

impl Closing {
    /// How long to wait before the file is read again, if it is worth it.
    pub fn wait(&mut self, path: &SharePath) -> Option<Duration> {
        if !self.0.contains_key(path) && self.0.len() >= FILES {
            return None;
        }
        let backoff = self.0.entry(path.clone()).or_insert_with(|| Backoff::new(FIRST, MOST));
        if backoff.ceiling() == MOST {
            self.0.remove(path);
            return None;
        }
        Some(backoff.next_wait())
    }

    /// Nobody had it open any more.
    pub fn done(&mut self, path: &SharePath) {
        self.0.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_a_few_times_and_then_left_to_its_next_close() {
        let mut closing = Closing::default();
        let path: SharePath = b"a.csv".to_vec();

        let waits: Vec<Duration> = std::iter::from_fn(|| closing.wait(&path)).collect();
        assert!((5..20).contains(&waits.len()), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait < MOST), "{waits:?}");

        // The next time counts anew.
        assert!(closing.wait(&path).is_some_and(|wait| wait <= FIRST));
        closing.done(&path);
        assert!(closing.wait(&path).is_some_and(|wait| wait <= FIRST));
    }

    #[test]
    fn of_too_many_only_the_first_are_read_again() {
        let mut closing = Closing::default();
        let again = (0..2 * FILES).filter(|number| closing.wait(&number.to_string().into_bytes()).is_some());
        assert_eq!(again.count(), FILES);
    }
}
