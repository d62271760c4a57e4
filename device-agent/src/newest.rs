//! A bounded queue that keeps the newest: who sends never waits, and of more than fits the oldest go.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

pub struct Sender<T>(Arc<Shared<T>>);
pub struct Receiver<T>(Arc<Shared<T>>);

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    news: Notify,
}

struct Queue<T> {
    waiting: VecDeque<T>,
    limit: usize,
    /// One of the two ends is gone.
    over: bool,
}

pub fn queue<T>(limit: usize) -> (Sender<T>, Receiver<T>) {
    let queue = Queue { waiting: VecDeque::new(), limit: limit.max(1), over: false };
    let shared = Arc::new(Shared { queue: Mutex::new(queue), news: Notify::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Sender<T> {
    /// Gives the value back if nobody will ever take it.
    pub fn send(&self, value: T) -> Result<(), T> {
        let mut queue = self.0.lock();
        if queue.over {
            return Err(value);
        }
        if queue.waiting.len() == queue.limit {
            queue.waiting.pop_front();
        }
        queue.waiting.push_back(value);
        drop(queue);
        self.0.news.notify_one();
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// The oldest there is; `None` once nothing can come any more. Cancel-safe.
    pub async fn recv(&mut self) -> Option<T> {
        loop {
            {
                let mut queue = self.0.lock();
                if let Some(value) = queue.waiting.pop_front() {
                    return Some(value);
                }
                if queue.over {
                    return None;
                }
            }
            self.0.news.notified().await;
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.lock().over = true;
        self.news.notify_one();
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_more_than_fits_the_newest_stay() {
        let (send, mut receive) = queue(3);
        for number in 0..10 {
            send.send(number).unwrap();
        }
        drop(send);

        let mut got = Vec::new();
        while let Some(number) = receive.recv().await {
            got.push(number);
        }

        assert_eq!(got, [7, 8, 9]);
    }

    #[tokio::test]
    async fn who_sends_hears_that_nobody_listens() {
        let (send, receive) = queue(3);
        drop(receive);

        assert_eq!(send.send(1), Err(1));
    }
}
