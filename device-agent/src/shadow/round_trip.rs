//! Proof that the cloud answers now: a question to the box's shadow, there and back, for whoever must know.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

/// Those who ask at the same time; one is usual.
const QUEUE: usize = 8;

/// Whoever holds this may ask.
#[derive(Debug, Clone)]
pub struct RoundTrip(mpsc::Sender<oneshot::Sender<()>>);

/// The questions, for whoever holds the line.
#[derive(Debug)]
pub struct Questions {
    new: mpsc::Receiver<oneshot::Sender<()>>,
    open: Vec<Question>,
    asked: u64,
}

#[derive(Debug)]
struct Question {
    token: String,
    since: Instant,
    answered: oneshot::Sender<()>,
}

pub fn channel() -> (RoundTrip, Questions) {
    let (ask, new) = mpsc::channel(QUEUE);
    (RoundTrip(ask), Questions { new, open: Vec::new(), asked: 0 })
}

impl RoundTrip {
    /// True once an answer came to a question that was put after this call, over however many connections.
    pub async fn make(&self, patience: Duration) -> bool {
        let asking = async {
            let (answered, answer) = oneshot::channel();
            self.0.send(answered).await.is_ok() && answer.await.is_ok()
        };
        timeout(patience, asking).await.unwrap_or(false)
    }
}

impl Questions {
    /// A new connection: what was asked on the last one and not answered is asked again.
    pub fn again(&mut self) -> Vec<Value> {
        self.forget_who_left();
        let open = std::mem::take(&mut self.open);
        open.into_iter().map(|question| self.put(question.answered)).collect()
    }

    /// The next one to be put to the shadow's `get`. Cancel-safe.
    pub async fn next(&mut self) -> Value {
        match self.new.recv().await {
            Some(answered) => self.put(answered),
            // Nobody can ask any more.
            None => std::future::pending().await,
        }
    }

    /// Returns once somebody waits for an answer. Cancel-safe.
    pub async fn wanted(&mut self) {
        self.forget_who_left();
        if self.open.is_empty() {
            drop(self.next().await);
        }
    }

    /// The shadow has answered something.
    pub fn heard(&mut self, payload: &[u8]) {
        let answer: Value = serde_json::from_slice(payload).unwrap_or_default();
        while let Some(at) = self.open.iter().position(|question| answer["clientToken"] == question.token) {
            let question = self.open.swap_remove(at);
            if question.answered.send(()).is_err() {
                tracing::debug!("who asked whether the cloud answers has gone meanwhile");
            }
        }
    }

    /// Since when an answer is owed, if one is.
    pub fn wait_since(&self) -> Option<Instant> {
        let wanted = self.open.iter().filter(|question| !question.answered.is_closed());
        wanted.map(|question| question.since).min()
    }

    fn put(&mut self, answered: oneshot::Sender<()>) -> Value {
        self.asked += 1;
        let token = format!("q{}", self.asked);
        let question = json!({ "clientToken": token });
        self.open.push(Question { token, since: Instant::now(), answered });
        question
    }

    fn forget_who_left(&mut self) {
        self.open.retain(|question| !question.answered.is_closed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_answer_to_its_own_question_counts_and_a_new_connection_asks_again() {
        let (ask, mut questions) = channel();
        let line = async {
            let first = questions.next().await;
            questions.heard(json!({"clientToken": "r1"}).to_string().as_bytes());
            questions.heard(b"{}");
            assert!(questions.wait_since().is_some());
            let again = questions.again();
            questions.heard(first.to_string().as_bytes());
            assert!(questions.wait_since().is_some());
            questions.heard(again[0].to_string().as_bytes());
            questions.wait_since()
        };

        let (came, owed) = tokio::join!(ask.make(Duration::from_secs(5)), line);

        assert!(came && owed.is_none());
    }

    #[tokio::test]
    async fn who_gave_up_is_not_waited_for() {
        let (ask, mut questions) = channel();
        assert!(!ask.make(Duration::ZERO).await);
        assert!(timeout(Duration::from_secs(5), questions.wanted()).await.is_ok());

        assert_eq!((questions.wait_since(), questions.again()), (None, vec![]));
    }
}
