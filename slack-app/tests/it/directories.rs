//! Who may do what in a workspace: by configuration and by user group, and closed when in doubt.

use axum::http::StatusCode;
use serde_json::{Value, json};
use slack_app::{
    directory::SlackDirectory,
    fleet::Directory,
    model::{Role, SlackUser},
};

use crate::{fake_slack::Answer, support::TestApp};

fn directory(test: &TestApp) -> SlackDirectory {
    let (users, groups) = ("U1=operator,UGUEST=admin", "SVIEW=viewer,SAPP=approver");
    let team = Some("T1".to_owned());
    SlackDirectory::new(test.app.web().clone(), team, users.parse().unwrap(), groups.parse().unwrap())
}

fn user(id: &str) -> SlackUser {
    SlackUser { team_id: "T1".to_owned(), user_id: id.to_owned() }
}

fn members(users: &[&str]) -> Answer {
    Answer::Json(json!({"ok": true, "users": users}))
}

/// The two groups are asked for in any order, so both say the same.
fn both_groups_hold(test: &TestApp, users: &[&str]) {
    for _ in 0..2 {
        test.slack.next("usergroups.users.list", members(users));
    }
}

#[tokio::test]
async fn the_higher_of_ones_own_role_and_the_groups_counts() {
    let test = TestApp::start().await;
    let directory = directory(&test);

    both_groups_hold(&test, &["U1"]);
    assert_eq!(directory.role_of(&user("U1")).await.unwrap(), Some(Role::Approver));
    both_groups_hold(&test, &[]);
    assert_eq!(directory.role_of(&user("U2")).await.unwrap(), None);
}

#[tokio::test]
async fn guests_strangers_and_whoever_left_have_no_role_whatever_is_configured() {
    let test = TestApp::start().await;
    let who: [Value; 6] = [
        json!({"is_restricted": true}),
        json!({"is_ultra_restricted": true}),
        json!({"is_stranger": true}),
        json!({"deleted": true}),
        json!({"is_bot": true}),
        json!({"team_id": "T9"}),
    ];

    for told in who {
        test.slack.next("users.info", Answer::Json(json!({"ok": true, "user": told})));
        let role = directory(&test).role_of(&user("UGUEST")).await.unwrap();
        assert_eq!(role, None, "{told}");
    }
}

#[tokio::test]
async fn while_slack_cannot_be_asked_nobody_has_a_role() {
    let test = TestApp::start().await;
    let directory = directory(&test);

    test.slack.next("users.info", Answer::Status(StatusCode::BAD_GATEWAY));
    assert!(directory.role_of(&user("U1")).await.is_err());
    test.slack.refuse_next("usergroups.users.list", "plan_upgrade_required");
    test.slack.refuse_next("usergroups.users.list", "plan_upgrade_required");
    assert!(directory.role_of(&user("U1")).await.is_err(), "a group that cannot be read is not an empty one");
}

#[tokio::test]
async fn a_role_is_remembered_for_a_while() {
    let test = TestApp::start().await;
    let directory = directory(&test);
    both_groups_hold(&test, &[]);

    for _ in 0..3 {
        assert_eq!(directory.role_of(&user("U1")).await.unwrap(), Some(Role::Operator));
    }

    assert_eq!(test.slack.calls("users.info").len(), 1);
}
