//! An operator changes a LAN setting in Slack, an engineer over HTTP: both see the same true story.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testbed::wait::until;

use crate::support::{BOUND, bed, ended, has_reported, reaches, slack::Operator, states};

#[tokio::test]
async fn an_operator_changes_a_setting_and_sees_it_applied() {
    let bed = bed(1).await;
    let operator = Operator::named(&bed, "operator");
    let thing = bed.boxes[0].thing.clone();
    has_reported(&bed, &thing).await;
    bed.boxes[0].hold_at("trying").unwrap();

    let ack = operator.act("command", json!({"command": "/rece", "text": format!("lan {thing}")})).await;
    assert_eq!(ack["status"], 200);
    let modal = operator.modal().await;
    assert_eq!(initial(&modal, "mode"), "dhcp");

    // Every fault stands at its field, in the operator's language.
    let wrong = json!({"mode": "static", "address": "192.168.10.0", "mask": "24", "gateway": "８．８．８．８",
        "reason": "移転のため"});
    let refused = operator.act("submit", json!({"viewId": modal["id"], "values": wrong})).await;
    assert_eq!(refused["body"]["response_action"], "errors", "{refused}");
    let errors = refused["body"]["errors"].as_object().unwrap();
    assert!(errors.contains_key("address") && errors.contains_key("gateway"), "{refused}");
    assert!(errors.values().all(|text| !text.as_str().unwrap().is_ascii()));
    assert_eq!(changes(&bed, &thing).await.len(), 0);

    let right = json!({"mode": "static", "address": "１９２．１６８．１０．９", "mask": "255.255.255.0",
        "gateway": "192.168.10.1", "reason": "移転のため"});
    let previewed = operator.act("submit", json!({"viewId": modal["id"], "values": right})).await;
    assert_eq!(changes(&bed, &thing).await.len(), 0, "nothing is registered before it was looked at");
    let taken = operator.confirm(&previewed).await;
    assert_eq!((&taken["status"], &taken["body"]["response_action"]), (&json!(200), &json!("update")));
    operator.close().await;

    let change = changes(&bed, &thing).await.remove(0)["changeId"].as_str().unwrap().to_owned();
    reaches(&bed, &change, "trying").await;
    bed.boxes[0].release("trying").unwrap();
    let story = ended(&bed, &change).await;
    assert_true_story(&story);
    assert_eq!(story["after"]["lan"]["address"], "192.168.10.9/24");
    assert_eq!(story["reason"], "移転のため");
    assert!(story["requestedBy"].as_str().unwrap().contains(&bed.slack.users["operator"]));
    assert_messages(&operator, 1, "反映済み").await;
    assert_audited(&bed, &change, &["queued", "sent", "trying", "applied"]).await;

    // The next time the modal shows what runs now.
    operator.act("command", json!({"command": "/rece", "text": format!("lan {thing}")})).await;
    assert_eq!(initial(&operator.modal().await, "address"), "192.168.10.9");
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn an_engineer_changes_a_setting_over_http() {
    let bed = bed(1).await;
    let thing = &bed.boxes[0].thing;
    let path = format!("/v1/devices/{thing}/lan");
    let lan = json!({"mode": "static", "address": "192.168.10.9/24", "gateway": "192.168.10.1",
        "dns": ["192.168.10.1"], "mtu": 1500, "routes": [{"to": "192.168.20.0/24", "via": "192.168.10.1"}]});

    let wish = json!({"lan": lan, "reason": "new router", "ticket": "T-1"});
    let put = bed.api.request(Method::PUT, &path).json(&wish).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::ACCEPTED);
    let location = put.headers()["location"].to_str().unwrap().to_owned();
    let opened: Value = put.json().await.unwrap();
    let change = opened["changeId"].as_str().unwrap();
    assert!(location.ends_with(&format!("/v1/changes/{change}")));
    assert_eq!(opened["thing"], thing.as_str());

    assert_true_story(&ended(&bed, change).await);
    let now = bed.api.get(&path).await.unwrap();
    assert_eq!(now["reported"]["lan"], lan);
    assert_eq!(now["desired"]["lan"], lan);
    assert_eq!(now["openChange"], Value::Null);

    // Back to DHCP: nothing of the static settings stays behind, on either side.
    let back = json!({"lan": {"mode": "dhcp"}, "reason": "back"});
    let change = bed.api.put(&path, &back).await.unwrap()["changeId"].as_str().unwrap().to_owned();
    assert_eq!(ended(&bed, &change).await["state"], "applied");
    let now = bed.api.get(&path).await.unwrap();
    assert_eq!(now["reported"]["lan"], json!({"mode": "dhcp"}));
    assert_eq!(now["desired"]["lan"], json!({"mode": "dhcp"}));
    assert_messages(&Operator::named(&bed, "operator"), 2, "反映済み").await;
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn one_change_at_a_time_unless_it_is_to_be_superseded() {
    let bed = bed(1).await;
    let path = format!("/v1/devices/{}/lan", bed.boxes[0].thing);
    let wish = |address: &str, supersede: bool| {
        let lan = json!({"mode": "static", "address": address});
        json!({"lan": lan, "reason": "test", "supersede": supersede})
    };
    bed.boxes[0].hold_at("trying").unwrap();
    let first = bed.api.put(&path, &wish("192.168.10.9/24", false)).await.unwrap();
    bed.boxes[0].held_at("trying").await.unwrap();

    let second = bed.api.request(Method::PUT, &path).json(&wish("192.168.10.10/24", false));
    assert_eq!(second.send().await.unwrap().status(), StatusCode::CONFLICT);
    let third = bed.api.put(&path, &wish("192.168.10.11/24", true)).await.unwrap();
    bed.boxes[0].release("trying").unwrap();

    // The first may have been committed before the newer wish came; either way its story is true.
    let story = ended(&bed, first["changeId"].as_str().unwrap()).await;
    assert!(matches!(story["state"].as_str().unwrap(), "superseded" | "applied"), "{story:#}");
    assert_eq!(ended(&bed, third["changeId"].as_str().unwrap()).await["state"], "applied");
    assert_eq!(bed.api.get(&path).await.unwrap()["reported"]["lan"]["address"], "192.168.10.11/24");
    bed.stop().await.unwrap();
}

/// Applied because the box said so, step by step, by both clocks.
fn assert_true_story(story: &Value) {
    assert_eq!(story["state"], "applied", "{story:#}");
    // A box may be through with a trial before anyone has looked.
    let states: Vec<_> = states(story).into_iter().filter(|state| *state != "trying").collect();
    assert_eq!(states, ["queued", "sent", "applied"]);
    let last = story["timeline"].as_array().unwrap().last().unwrap();
    assert!(last["at"].is_string() && last["deviceAt"].is_string(), "{last}");
    assert_eq!(last["clock"], "synced");
}

async fn changes(bed: &testbed::Testbed, thing: &str) -> Vec<Value> {
    let answer = bed.api.get(&format!("/v1/changes?thing={thing}")).await.unwrap();
    answer["items"].as_array().unwrap().clone()
}

/// Each change of the box has one message, and all have been edited to say this.
async fn assert_messages(operator: &Operator<'_>, changes: usize, text: &str) {
    let of_the_box = |messages: Vec<Value>| {
        let tops = messages
            .into_iter()
            .filter(|message| message["thread_ts"].is_null() || message["thread_ts"] == message["ts"]);
        let messages = tops.map(|message| message.to_string());
        messages.filter(|message| message.contains("tenpo-0001")).collect::<Vec<_>>()
    };
    let messages = until(&format!("{changes} messages say {text}"), BOUND, || async {
        let messages = of_the_box(operator.messages().await?);
        let all_say = messages.len() >= changes && messages.iter().all(|message| message.contains(text));
        Ok(all_say.then_some(messages))
    })
    .await
    .unwrap();
    assert_eq!(messages.len(), changes, "a change has more than its one message");
}

async fn assert_audited(bed: &testbed::Testbed, change: &str, steps: &[&str]) {
    let audit = bed.api.get(&format!("/v1/audit?changeId={change}")).await.unwrap();
    let entries = audit["items"].as_array().unwrap();
    for step in steps {
        let found = entries.iter().any(|entry| entry["action"].as_str().unwrap_or_default().contains(step));
        assert!(found, "no audit entry tells of {step}: {audit:#}");
    }
}

/// What a field of the modal shows at first.
fn initial<'a>(modal: &'a Value, field: &str) -> &'a str {
    let blocks = modal["blocks"].as_array().unwrap();
    let block = blocks.iter().find(|block| block["block_id"] == field).unwrap();
    let element = &block["element"];
    let chosen = element["initial_option"]["value"].as_str();
    chosen.or_else(|| element["initial_value"].as_str()).unwrap_or_default()
}
