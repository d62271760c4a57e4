//! Durable objects, beside what this disk gives to plain files in the same run.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Row;
use crate::server::Cloud;

const CLIENTS: u32 = 8;
const SIZE: usize = 5 * 1024;
/// The two take turns, since a disk has moods.
const ROUNDS: u32 = 4;
const TURN: Duration = Duration::from_millis(1500);

pub async fn measure() -> anyhow::Result<Vec<Row>> {
    let cloud = Arc::new(Cloud::start().await?);
    let (mut floor, mut puts) = (Vec::new(), Vec::new());
    let mut busy = 0.0;
    for round in 0..ROUNDS {
        let folder = cloud.folder().join(format!("floor-{round}"));
        floor.extend(tokio::task::spawn_blocking(move || files(&folder)).await??);
        let before = cloud.cpu()?;
        puts.extend(objects(&cloud, round).await?);
        busy += cloud.cpu()? - before;
    }
    let seconds = (TURN * ROUNDS).as_secs_f64();
    let rate = |latencies: &[Duration]| latencies.len() as f64 / seconds;
    let (of_floor, of_puts) = (rate(&floor), rate(&puts));
    let each = busy / puts.len() as f64;
    Ok(vec![
        Row::new(format!("S3 PUT of 5 KB, durable, {CLIENTS} clients"), format!("{of_puts:.0} /s"))
            .with(puts)
            .noting(format!(
                "{:.2} of the floor; {:.0} us of the cloud's CPU each",
                of_puts / of_floor,
                each * 1e6
            )),
        Row::new(
            format!("  floor: write, fdatasync, rename, fsync folder, {CLIENTS} threads"),
            format!("{of_floor:.0} /s"),
        )
        .with(floor),
    ])
}

async fn objects(cloud: &Arc<Cloud>, round: u32) -> anyhow::Result<Vec<Duration>> {
    let mut running = JoinSet::new();
    for client in 0..CLIENTS {
        let cloud = Arc::clone(cloud);
        running.spawn(async move {
            let (end, mut latencies) = (Instant::now() + TURN, Vec::new());
            while Instant::now() < end {
                let began = Instant::now();
                let path = format!("/bench/{round}/{client}/{}", latencies.len());
                cloud.call("PUT", "s3", &path, content(latencies.len())).await?;
                latencies.push(began.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut all = Vec::new();
    while let Some(ended) = running.join_next().await {
        all.extend(ended??);
    }
    Ok(all)
}

/// The least that makes a new file durable, in a folder of each thread's own.
fn files(folder: &Path) -> anyhow::Result<Vec<Duration>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let folder = folder.join(client.to_string());
                scope.spawn(move || {
                    fs::create_dir_all(&folder)?;
                    let (end, mut latencies) = (Instant::now() + TURN, Vec::new());
                    while Instant::now() < end {
                        let (began, number) = (Instant::now(), latencies.len());
                        let draft = folder.join("draft");
                        let mut file = File::create(&draft)?;
                        file.write_all(&content(number))?;
                        file.sync_data()?;
                        fs::rename(&draft, folder.join(number.to_string()))?;
                        File::open(&folder)?.sync_all()?;
                        latencies.push(began.elapsed());
                    }
                    Ok(latencies)
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            let latencies: anyhow::Result<Vec<Duration>> =
                thread.join().map_err(|_| anyhow::anyhow!("a thread failed"))?;
            all.extend(latencies?);
        }
        Ok(all)
    })
}

fn content(number: usize) -> Vec<u8> {
    number.to_le_bytes().into_iter().cycle().take(SIZE).collect()
}
