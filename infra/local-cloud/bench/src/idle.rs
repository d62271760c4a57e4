//! Boxes that are connected and wait: what each costs.

use std::time::Instant;

use tokio::task::JoinSet;

use crate::Row;
use crate::mqtt::Client;
use crate::server::Cloud;

const BOXES: u32 = 5000;
const AT_ONCE: u32 = 50;

pub async fn measure() -> anyhow::Result<Vec<Row>> {
    let cloud = Cloud::start().await?;
    let door = cloud.door().await?;
    let (empty, busy, started) = (cloud.resident()?, cloud.cpu()?, Instant::now());
    let mut connecting = JoinSet::new();
    for worker in 0..AT_ONCE {
        let door = door.clone();
        connecting.spawn(async move {
            let mut clients = Vec::new();
            for number in (worker..BOXES).step_by(AT_ONCE as usize) {
                let id = format!("box-{number}");
                let filter = format!("$aws/things/{id}/shadow/name/+/update/delta");
                clients.push(Client::connect(&door, &id, &filter).await?);
            }
            anyhow::Ok(clients)
        });
    }
    let mut clients = Vec::new();
    while let Some(connected) = connecting.join_next().await {
        clients.extend(connected??);
    }
    let (seconds, busy) = (started.elapsed().as_secs_f64(), cloud.cpu()? - busy);
    // All are there, and none is new any more.
    for client in &mut clients {
        client.ping().await?;
    }
    let full = cloud.resident()?;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    Ok(vec![
        Row::new(
            format!("idle mutual-TLS connections, {BOXES}: resident memory"),
            format!("{:.0} MB", megabytes(full)),
        )
        .noting(format!(
            "{:.0} MB before; {:.1} KB each",
            megabytes(empty),
            (full - empty) as f64 / f64::from(BOXES) / 1e3
        )),
        Row::new(format!("  connecting them, {AT_ONCE} at a time"), format!("{seconds:.1} s")).noting(
            format!(
                "{:.0} /s; {:.2} ms of the cloud's CPU each",
                f64::from(BOXES) / seconds,
                busy * 1e3 / f64::from(BOXES)
            ),
        ),
    ])
}
