//! A cap on what uploads may send in a second, all of them together.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::time::{Instant, sleep_until};

/// What is let through at once. Less would be all waiting, more would come in gusts.
const PIECE: usize = 8 * 1024;

#[derive(Clone)]
pub struct Throttle {
    bytes_per_second: NonZeroU64,
    /// When the line is free again.
    free_at: Arc<Mutex<Instant>>,
}

impl Throttle {
    pub fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, free_at: Arc::new(Mutex::new(Instant::now())) }
    }

    /// The same bytes, no faster than allowed.
    pub fn slowed<E: Send + 'static>(
        self,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static {
        body.flat_map(|chunk| stream::iter(pieces(chunk))).then(move |piece| {
            let this = self.clone();
            async move {
                if let Ok(piece) = &piece {
                    this.pass(piece.len()).await;
                }
                piece
            }
        })
    }

    async fn pass(&self, bytes: usize) {
        let turn = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*free_at).max(Instant::now());
            let nanos = bytes as u64 * 1_000_000_000 / self.bytes_per_second;
            *free_at = turn + Duration::from_nanos(nanos);
            turn
        };
        sleep_until(turn).await;
    }
}

fn pieces<E>(chunk: Result<Bytes, E>) -> Vec<Result<Bytes, E>> {
    match chunk {
        Ok(mut rest) => {
            let mut pieces = Vec::new();
            while rest.len() > PIECE {
                pieces.push(Ok(rest.split_to(PIECE)));
            }
            pieces.push(Ok(rest));
            pieces
        }
        error => vec![error],
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[tokio::test]
    async fn all_together_are_no_faster_than_the_cap_and_no_byte_is_lost() {
        let throttle = Throttle::new(NonZeroU64::new(500_000).unwrap());
        let body: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).take(100_000).collect();
        let send = async || {
            let whole: Result<Bytes, Infallible> = Ok(body.clone().into());
            let pieces: Vec<_> = throttle.clone().slowed(stream::iter([whole])).collect().await;
            pieces.into_iter().flat_map(|piece| piece.unwrap().to_vec()).collect::<Vec<u8>>()
        };
        let begun = Instant::now();

        let (one, other) = tokio::join!(send(), send());

        // The last piece of each may go the moment it has its turn.
        assert!(begun.elapsed() >= Duration::from_millis(360), "{:?}", begun.elapsed());
        assert!(one == body && other == body);
    }
}
