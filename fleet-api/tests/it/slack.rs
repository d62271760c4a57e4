//! What Slack is promised outlives the process that promised it, and each change has one message.

use std::time::Duration;

use device_model::{change::ChangeState, lan::LanDraft, share::ShareSettings};
use fleet_api::{config::SlackConfig, fleet::actor::Actor, slack::Ports};
use serde_json::json;
use slack_app::{
    fleet::{Fleet, Jobs, Outbox},
    job::{Job, TakenJob},
    model::{Approval, LanWish, Look, Refusal, SlackUser, Which, Withdrawing},
    outbox::{DueMessage, Posted},
};
use sqlx::PgPool;

use crate::support::TestApi;

const LEASE: Duration = Duration::from_mins(1);
const NO_TIME: Duration = Duration::ZERO;

fn ports(api: &TestApi) -> Ports {
    ports_with(api, "none")
}

fn ports_with(api: &TestApi, approval: &str) -> Ports {
    // As in main. Another test was first: then it is done.
    let _ = rustls::crypto::ring::default_provider().install_default();
    fleet_api::slack::app(&config(approval), api.fleet.clone()).unwrap().1
}

fn config(approval: &str) -> SlackConfig {
    SlackConfig {
        signing_secret: "secret".to_owned(),
        bot_token: "xoxb-1".to_owned(),
        app_token: None,
        // Nobody listens there.
        api_url: "http://127.0.0.1:1/api".to_owned(),
        team_id: "T1".to_owned(),
        app_id: "A1".to_owned(),
        channel_id: "C1".to_owned(),
        enterprise_id: None,
        channels: Vec::new(),
        roles: vec![("U1".to_owned(), "operator".to_owned())],
        role_groups: Vec::new(),
        approval: approval.to_owned(),
        public_url: "https://recehub.example.com".to_owned(),
        map_font: None,
    }
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn both_secrets_of_a_rotation_reach_the_door(db: PgPool) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let api = TestApi::new(db).await;
    let config = SlackConfig { signing_secret: "new, old".to_owned(), ..config("none") };

    let (app, _) = fleet_api::slack::app(&config, api.fleet.clone()).unwrap();

    assert_eq!(app.settings().signing_secrets, ["new", "old"]);
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
        share: None,
        probe: device_model::shadow::ProbePolicy::default(),
        window: None,
        reason: "ルーター交換".to_owned(),
        ticket: Some("R-1".to_owned()),
        replaces: None,
    }
}

fn place() -> Posted {
    Posted { channel_id: "C1".to_owned(), ts: "1.1".to_owned() }
}

async fn take_job(ports: &Ports, lease: Duration) -> Option<TakenJob> {
    Jobs::take(ports, lease, 1).await.unwrap().pop()
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
async fn a_rush_is_taken_together_oldest_first_and_what_cannot_be_read_stops_nobody(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    for name in ["first", "odd", "second", "third"] {
        ports.enqueue(name, &job(name)).await.unwrap();
    }
    let odd = "update slack_jobs set job = '{\"from\": \"another version\"}' where key = 'odd'";
    sqlx::query(odd).execute(&api.db).await.unwrap();

    let mut names: Vec<Job> =
        Jobs::take(&ports, LEASE, 3).await.unwrap().into_iter().map(|taken| taken.job).collect();

    names.sort_by_key(|job| *job != self::job("first"));
    assert_eq!(names, [job("first"), job("second")]);
    assert_eq!(take_job(&ports, NO_TIME).await.unwrap().job, job("third"));
    assert_eq!(take_job(&ports, LEASE).await.unwrap().job, job("third"), "the odd one is put away");
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
    ports.shown(&posted, &place(), 0, NO_TIME).await.unwrap();
    assert!(take_message(&ports, LEASE).await.is_none(), "what is shown is not due");

    api.dispatch().await;
    step(&api, &change, "trying").await;

    let edit = take_message(&ports, LEASE).await.unwrap();
    assert_eq!(edit.place, Some(place()));
    assert_eq!(edit.revision, posted.revision + 2);
    let states: Vec<_> = edit.story.steps.iter().map(|step| step.state).collect();
    assert_eq!(states, [ChangeState::Queued, ChangeState::Sent, ChangeState::Trying]);
    ports.shown(&edit, &place(), 0, NO_TIME).await.unwrap();
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
    ports.shown(&posted, &place(), 0, NO_TIME).await.unwrap();

    assert!(take_message(&ports, LEASE).await.is_some());
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_message_is_due_again_only_after_the_pause(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-0001").await;
    let change = api.wish("tenpo-0001", "192.168.10.9/24", json!({})).await;
    let posted = take_message(&ports, LEASE).await.unwrap();
    ports.shown(&posted, &place(), 0, LEASE).await.unwrap();

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
    ports.shown(&third, &place(), 0, NO_TIME).await.unwrap();
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
async fn an_open_change_is_superseded_by_whoever_was_shown_it(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-0001").await;
    let replacing = |address, told: &device_model::change_id::ChangeId| LanWish {
        replaces: Some(told.clone()),
        ..wish("tenpo-0001", address)
    };
    let first = ports.change_lan(&user(), wish("tenpo-0001", "192.168.10.9/24"), "view:1").await.unwrap();

    let second = ports.change_lan(&user(), replacing("192.168.10.8/24", &first), "view:2").await.unwrap();
    let again = ports.change_lan(&user(), replacing("192.168.10.8/24", &first), "view:2").await.unwrap();
    let outdated = ports.change_lan(&user(), replacing("192.168.10.7/24", &first), "view:3").await;

    assert_eq!(second, again, "a submission that is repeated is one change");
    assert!(matches!(outdated, Err(Refusal::Outdated)), "the second was not shown to them");
    assert_eq!(state_of(&ports, &first).await, ChangeState::Superseded);
    assert_eq!(state_of(&ports, &second).await, ChangeState::Queued);
    let story = ports.change(&first).await.unwrap().unwrap();
    assert!(
        slack_app::message::message(slack_app::i18n::Lang::Ja, &story).text.ends_with("新しい変更に置き換え")
    );
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_that_its_box_may_have_says_that_it_is_being_replaced(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-0001").await;
    let first = ports.change_lan(&user(), wish("tenpo-0001", "192.168.10.9/24"), "view:1").await.unwrap();
    api.dispatch().await;

    let newer = LanWish { replaces: Some(first.clone()), ..wish("tenpo-0001", "192.168.10.8/24") };
    ports.change_lan(&user(), newer, "view:2").await.unwrap();

    let story = ports.change(&first).await.unwrap().unwrap();
    assert_eq!((story.state, story.withdrawing), (ChangeState::Sent, Some(Withdrawing::Supersede)));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_share_that_gets_another_name_keeps_its_sealed_password(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-0001").await;
    let share = |name: &str| ShareSettings {
        name: name.to_owned(),
        user: "rece".to_owned(),
        workgroup: "HANA".to_owned(),
        password_sealed: None,
    };
    let named = |name: &str, told: Option<&device_model::change_id::ChangeId>| LanWish {
        share: Some(share(name)),
        replaces: told.cloned(),
        ..wish("tenpo-0001", "192.168.10.9/24")
    };
    let first = ports.change_lan(&user(), named("rx", None), "view:1").await.unwrap();
    let sealed = json!("c2VhbGVk");
    sqlx::query("update lan_changes set state = 'applied', closed_at = now(), after = jsonb_set(after, '{share,passwordSealed}', $1)")
        .bind(&sealed)
        .execute(&api.db)
        .await
        .unwrap();

    let second = ports.change_lan(&user(), named("処方", None), "view:2").await.unwrap();
    let bad = ports.change_lan(&user(), named("homes", Some(&second)), "view:3").await;

    let after: serde_json::Value = sqlx::query_scalar("select after from lan_changes where change_id = $1")
        .bind(second.as_str())
        .fetch_one(&api.db)
        .await
        .unwrap();
    assert_eq!((&after["share"]["name"], &after["share"]["passwordSealed"]), (&json!("処方"), &sealed));
    let story = ports.change(&second).await.unwrap().unwrap();
    let told = story.share.clone().unwrap();
    assert_eq!((told.before, told.after, told.new_password), (Some(share("rx")), share("処方"), false));
    assert!(!format!("{story:?}").contains("c2VhbGVk"), "what is sealed does not leave the fleet");
    assert!(matches!(bad, Err(Refusal::Settings(faults)) if faults.at("share.name")));
    assert!(ports.change(&first).await.unwrap().unwrap().share.is_none(), "nobody knew of one before");
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
async fn nobody_has_a_role_while_slack_cannot_be_asked_who_it_is(db: PgPool) {
    let ports = ports(&TestApi::new(db).await);

    assert!(slack_app::fleet::Directory::role_of(&ports, &user()).await.is_err());
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

/// Who asks to have a change approved, or approves one.
fn person(id: &str) -> SlackUser {
    SlackUser { user_id: id.to_owned(), ..user() }
}

async fn state_of(ports: &Ports, change: &device_model::change_id::ChangeId) -> ChangeState {
    ports.change(change).await.unwrap().unwrap().state
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_that_needs_a_second_pair_of_eyes_waits_for_them(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports_with(&api, "static_address");
    api.register("tenpo-0001").await;
    let change = ports.change_lan(&user(), wish("tenpo-0001", "192.168.10.9/24"), "k").await.unwrap();

    assert_eq!(state_of(&ports, &change).await, ChangeState::Scheduled);
    assert_eq!(ports.changes(Which::Unapproved, 9).await.unwrap().len(), 1);
    assert!(take_message(&ports, LEASE).await.unwrap().story.approval == Approval::Waiting);
    let own = ports.approve(&user(), &change).await;
    assert!(matches!(own, Err(Refusal::OwnChange)));
    assert_eq!(state_of(&ports, &change).await, ChangeState::Scheduled);

    ports.approve(&person("U2"), &change).await.unwrap();

    let story = ports.change(&change).await.unwrap().unwrap();
    assert_eq!(story.state, ChangeState::Queued);
    assert_eq!(story.approval, Approval::Given("slack:U2".to_owned()));
    let late = ports.approve(&person("U3"), &change).await;
    assert!(matches!(late, Err(Refusal::NotWaiting { approved_by: Some(by) }) if by == "slack:U2"));
    assert!(ports.changes(Which::Unapproved, 9).await.unwrap().is_empty());
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_with_a_tag_of_the_rules_needs_a_second_pair_of_eyes(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports_with(&api, "tag=pilot");
    for thing in ["tenpo-0001", "tenpo-0002"] {
        api.register(thing).await;
    }
    let tags = vec!["east".to_owned(), "pilot".to_owned()];
    api.fleet.set_tags(&"tenpo-0001".parse().unwrap(), tags, &Actor::system()).await.unwrap();

    let tagged = ports.change_lan(&user(), wish("tenpo-0001", "192.168.10.9/24"), "a").await.unwrap();
    let other = ports.change_lan(&user(), wish("tenpo-0002", "192.168.10.9/24"), "b").await.unwrap();

    assert_eq!(state_of(&ports, &tagged).await, ChangeState::Scheduled);
    assert_eq!(state_of(&ports, &other).await, ChangeState::Queued);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn of_two_approvers_at_once_one_approves(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports_with(&api, "all");
    api.register("tenpo-0001").await;
    let change = ports.change_lan(&user(), wish("tenpo-0001", "192.168.10.9/24"), "k").await.unwrap();
    let (second, third) = (person("U2"), person("U3"));

    let both = tokio::join!(ports.approve(&second, &change), ports.approve(&third, &change));

    let outcomes = [both.0.is_ok(), both.1.is_ok()];
    assert_eq!(outcomes.iter().filter(|ok| **ok).count(), 1, "{outcomes:?}");
    let steps = ports.change(&change).await.unwrap().unwrap().steps;
    assert_eq!(steps.len(), 2, "scheduled, then queued once");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_that_waits_can_be_rejected_and_its_button_is_late_then(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports_with(&api, "all");
    api.register("tenpo-0001").await;
    let change = ports.change_lan(&user(), wish("tenpo-0001", "192.168.10.9/24"), "k").await.unwrap();

    ports.cancel(&person("U2"), &change, Some("却下: まだ早い")).await.unwrap();

    assert_eq!(state_of(&ports, &change).await, ChangeState::Cancelled);
    let late = ports.approve(&person("U3"), &change).await;
    assert!(matches!(late, Err(Refusal::ChangeClosed(ChangeState::Cancelled))), "{late:?}");
    let twice = ports.cancel(&user(), &change, None).await;
    assert!(matches!(twice, Err(Refusal::ChangeClosed(ChangeState::Cancelled))), "{twice:?}");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_pharmacy_is_found_however_its_name_is_typed(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports(&api);
    api.register("tenpo-1").await;
    sqlx::query("update pharmacies set name = '株式会社ひまわり薬局 本店', kana = 'ヒマワリヤッキョク'")
        .execute(&api.db)
        .await
        .unwrap();

    for text in [
        "ひまわり薬局本店",
        "ﾋﾏﾜﾘ",
        "ヒマワリ薬局",
        "(株)ひまわり薬局",
        "㈱ ひまわり",
        "ひまわりやっきょく",
        "ＴＥＮＰＯ－１",
    ] {
        assert_eq!(ports.find(text).await.unwrap().len(), 1, "{text}");
    }
    for text in ["さくら", "株式会社", ""] {
        assert_eq!(ports.find(text).await.unwrap().len(), 0, "{text}");
    }
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_overview_counts_every_box_and_tells_what_needs_a_hand(db: PgPool) {
    let api = TestApi::new(db).await;
    let ports = ports_with(&api, "pharmacy=P-tenpo-2");
    for thing in ["tenpo-1", "tenpo-2", "tenpo-3"] {
        api.register(thing).await;
    }
    ports.change_lan(&user(), wish("tenpo-1", "192.168.10.9/24"), "k1").await.unwrap();
    ports.change_lan(&person("U2"), wish("tenpo-2", "192.168.10.9/24"), "k2").await.unwrap();

    let overview = ports.overview(&user()).await.unwrap();

    let looks: Vec<_> = overview.squares.iter().map(|square| square.look).collect();
    assert_eq!(looks, [Look::Pending, Look::Pending, Look::Offline]);
    assert_eq!((overview.mine.len(), overview.attention.len()), (1, 1));
    assert_eq!(overview.attention[0].thing.as_str(), "tenpo-2");
}
