//! Files in three steps, as a client made for Slack uploads them.

use serde_json::json;
use slack_morphism::prelude::*;

use crate::support::*;

#[tokio::test]
async fn a_file_is_uploaded_and_shown_in_a_view() {
    let desk = Desk::open().await;
    let (client, token) = (desk.client(), token());
    let session = client.open_session(&token);
    let content = b"\x89PNG not really".to_vec();

    let announce = SlackApiFilesGetUploadUrlExternalRequest::new("地図.png".to_owned(), content.len());
    let announced = session.get_upload_url_external(&announce).await.unwrap();
    let home = json!({"type": "home", "blocks": [
        {"type": "image", "slack_file": {"id": announced.file_id.0}, "alt_text": "地図"}]});
    let early = desk.api("views.publish", json!({"user_id": OPERATOR, "view": home})).await;
    assert_eq!(early["error"], "invalid_arguments", "the file is not there yet");
    let upload =
        SlackApiFilesUploadViaUrlRequest::new(announced.upload_url, content.clone(), "image/png".to_owned());
    session.files_upload_via_url(&upload).await.unwrap();
    let files = vec![SlackApiFilesComplete::new(announced.file_id.clone()).with_title("地図".to_owned())];
    let complete = SlackApiFilesCompleteUploadExternalRequest::new(files).with_channel_id(CHANNEL_ID.into());
    session.files_complete_upload_external(&complete).await.unwrap();

    assert_eq!(desk.api("views.publish", json!({"user_id": OPERATOR, "view": home})).await["ok"], true);
    assert_eq!(desk.seen_by(OPERATOR).await[0]["files"][0]["title"], "地図");
    let shown = reqwest::get(format!("{}/_local/files/{}", desk.url, announced.file_id.0)).await.unwrap();
    assert_eq!(shown.headers()["content-type"], "image/png");
    assert_eq!(shown.bytes().await.unwrap(), content);
}

#[tokio::test]
async fn bytes_that_are_not_as_many_as_announced_are_refused() {
    let desk = Desk::open().await;
    let announced = desk.api("files.getUploadURLExternal", json!({"filename": "a.csv", "length": 4})).await;
    let url = announced["upload_url"].as_str().unwrap();

    let sent = reqwest::Client::new().post(url).body("12345").send().await.unwrap();

    assert_eq!(sent.status(), 400);
    let complete = json!({"files": [{"id": announced["file_id"]}]});
    assert_eq!(desk.api("files.completeUploadExternal", complete).await["ok"], false);
}
