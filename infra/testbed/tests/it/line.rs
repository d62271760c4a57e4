//! A box whose line breaks, goes silent or is slow: what it was sending arrives once the line is back.

use std::sync::atomic::Ordering;

use testbed::{
    line::{Condition, Line},
    wait::until,
};

use crate::support::{BOUND, Bucket, bed, save, uploads};

#[tokio::test]
async fn what_a_broken_line_interrupts_arrives_when_it_is_back() {
    let mut bed = bed(1).await;
    let line = Line::to(&bed.cloud, &bed.fleet_api).await.unwrap();
    let one = &mut bed.boxes[0];
    one.stop_agent().await.unwrap();
    let agent = line.reached_by(one.agent_program());
    one.start_agent_as(&agent).unwrap();
    let (thing, content) = (one.thing.clone(), vec![b'x'; 400_000]);
    save(&bed.boxes[0], "first.csv", b"first").await;
    uploads(&bed, &thing, 1).await;

    // Slow enough to be still on its way when the line breaks.
    line.set(Condition::Slow(20_000));
    let before = line.api.count.sent.load(Ordering::Relaxed);
    save(&bed.boxes[0], "second.csv", &content).await;
    until("the second one is on its way", BOUND, || async {
        Ok((line.api.count.sent.load(Ordering::Relaxed) > before + 20_000).then_some(()))
    })
    .await
    .unwrap();
    line.set(Condition::Down);
    until("it is interrupted", BOUND, || async {
        Ok((line.api.count.interrupted.load(Ordering::Relaxed) > 0).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(uploads(&bed, &thing, 1).await.len(), 1);
    line.set(Condition::Up);

    let both = uploads(&bed, &thing, 2).await;
    let bucket = Bucket::of(&bed);
    let big = both.iter().find(|upload| upload["size"] == content.len()).unwrap();
    assert_eq!(bucket.content(big["objectKey"].as_str().unwrap()).await, content);
    bed.stop().await.unwrap();
}
