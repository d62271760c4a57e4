//! Messages: posted, edited, threaded, whispered; people and groups; what the Web API refuses.

use serde_json::{Value, json};
use slack_morphism::prelude::*;

use crate::support::*;

#[tokio::test]
async fn a_client_made_for_slack_reads_people_groups_and_channels() {
    let desk = Desk::open().await;
    let (client, token) = (desk.client(), token());
    let session = client.open_session(&token);

    let who = session.auth_test().await.unwrap();
    assert_eq!(who.team_id.to_string(), "T01LOCALSLK");
    let info = SlackApiUsersInfoRequest::new(ENGLISH.into()).with_include_locale(true);
    assert_eq!(session.users_info(&info).await.unwrap().user.locale.unwrap().0, "en-US");
    assert_eq!(session.users_list(&SlackApiUsersListRequest::new()).await.unwrap().members.len(), 9);
    let groups = SlackApiUserGroupsListRequest::new().with_include_users(true);
    let groups = session.usergroups_list(&groups).await.unwrap().usergroups;
    let members = SlackApiUserGroupsUsersListRequest::new(groups[0].id.clone());
    assert!(session.usergroups_users_list(&members).await.unwrap().users.contains(&OPERATOR.into()));
    let channel =
        session.conversations_info(&SlackApiConversationsInfoRequest::new(CHANNEL_ID.into())).await.unwrap();
    assert_eq!(channel.channel.name.as_deref(), Some("運用"));
    assert_eq!(
        session.conversations_list(&SlackApiConversationsListRequest::new()).await.unwrap().channels.len(),
        2
    );
    let direct =
        SlackApiConversationsOpenRequest::new().with_users(vec![OPERATOR.into()]).with_return_im(true);
    assert!(session.conversations_open_full(&direct).await.unwrap().channel.id.0.starts_with('D'));
}

#[tokio::test]
async fn a_message_is_posted_edited_answered_in_a_thread_and_deleted() {
    let desk = Desk::open().await;
    let (client, token) = (desk.client(), token());
    let session = client.open_session(&token);
    let content = |text: &str| SlackMessageContent::new().with_text(text.to_owned());

    let post = SlackApiChatPostMessageRequest::new(CHANNEL_ID.into(), content("受付済み"));
    let posted = session.chat_post_message(&post).await.unwrap();
    let reply = post.clone().with_thread_ts(posted.ts.clone());
    let reply = session.chat_post_message(&reply).await.unwrap();
    let update = SlackApiChatUpdateRequest::new(CHANNEL_ID.into(), content("反映済み"), posted.ts.clone());
    assert_eq!(session.chat_update(&update).await.unwrap().message.content.text.as_deref(), Some("反映済み"));
    let link = SlackApiChatGetPermalinkRequest::new(CHANNEL_ID.into(), posted.ts.clone());
    assert!(session.chat_get_permalink(&link).await.unwrap().permalink.path().starts_with("/archives/"));

    let history = SlackApiConversationsHistoryRequest::new().with_channel(CHANNEL_ID.into());
    let history = session.conversations_history(&history).await.unwrap().messages;
    assert_eq!(history.len(), 1, "replies are not in the channel's history");
    assert_eq!(history[0].parent.reply_count, Some(1));
    assert!(history[0].edited.is_some());
    let delete = SlackApiChatDeleteRequest::new(CHANNEL_ID.into(), reply.ts);
    session.chat_delete(&delete).await.unwrap();
    assert_eq!(desk.seen_by(OPERATOR).await.len(), 1);
}

#[tokio::test]
async fn an_ephemeral_message_is_seen_by_one_user_and_no_edit_reaches_it() {
    let desk = Desk::open().await;

    let whisper = json!({"channel": CHANNEL_ID, "user": OPERATOR, "text": "あなたにだけ"});
    let whispered = desk.api("chat.postEphemeral", whisper).await;

    assert_eq!(desk.seen_by(OPERATOR).await[0]["text"], "あなたにだけ");
    assert!(desk.seen_by(APPROVER).await.is_empty());
    let history = desk.api("conversations.history", json!({"channel": CHANNEL_ID})).await;
    assert_eq!(history["messages"], json!([]), "Slack keeps no ephemeral message");
    let edit = json!({"channel": CHANNEL_ID, "ts": whispered["message_ts"], "text": "x"});
    assert_eq!(desk.api("chat.update", edit).await["error"], "message_not_found");
}

#[tokio::test]
async fn an_answer_to_a_command_is_a_message_for_its_user_or_for_all() {
    let desk = Desk::open().await;

    desk.app.will_answer(&json!({"text": "ヘルプ"}));
    desk.act(OPERATOR, json!({"type": "command", "command": "/desk", "text": "help"})).await;
    desk.app.will_answer(&json!({"response_type": "in_channel", "text": "みんなへ"}));
    desk.act(OPERATOR, json!({"type": "command", "command": "/desk", "text": "all"})).await;
    let hook = desk.app.last().field("response_url");
    for _ in 0..5 {
        assert_eq!(desk.post(&hook, &json!({"text": "あとから"})).await.0, 200);
    }
    assert_eq!(desk.post(&hook, &json!({"text": "六回目"})).await.0, 404);

    let texts = |seen: Vec<Value>| -> Vec<String> {
        seen.iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(desk.seen_by(APPROVER).await), ["/desk all", "みんなへ"]);
    assert_eq!(texts(desk.seen_by(OPERATOR).await).len(), 8);
}

#[tokio::test]
async fn the_web_api_refuses_as_slack_does() {
    let desk = Desk::open().await;
    let json = "application/json; charset=utf-8";
    let error = async |method: &str, token: Option<&str>, kind: &str, body: &str| {
        desk.raw(method, token, kind, body).await.json::<Value>().await.unwrap()["error"].clone()
    };
    assert_eq!(error("auth.test", None, json, "{}").await, "not_authed");
    assert_eq!(error("auth.test", Some("xoxb-wrong"), json, "{}").await, "invalid_auth");
    assert_eq!(error("chat.postMessage", Some(TOKEN), json, "{").await, "invalid_json");
    assert_eq!(error("chat.postMessage", Some(TOKEN), "text/xml", "{}").await, "invalid_post_type");
    assert_eq!(error("chat.reticulate", Some(TOKEN), json, "{}").await, "unknown_method");

    let say = async |channel: &str, text: &str| {
        desk.api("chat.postMessage", json!({"channel": channel, "text": text})).await["error"].clone()
    };
    assert_eq!(say("C0NOSUCH", "x").await, "channel_not_found");
    assert_eq!(say(GENERAL_ID, "x").await, "not_in_channel");
    assert_eq!(say(CHANNEL_ID, "").await, "no_text");
    let blocks = json!({"channel": CHANNEL_ID, "blocks": [{"type": "section"}]});
    assert_eq!(desk.api("chat.postMessage", blocks).await["error"], "invalid_blocks");
    let unknown = json!({"channel": CHANNEL_ID, "ts": "1.0", "text": "x"});
    assert_eq!(desk.api("chat.update", unknown).await["error"], "message_not_found");
    desk.post_local(&format!("channels/{CHANNEL_ID}"), &json!({"archived": true})).await;
    assert_eq!(say(CHANNEL_ID, "x").await, "is_archived");
}

#[tokio::test]
async fn a_message_that_somebody_deleted_is_gone_for_the_app_too() {
    let desk = Desk::open().await;
    let posted = desk.api("chat.postMessage", json!({"channel": CHANNEL_ID, "text": "受付済み"})).await;
    let ts = posted["ts"].as_str().unwrap();
    let reply = json!({"channel": CHANNEL_ID, "text": "途中", "thread_ts": ts});
    desk.api("chat.postMessage", reply.clone()).await;
    let replies = desk.api("conversations.replies", json!({"channel": CHANNEL_ID, "ts": ts})).await;
    assert_eq!(replies["messages"].as_array().unwrap().len(), 2);
    let mut changes = desk.slack.changes();

    let url = format!("{}/_local/channels/{CHANNEL_ID}/messages/{ts}", desk.url);
    let deleted = async || reqwest::Client::new().delete(&url).send().await.unwrap().status().as_u16();

    assert_eq!((deleted().await, deleted().await), (204, 404));
    let change = serde_json::to_value(changes.recv().await.unwrap()).unwrap();
    assert_eq!(change, json!({"what": "messages", "channel": CHANNEL_ID}));
    let edit = json!({"channel": CHANNEL_ID, "ts": ts, "text": "反映済み"});
    assert_eq!(desk.api("chat.update", edit).await["error"], "message_not_found");
    assert_eq!(desk.api("chat.postMessage", reply).await["error"], "thread_not_found");
    let replies = json!({"channel": CHANNEL_ID, "ts": ts});
    assert_eq!(desk.api("conversations.replies", replies).await["error"], "thread_not_found");
}
