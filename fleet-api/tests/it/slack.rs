//! What Slack is promised outlives the process that promised it, and each change has one message.

use std::time::Duration;

use device_model::{change::ChangeState, lan::LanDraft};
use fleet_api::slack::Ports;
use serde_json::json;
use slack_app::fleet::{
    Directory, DueMessage, Fleet, Job, Jobs, LanWish, Outbox, Posted, Refusal, Role, SlackUser, TakenJob,
};
use sqlx::PgPool;

use crate::support::TestApi;

const LEASE: Duration = Duration::from_mins(1);
const NO_TIME: Duration = Duration::ZERO;

fn ports(api: &TestApi) -> Ports {
    Ports::new(api.fleet.clone(), "U1=operator".parse().unwrap())
}

fn user() -> SlackUser {
    SlackUser { team_id: "T1".to_owned(), user_id: "U1".to_owned() }
}

fn job(text: &str) -> Job {
    Job::Command {
        user: user(),
        channel_id: "C1".to_owned(),
        text: text.to_owned(),
        trigger_id: "trigger".to_owned(),
        response_url: "http://127.0.0.1:1/response".to_owned(),
    }
}

fn wish(thing: &str, address: &str) -> LanWish {
    LanWish {
        thing: thing.parse().unwrap(),
        lan: LanDraft {
            mode: Some("static".to_owned()),
            address: Some(address.to_owned()),
            ..LanDraft::default()
        },
        probe: device_model::shadow::ProbePolicy::default(),
        reason: "ルーター交換".to_owned(),
        ticket: Some("R-1".to_owned()),
    }
}

fn place() -> Posted {
    Posted { channel_id: "C1".to_owned(), ts: "1.1".to_owned() }
}

async fn take_job(ports: &Ports, lease: Duration) -> Option<TakenJob> {
    Jobs::take(ports, lease).await.unwrap()
}

async fn take_message(ports: &Ports, lease: Duration) -> Option<DueMessage> {
    Outbox::take(ports, lease).await.unwrap()
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_replayed_command_is_one_job(db: PgPool) {
    let ports = ports(&TestApi::new(db).await);

    assert!(ports.enqueue("command:t1", &job("first")).await.unwrap());
    assert!(!ports.enqueue("command:t1", &job("again")).await.unwrap());

    let taken = take_job(&ports, LEASE).await.unwrap();
    assert_eq!((taken.job, taken.attempt), (job("first"), 1));
    assert!(taken.age < Duration::from_mins(1));
    assert!(take_job(&ports, LEASE).await.is_none(), "it is in one worker's hands");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_job_whose_worker_died_is_taken_again(db: PgPool) {
    let ports = ports(&TestApi::new(db).await);
    ports.enqueue("command:t1", &job("lan")).await.unwrap();

    let dead = take_job(&ports, NO_TIME).await.unwrap();
    let alive = take_job(&ports, LEASE).await.unwrap();
    ports.finish(&dead).await.unwrap();
    Jobs::retry(&ports, &alive, NO_TIME).await.unwrap();

    assert_eq!(alive.attempt, 2);
    let last = take_job(&ports, LEASE).await.expect("the dead one's word does not count");
    ports.finish(&last).await.unwrap();
    assert!(take_job(&ports, LEASE).await.is_none());
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_job_that_is_done_keeps_its_key_and_nothing_else(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    ports.enqueue("command:t1", &job("lan")).await.unwrap();
    let taken = take_job(&ports, LEASE).await.unwrap();

    ports.finish(&taken).await.unwrap();

    let kept: Option<serde_json::Value> =
        sqlx::query_scalar("select job from slack_jobs").fetch_one(&api.db).await.unwrap();
    assert_eq!(kept, None);
    assert!(!ports.enqueue("command:t1", &job("replay")).await.unwrap());
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_from_either_door_gets_its_one_message(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-0001").await;
    api.register("tenpo-0002").await;

    let by_api = api.wish("tenpo-0001", "192.168.10.9/24", json!({"ticket": "R-9"})).await;
    let by_slack = ports.change_lan(&user(), wish("tenpo-0002", "192.168.10.9/24"), "view:1").await.unwrap();

    let first = take_message(&ports, LEASE).await.unwrap();
    let second = take_message(&ports, LEASE).await.unwrap();
    assert!(take_message(&ports, LEASE).await.is_none());
    assert_eq!((first.story.change_id.as_str(), &second.story.change_id), (by_api.as_str(), &by_slack));
    assert_eq!((first.place, first.attempt), (None, 0));
    assert_eq!(first.story.state, ChangeState::Queued);
    assert_eq!(first.story.ticket.as_deref(), Some("R-9"));
    assert_eq!(first.story.pharmacy.as_deref(), Some("はな薬局"));
    assert_eq!(first.story.requested_by, "token:changer");
    assert_eq!(second.story.requested_by, "slack:U1");
    assert_eq!(second.story.reason, "ルーター交換");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn steps_that_come_between_two_edits_are_shown_by_one(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-0001").await;
    let change = api.wish("tenpo-0001", "192.168.10.9/24", json!({})).await;
    let posted = take_message(&ports, LEASE).await.unwrap();
    ports.shown(&posted, &place(), NO_TIME).await.unwrap();
    assert!(take_message(&ports, LEASE).await.is_none(), "what is shown is not due");

    api.dispatch().await;
    step(&api, &change, "trying").await;

    let edit = take_message(&ports, LEASE).await.unwrap();
    assert_eq!(edit.place, Some(place()));
    assert_eq!(edit.revision, posted.revision + 2);
    let states: Vec<_> = edit.story.steps.iter().map(|step| step.state).collect();
    assert_eq!(states, [ChangeState::Queued, ChangeState::Sent, ChangeState::Trying]);
    ports.shown(&edit, &place(), NO_TIME).await.unwrap();
    assert!(take_message(&ports, LEASE).await.is_none());
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_step_during_an_edit_is_not_lost(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-0001").await;
    let change = api.wish("tenpo-0001", "192.168.10.9/24", json!({})).await;
    let posted = take_message(&ports, LEASE).await.unwrap();

    step(&api, &change, "trying").await;
    ports.shown(&posted, &place(), NO_TIME).await.unwrap();

    assert!(take_message(&ports, LEASE).await.is_some());
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_message_is_due_again_only_after_the_pause(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-0001").await;
    let change = api.wish("tenpo-0001", "192.168.10.9/24", json!({})).await;
    let posted = take_message(&ports, LEASE).await.unwrap();
    ports.shown(&posted, &place(), LEASE).await.unwrap();

    step(&api, &change, "trying").await;

    assert!(take_message(&ports, LEASE).await.is_none());
    sqlx::query("update slack_messages set not_before = now()").execute(&api.db).await.unwrap();
    assert!(take_message(&ports, LEASE).await.is_some());
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn whoever_takes_a_message_after_a_failure_knows_of_it(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-0001").await;
    api.wish("tenpo-0001", "192.168.10.9/24", json!({})).await;

    // The first taker dies without a word, the second is refused by Slack.
    take_message(&ports, NO_TIME).await.unwrap();
    let second = take_message(&ports, LEASE).await.unwrap();
    Outbox::retry(&ports, &second, NO_TIME).await.unwrap();
    let third = take_message(&ports, LEASE).await.unwrap();

    assert_eq!((second.attempt, third.attempt), (1, 2));
    ports.shown(&third, &place(), NO_TIME).await.unwrap();
    let attempts: i32 =
        sqlx::query_scalar("select attempts from slack_messages").fetch_one(&api.db).await.unwrap();
    assert_eq!(attempts, 0);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_revision_that_was_given_up_is_not_due_but_the_next_is(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-0001").await;
    let change = api.wish("tenpo-0001", "192.168.10.9/24", json!({})).await;
    let due = take_message(&ports, LEASE).await.unwrap();

    ports.give_up(&due).await.unwrap();

    assert!(take_message(&ports, LEASE).await.is_none());
    step(&api, &change, "trying").await;
    assert_eq!(take_message(&ports, LEASE).await.unwrap().place, None);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_wish_that_is_rolled_back_leaves_no_message(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-0001").await;

    let refused = ports.change_lan(&user(), wish("tenpo-0001", "8.8.8.8/24"), "view:1").await;

    assert!(matches!(refused, Err(Refusal::Settings(faults)) if faults.at("lan.address")));
    assert_eq!(api.count("slack_messages").await, 0);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_same_submission_is_one_change_and_another_must_wait(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-0001").await;
    let submit = async |address, key| ports.change_lan(&user(), wish("tenpo-0001", address), key).await;

    let first = submit("192.168.10.9/24", "view:1").await.unwrap();
    let again = submit("192.168.10.9/24", "view:1").await.unwrap();
    let other = submit("192.168.10.8/24", "view:2").await;

    assert_eq!(first, again);
    assert!(matches!(other, Err(Refusal::ChangeOpen(open)) if open == first));
    let nowhere = ports.change_lan(&user(), wish("tenpo-0404", "192.168.10.8/24"), "view:3").await;
    assert!(matches!(nowhere, Err(Refusal::UnknownThing(_))));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_is_found_by_its_own_name_and_by_its_pharmacy(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-1").await;
    api.register("tenpo-11").await;
    let found = async |text: &str| {
        let found = ports.find(text).await.unwrap();
        found.into_iter().map(|device| device.thing.to_string()).collect::<Vec<_>>()
    };

    assert_eq!(found("tenpo-1").await, ["tenpo-1"]);
    assert_eq!(found("p-TENPO-1").await, ["tenpo-1"], "a whole code means one pharmacy");
    assert_eq!(found("はな").await, ["tenpo-1", "tenpo-11"]);
    assert_eq!(found("nowhere").await, Vec::<String>::new());
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn an_open_change_is_told_with_its_state(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-0001").await;
    let change = api.wish("tenpo-0001", "192.168.10.9/24", json!({})).await;

    let found = ports.find("tenpo-0001").await.unwrap().remove(0);

    assert_eq!(found.open_change, Some((change.parse().unwrap(), ChangeState::Queued)));
    assert_eq!(found.pharmacy.as_deref(), Some("はな薬局 (P-tenpo-0001)"));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn roles_are_those_of_the_configuration(db: PgPool) {
    let ports = ports(&TestApi::new(db).await);
    let stranger = SlackUser { user_id: "U2".to_owned(), ..user() };

    assert_eq!(ports.role_of(&user()).await.unwrap(), Some(Role::Operator));
    assert_eq!(ports.role_of(&stranger).await.unwrap(), None);
}

/// A step as the collector writes it.
async fn step(api: &TestApi, change: &str, state: &str) {
    sqlx::query("insert into change_steps (change_id, state, at) values ($1, $2, now())")
        .bind(change)
        .bind(state)
        .execute(&api.db)
        .await
        .unwrap();
}
