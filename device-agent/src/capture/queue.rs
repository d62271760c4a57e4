//! What waits to be read, each path once, and what is being read.

use std::collections::{HashMap, VecDeque};

use crate::capture::source::SharePath;

pub struct Queue {
    waiting: VecDeque<SharePath>,
    most: usize,
    /// Something found no place, and is found again by looking at everything.
    overflowed: bool,
    known: HashMap<SharePath, Progress>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    /// `again`: it must be read once more when the present read is over.
    Reading {
        again: bool,
    },
}

impl Queue {
    pub fn new(most: usize) -> Self {
        Self { waiting: VecDeque::new(), most, overflowed: false, known: HashMap::new() }
    }

    /// True, once, after something found no place and the queue has run empty.
    pub fn has_room_again(&mut self) -> bool {
        self.waiting.is_empty() && std::mem::take(&mut self.overflowed)
    }

    pub fn add(&mut self, path: SharePath) {
        match self.known.get_mut(&path) {
            Some(Progress::Waiting) => {}
            Some(Progress::Reading { again }) => *again = true,
            None if self.waiting.len() >= self.most => self.overflowed = true,
            None => {
                self.known.insert(path.clone(), Progress::Waiting);
                self.waiting.push_back(path);
            }
        }
    }

    /// The next one to read; [`Queue::done`] must be told when it was.
    pub fn next(&mut self) -> Option<SharePath> {
        let path = self.waiting.pop_front()?;
        self.known.insert(path.clone(), Progress::Reading { again: false });
        Some(path)
    }

    pub fn done(&mut self, path: SharePath) {
        if self.known.remove(&path) == Some(Progress::Reading { again: true }) {
            self.add(path);
        }
    }
}
