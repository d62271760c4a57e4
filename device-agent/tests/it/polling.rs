//! A share that the kernel tells nothing about.

use std::{
    fs::File,
    sync::{Arc, atomic::Ordering},
    time::{Duration, UNIX_EPOCH},
};

use device_agent::capture::poll::Poll;
use device_model::upload::ContentHash;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    capture::put,
    support::{NEVER, capture_of, entries, eventually, light_folder, spool_in},
};

const SOON: Duration = Duration::from_millis(10);

#[tokio::test]
async fn a_file_that_may_still_be_in_the_making_is_left_alone() {
    let (share, state) = (light_folder(), light_folder());
    let spool = spool_in(state.path()).await;
    put(&share.path().join("a.csv"), b"a");
    let capture = capture_of(share.path(), &spool);
    let health = Arc::clone(&capture.health);
    let poll = Poll::new(capture.share.clone(), Arc::clone(&capture.scope), SOON, NEVER);

    let mut tasks = JoinSet::new();
    tasks.spawn(capture.run(poll, CancellationToken::new()));

    let looks = || health.looks.load(Ordering::Relaxed);
    eventually("it was looked at", || async { (looks() > 5).then_some(()) }).await;
    assert_eq!(entries(&spool).await, []);
}

#[tokio::test]
async fn each_content_that_came_to_rest_is_captured_once() {
    let (share, state) = (light_folder(), light_folder());
    let spool = spool_in(state.path()).await;
    let path = share.path().join("a.csv");
    let capture = capture_of(share.path(), &spool);
    let health = Arc::clone(&capture.health);
    let poll = Poll::new(capture.share.clone(), Arc::clone(&capture.scope), SOON, SOON);
    let mut tasks = JoinSet::new();
    tasks.spawn(capture.run(poll, CancellationToken::new()));

    let contents = [&b"first"[..], b"second", b"second and third"];
    for (content, before) in contents.iter().zip(0..) {
        put(&path, content);
        eventually("it is captured", || async { (entries(&spool).await.len() == before + 1).then_some(()) })
            .await;
    }
    // Touched, and the same.
    File::open(&path).unwrap().set_modified(UNIX_EPOCH).unwrap();
    let looked = health.looks.load(Ordering::Relaxed);
    eventually("it was looked at", || async {
        (health.looks.load(Ordering::Relaxed) > looked + 5).then_some(())
    })
    .await;

    let hashes: Vec<_> = entries(&spool).await.into_iter().map(|entry| entry.hash).collect();
    assert_eq!(hashes, contents.map(ContentHash::of));
}
