//! Neither the name nor the content of a prescription reaches Slack, wherever the app writes.

use serde_json::{Value, json};
use testbed::{Testbed, wait::until};

use crate::support::{
    BOUND, bed, ended, has_reported, save,
    slack::{Operator, Workspace},
    uploads,
};

/// As text, as base64 and as hexadecimal.
const CANARY: [&str; 3] = ["kanariya", "a2FuYXJpeWE", "6b616e6172697961"];
/// What an operator writes: where this is found, the canary would be.
const MARK: &str = "mark-4711";

#[tokio::test]
async fn no_prescription_reaches_slack() {
    let bed = bed(1).await;
    let (operator, workspace) = (Operator::named(&bed, "operator"), Workspace(&bed));
    let thing = bed.boxes[0].thing.clone();
    has_reported(&bed, &thing).await;
    save(&bed.boxes[0], "kanariya-hanako.csv", b"kanariya-no-shohou").await;
    uploads(&bed, &thing, 1).await;
    // A failure whose words the box takes from a file server.
    std::io::Write::write_all(
        &mut std::fs::File::create(bed.boxes[0].lan().join("probe-fault")).unwrap(),
        b"SHARE_LOGIN",
    )
    .unwrap();

    let failed = change(&bed, &operator, "192.168.10.9").await;
    assert_eq!(ended(&bed, &failed).await["state"], "rolled_back");
    std::fs::remove_file(bed.boxes[0].lan().join("probe-fault")).unwrap();
    let applied = change(&bed, &operator, "192.168.10.10").await;
    assert_eq!(ended(&bed, &applied).await["state"], "applied");
    // The first file after a change is what confirms it.
    save(&bed.boxes[0], "kanariya-taro.csv", b"kanariya-no-kusuri").await;
    uploads(&bed, &thing, 2).await;
    for text in ["", "help", "pending", "approve", &format!("status {thing}"), &format!("history {thing}")] {
        operator.act("command", json!({"command": "/rece", "text": text})).await;
    }
    operator.act("home", json!({})).await;
    let csv = answer_with(&operator, "csv").await;
    operator.act("action", json!({"messageTs": csv, "actionId": "csv"})).await;

    let wanted =
        ["views.open", "views.update", "views.publish", "chat.postMessage", "chat.update", "response_url"];
    let uploads = ["files.getUploadURLExternal", "upload", "files.completeUploadExternal"];
    let sent = until("everything has been written to", BOUND, || async {
        let sent = workspace.sent().await?;
        let of = |method: &str| sent.iter().filter(|call| call["method"] == method).count();
        // A table and a map; six answers; both messages with their threads to the end.
        let whole = wanted.iter().all(|method| of(method) > 0)
            && uploads.iter().all(|method| of(method) >= 2)
            && of("response_url") >= 6;
        let seen = sent.iter().any(|call| call.to_string().contains("レセコンからの接続を確認"));
        Ok((whole && seen).then_some(sent))
    })
    .await
    .unwrap();

    for method in ["views.update", "chat.postMessage", "chat.update", "response_url", "upload", "answer"] {
        let marked = |text: &str| text.contains(MARK) || text.contains(&thing);
        let found = sent.iter().any(|call| call["method"] == method && marked(&call["body"].to_string()));
        assert!(found, "{method} is not looked into");
    }
    let seen = operator.messages().await.unwrap();
    let everything = json!([sent, seen]).to_string();
    for trace in CANARY {
        let told = everything.find(trace).map(|at| everything[at..].chars().take(80).collect::<String>());
        assert_eq!(told, None, "Slack was told of a prescription");
    }
    bed.stop().await.unwrap();
}

/// Registers a change by the form; tells its id.
async fn change(bed: &Testbed, operator: &Operator<'_>, address: &str) -> String {
    let thing = &bed.boxes[0].thing;
    operator.act("command", json!({"command": "/rece", "text": format!("lan {thing}")})).await;
    let form = operator.modal().await;
    let values = json!({"mode": "static", "address": address, "mask": "24", "reason": MARK});
    let previewed = operator.act("submit", json!({"viewId": form["id"], "values": values})).await;
    let taken = operator.confirm(&previewed).await;
    assert!(taken.to_string().contains("登録しました"), "{taken}");
    operator.close().await;
    let changes = bed.api.get(&format!("/v1/changes?thing={thing}")).await.unwrap();
    changes["items"][0]["changeId"].as_str().unwrap().to_owned()
}

/// The answer for the operator alone that has such a button.
async fn answer_with(operator: &Operator<'_>, action: &str) -> String {
    until(&format!("an answer offers {action}"), BOUND, || async {
        let messages = operator.messages().await?;
        let offers = |message: &&Value| {
            message["is_ephemeral"] == true
                && message.to_string().contains(&format!("\"action_id\":\"{action}\""))
        };
        Ok(messages.iter().rfind(offers).and_then(|message| message["ts"].as_str()).map(str::to_owned))
    })
    .await
    .unwrap()
}
