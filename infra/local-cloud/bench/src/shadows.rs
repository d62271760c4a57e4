//! Shadow updates over MQTT, each of which changes one value of a document.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::Row;
use crate::mqtt::Client;
use crate::server::{Cloud, Door};

const BOXES: u32 = 16;
/// The values in a box's document.
const VALUES: u32 = 30;
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(6);
const PACE: u32 = 1000;

pub async fn measure() -> anyhow::Result<Vec<Row>> {
    let cloud = Cloud::start().await?;
    let door = cloud.door().await?;
    let mut boxes = Vec::new();
    for number in 0..BOXES {
        boxes.push(ShadowBox::connect(&door, number).await?);
    }
    (boxes, _) = run(boxes, WARM_UP, None).await?;
    let mut rows = Vec::new();
    for (what, every) in [
        ("as many as it takes", None),
        ("1,000 a second asked for", Some(Duration::from_secs(1) * BOXES / PACE)),
    ] {
        let (before, started) = (cloud.cpu()?, Instant::now());
        let latencies;
        (boxes, latencies) = run(boxes, MEASURED, every).await?;
        let (count, seconds) = (latencies.len() as f64, started.elapsed().as_secs_f64());
        let busy = cloud.cpu()? - before;
        rows.push(
            Row::new(
                format!("shadow updates, {BOXES} connections, {what}"),
                format!("{:.0} /s", count / seconds),
            )
            .with(latencies)
            .noting(format!("{:.0} us of the cloud's CPU each", busy / count * 1e6)),
        );
    }
    Ok(rows)
}

/// Lets all boxes update for a time; a box has one update under way at most.
async fn run(
    boxes: Vec<ShadowBox>,
    time: Duration,
    every: Option<Duration>,
) -> anyhow::Result<(Vec<ShadowBox>, Vec<Duration>)> {
    let mut running = JoinSet::new();
    for (number, mut one) in (0..).zip(boxes) {
        running.spawn(async move {
            let end = Instant::now() + time;
            let mut due = Instant::now() + every.unwrap_or_default() * number / BOXES;
            let mut latencies = Vec::new();
            while Instant::now() < end {
                // One that cannot begin in time has waited since it was due.
                let mut began = Instant::now();
                if let Some(every) = every {
                    tokio::time::sleep_until(due.into()).await;
                    began = if began < due { Instant::now() } else { due };
                    due += every;
                }
                one.update().await?;
                latencies.push(began.elapsed());
            }
            anyhow::Ok((one, latencies))
        });
    }
    let (mut boxes, mut all) = (Vec::new(), Vec::new());
    while let Some(ended) = running.join_next().await {
        let (one, latencies) = ended??;
        boxes.push(one);
        all.extend(latencies);
    }
    Ok((boxes, all))
}

struct ShadowBox {
    client: Client,
    topic: String,
    updates: u32,
}

impl ShadowBox {
    async fn connect(door: &Door, number: u32) -> anyhow::Result<Self> {
        let id = format!("box-{number}");
        let topic = format!("$aws/things/{id}/shadow/name/lan/update");
        let client = Client::connect(door, &id, &format!("{topic}/accepted")).await?;
        let mut one = Self { client, topic, updates: 0 };
        let all: Map<String, Value> = (0..VALUES).map(|value| (format!("value{value}"), json!(0))).collect();
        one.send(&Value::Object(all)).await?;
        Ok(one)
    }

    async fn update(&mut self) -> anyhow::Result<()> {
        let value = format!("value{}", self.updates % VALUES);
        self.send(&json!({ value: self.updates })).await
    }

    async fn send(&mut self, reported: &Value) -> anyhow::Result<()> {
        self.updates += 1;
        let payload = json!({ "state": { "reported": reported } }).to_string().into_bytes();
        let id = u16::try_from(self.updates % 60_000 + 1)?;
        let answer: Value =
            serde_json::from_slice(&self.client.ask(id, &self.topic, payload).await?.payload)?;
        ensure!(answer["version"] == self.updates, "an answer to another update");
        Ok(())
    }
}
