//! Slack is away, busy, or loses what it had, in the middle of a change: its message and its thread are
//! whole in the end, each milestone once.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use testbed::{Testbed, wait::until};

use crate::support::{
    BOUND, bed, ended, reaches,
    slack::{Operator, Workspace},
};

/// A message that could not be sent is sent again within a minute and a half.
const AFTER_AN_OUTAGE: Duration = Duration::from_mins(3);

/// Has a change go as far as its trial, and its message with it; tells its id and the message's.
async fn trying(bed: &Testbed, address: &str) -> (String, String) {
    bed.boxes[0].hold_at("trying").unwrap();
    let change = wish(bed, address).await;
    reaches(bed, &change, "trying").await;
    let message = shows(bed, "反映・確認中", BOUND).await;
    // The thread follows its message.
    let ts = message["ts"].as_str().unwrap().to_owned();
    until("the thread tells of the trial", BOUND, || async {
        Ok((thread(bed, &ts).await?.len() == 1).then_some(()))
    })
    .await
    .unwrap();
    (change, ts)
}

async fn wish(bed: &Testbed, address: &str) -> String {
    let wish = json!({"lan": {"mode": "static", "address": address}, "reason": "test"});
    let path = format!("/v1/devices/{}/lan", bed.boxes[0].thing);
    bed.api.put(&path, &wish).await.unwrap()["changeId"].as_str().unwrap().to_owned()
}

/// The newest message of a change, once it says this.
async fn shows(bed: &Testbed, text: &str, bound: Duration) -> Value {
    until(&format!("a message says {text}"), bound, || async {
        let newest = tops(bed).await?.pop();
        Ok(newest.filter(|message| message.to_string().contains(text)))
    })
    .await
    .unwrap()
}

/// The messages in the channel itself, oldest first.
async fn tops(bed: &Testbed) -> anyhow::Result<Vec<Value>> {
    let messages = Operator::named(bed, "operator").messages().await?;
    let is_top = |message: &Value| message["thread_ts"].is_null() || message["thread_ts"] == message["ts"];
    Ok(messages.into_iter().filter(|message| is_top(message) && message["is_ephemeral"] != true).collect())
}

/// What the thread of a message tells.
async fn thread(bed: &Testbed, ts: &str) -> anyhow::Result<Vec<String>> {
    let messages = Operator::named(bed, "operator").messages().await?;
    let replies = messages.iter().filter(|message| message["thread_ts"] == ts && message["ts"] != ts);
    Ok(replies.map(|reply| reply["text"].as_str().unwrap_or_default().to_owned()).collect())
}

/// The thread has come to its end, and tells each of these once and nothing else.
async fn assert_thread(bed: &Testbed, ts: &str, milestones: &[&str]) {
    let told = until("the thread is whole", AFTER_AN_OUTAGE, || async {
        let told = thread(bed, ts).await?;
        Ok((told.len() >= milestones.len()).then_some(told))
    });
    let told = told.await.unwrap();
    assert_eq!(told.len(), milestones.len(), "{told:?}");
    for (told, milestone) in told.iter().zip(milestones) {
        assert!(told.contains(milestone), "{milestone} is not in {told}");
    }
}

#[tokio::test]
async fn slack_is_down_for_a_minute_in_the_middle_of_a_change() {
    let bed = bed(1).await;
    let (operator, workspace) = (Operator::named(&bed, "operator"), Workspace(&bed));
    let (change, ts) = trying(&bed, "192.168.10.9/24").await;

    let down = tokio::time::Instant::now();
    workspace.fault(json!({"kind": "down", "forMs": 60_000})).await;
    bed.boxes[0].release("trying").unwrap();
    assert_eq!(ended(&bed, &change).await["state"], "applied");
    let asked = operator.act("command", json!({"command": "/rece", "text": "help"})).await;
    assert_eq!(asked["status"], 200, "Slack's request is taken, whatever its Web API does");
    until("the app has met the outage", BOUND, || async {
        let sent = workspace.sent().await?;
        let met = sent.iter().filter(|call| call["status"] == 503);
        let (message, answer) = met.partition::<Vec<_>, _>(|call| call["method"] == "chat.update");
        Ok((!message.is_empty() && !answer.is_empty()).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(thread(&bed, &ts).await.unwrap().len(), 1);
    until("the outage is over", AFTER_AN_OUTAGE, || async {
        let said = operator.messages().await?;
        assert!(!said.iter().any(|message| message.to_string().contains("反映済み")), "{said:?}");
        Ok(workspace.faults().await?.is_empty().then_some(()))
    })
    .await
    .unwrap();
    assert!(down.elapsed() >= Duration::from_mins(1), "{:?}", down.elapsed());

    let message = shows(&bed, "反映済み", AFTER_AN_OUTAGE).await;
    assert_eq!(message["ts"], ts, "it is the same message, edited");
    assert_eq!(tops(&bed).await.unwrap().len(), 1);
    assert_thread(&bed, &ts, &["反映・確認中", "反映済み"]).await;
    until("the help that was asked for is there", AFTER_AN_OUTAGE, || async {
        let said = operator.messages().await?;
        Ok(said.iter().any(|message| message["is_ephemeral"] == true).then_some(()))
    })
    .await
    .unwrap();
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn slack_is_left_alone_for_as_long_as_it_asks() {
    const WAIT: u64 = 6;
    let bed = bed(1).await;
    let workspace = Workspace(&bed);
    let (_, ts) = trying(&bed, "192.168.10.9/24").await;

    workspace.fault(json!({"method": "chat.*", "kind": "rateLimited", "retryAfter": WAIT, "times": 1})).await;
    bed.boxes[0].release("trying").unwrap();
    shows(&bed, "反映済み", BOUND).await;
    assert_thread(&bed, &ts, &["反映・確認中", "反映済み"]).await;

    let sent = workspace.sent().await.unwrap();
    let told = sent.iter().position(|call| call["status"] == 429).expect("nothing was told to wait");
    let next = sent[told + 1..].iter().find(|call| call["method"].as_str().unwrap().starts_with("chat."));
    let (told, next) = (sent[told]["atMs"].as_u64().unwrap(), next.unwrap()["atMs"].as_u64().unwrap());
    assert!(next - told >= WAIT * 1000, "it came again after {} ms", next - told);
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_that_somebody_deletes_and_a_channel_that_is_archived_lose_nothing() {
    let bed = bed(1).await;
    let workspace = Workspace(&bed);
    let (_, ts) = trying(&bed, "192.168.10.9/24").await;

    workspace.delete(&ts).await;
    bed.boxes[0].release("trying").unwrap();
    let message = shows(&bed, "反映済み", BOUND).await;
    assert_ne!(message["ts"], ts);
    assert_eq!(tops(&bed).await.unwrap().len(), 1, "a change has its one message");

    workspace.archive(true).await;
    bed.boxes[0].hold_at("trying").unwrap();
    let change = wish(&bed, "192.168.10.10/24").await;
    reaches(&bed, &change, "trying").await;
    bed.boxes[0].release("trying").unwrap();
    assert_eq!(ended(&bed, &change).await["state"], "applied");
    let mut db = PgConnection::connect(&bed.database_url()).await.unwrap();
    let put_off = "select count(*) from slack_messages
                   where change_id = $1 and ts is null and not_before > now() + interval '30 minutes'";
    until("the message waits for the channel", BOUND, || async {
        let mut db = PgConnection::connect(&bed.database_url()).await?;
        let put_off: i64 = sqlx::query_scalar(put_off).bind(&change).fetch_one(&mut db).await?;
        Ok((put_off == 1).then_some(()))
    })
    .await
    .unwrap();
    workspace.archive(false).await;
    // An hour goes by.
    let later = "update slack_messages set not_before = now() where change_id = $1";
    sqlx::query(later).bind(&change).execute(&mut db).await.unwrap();

    until("the change has its message", BOUND, || async {
        let tops = tops(&bed).await?;
        let said = tops.iter().filter(|message| message.to_string().contains("反映済み")).count();
        Ok((said == 2).then_some(()))
    })
    .await
    .unwrap();
    let tops = tops(&bed).await.unwrap();
    assert_eq!(tops.len(), 2);
    assert_thread(&bed, tops[1]["ts"].as_str().unwrap(), &["反映・確認中", "反映済み"]).await;
    bed.stop().await.unwrap();
}
