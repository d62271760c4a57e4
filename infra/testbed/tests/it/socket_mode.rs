//! Slack without inbound access: everything comes over lines that the API opened, also when one is renewed.

use std::fs;

use anyhow::Context;
use serde_json::{Value, json};
use testbed::{Testbed, wait::until};

use crate::support::{BOUND, ended, has_reported, slack::Operator, tls_provider};

#[tokio::test]
async fn a_change_goes_from_the_command_to_its_end_over_lines_that_the_api_opened() {
    tls_provider();
    let bed = Testbed::for_test_over_sockets(1).await.unwrap();
    let operator = Operator::named(&bed, "operator");
    let thing = bed.boxes[0].thing.clone();
    has_reported(&bed, &thing).await;
    stand(&bed, 2).await;

    let asked = operator.act("command", json!({"command": "/rece", "text": format!("lan {thing}")})).await;
    assert_eq!((&asked["status"], &asked["error"]), (&json!(200), &Value::Null), "{asked}");
    // A command that Slack sends again is done once.
    let again: Value = post(&bed, "replay", json!({})).await;
    assert_eq!(again["status"], 200, "{again}");
    let modal = operator.modal().await;

    let wrong = json!({"mode": "static", "address": "192.168.10.0", "mask": "24", "reason": "移転のため"});
    let refused = operator.act("submit", json!({"viewId": modal["id"], "values": wrong})).await;
    assert_eq!(refused["body"]["response_action"], "errors", "{refused}");
    assert!(refused["body"]["errors"]["address"].as_str().unwrap().contains("ネットワーク自体のアドレス"));

    // Slack renews its lines: nobody notices.
    assert_eq!(post(&bed, "lines", json!({"reason": "refresh_requested"})).await["ended"], 2);
    stand(&bed, 2).await;
    let right = json!({"mode": "static", "address": "192.168.10.9", "mask": "24", "reason": "移転のため"});
    let previewed = operator.act("submit", json!({"viewId": modal["id"], "values": right})).await;
    let taken = operator.confirm(&previewed).await;
    assert_eq!(taken["body"]["response_action"], "update", "{taken}");
    operator.close().await;

    let changes = bed.api.get("/v1/changes").await.unwrap();
    let change = changes["items"][0]["changeId"].as_str().unwrap().to_owned();
    assert_eq!(changes["items"].as_array().unwrap().len(), 1, "{changes}");
    assert_eq!(ended(&bed, &change).await["state"], "applied");
    until("the message shows the end", BOUND, || async {
        let messages = operator.messages().await?;
        let shown = messages.iter().filter(|message| message.to_string().contains("状態: *反映済み"));
        Ok((shown.count() == 1).then_some(()))
    })
    .await
    .unwrap();

    // They break without a word: they are opened again, and Home is put up by an event.
    post(&bed, "lines", json!({})).await;
    stand(&bed, 2).await;
    assert_eq!(operator.act("home", json!({})).await["status"], 200);
    let url = format!("{}/_local/users/{}/views", bed.slack.url, bed.slack.users["operator"]);
    until("Home is there", BOUND, || async {
        let views: Value = bed.api.http().get(&url).send().await?.json().await?;
        Ok(views["home"].to_string().contains("レセハブの状況").then_some(()))
    })
    .await
    .unwrap();

    let logs: String = fs::read_dir(bed.folder.join("log"))
        .unwrap()
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap_or_default())
        .collect();
    assert!(logs.contains("a line to Slack stands"));
    assert!(!logs.contains("ticket=") && !logs.contains("xapp-"), "an address that is a key was logged");
    bed.stop().await.unwrap();
}

async fn stand(bed: &Testbed, lines: u64) {
    let url = format!("{}/_local/lines", bed.slack.url);
    until("the lines stand", BOUND, || async {
        let told: Value = bed.api.http().get(&url).send().await?.json().await?;
        Ok((told["lines"].as_u64().context("no count")? == lines).then_some(()))
    })
    .await
    .unwrap();
}

async fn post(bed: &Testbed, what: &str, body: Value) -> Value {
    let url = format!("{}/_local/{what}", bed.slack.url);
    bed.api.http().post(url).json(&body).send().await.unwrap().json().await.unwrap()
}
