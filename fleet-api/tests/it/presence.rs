//! Who is connected and how boxes are: from events in any order, from the fleet index, from the shadow `status`.

use axum::http::Method;
use chrono::{DateTime, TimeDelta, Utc};
use fleet_api::{
    aws::{shadows::Shadow, things::Indexed},
    fleet::{presence, status},
};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{Answer, EVENTS_SECRET, TestApi, request};

struct Box<'a> {
    api: &'a TestApi,
}

impl Box<'_> {
    async fn told(&self, body: Value) -> Answer {
        let mut post = request(Method::POST, "/iot/events", None, &body);
        post.headers_mut().insert("x-recehub-events-secret", EVENTS_SECRET.parse().unwrap());
        self.api.send(post).await
    }

    async fn event(&self, kind: &str, session: &str, version: i64, at: DateTime<Utc>) {
        let mut body = json!({"clientId": "tenpo-0042", "timestamp": at.timestamp_millis(), "eventType": kind,
            "sessionIdentifier": session, "principalIdentifier": "ab", "versionNumber": version});
        if kind == "disconnected" {
            body["disconnectReason"] = json!("CONNECTION_LOST");
            body["clientInitiatedDisconnect"] = json!(false);
        }
        self.told(body).await.expect(204);
    }

    async fn shown(&self) -> Value {
        self.api.get("/v1/devices/tenpo-0042").await.expect(200)
    }

    async fn online(&self) -> Value {
        self.shown().await["online"].clone()
    }
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn events_in_any_order_and_twice_end_in_what_is_so(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let it = Box { api: &api };
    let (start, minute) = (api.now(), TimeDelta::minutes(1));
    api.wait(TimeDelta::minutes(10));
    assert_eq!(it.online().await, Value::Null);

    it.event("connected", "a", 0, start).await;
    assert_eq!(it.online().await, true);
    // The second connection began before the end of the first came in.
    it.event("connected", "b", 1, start + minute).await;
    it.event("disconnected", "a", 0, start + minute).await;
    assert_eq!(it.online().await, true);
    // The end of the second comes before its beginning is told once more.
    it.event("disconnected", "b", 1, start + minute * 2).await;
    it.event("connected", "b", 1, start + minute).await;
    it.event("connected", "a", 0, start).await;
    assert_eq!(it.online().await, false);

    let shown = it.shown().await;
    assert_eq!(shown["connection"]["lastDisconnectReason"], "CONNECTION_LOST");
    assert_eq!(shown["connection"]["lastDisconnectedAt"], "2026-11-22T00:02:00Z");
    assert_eq!(shown["lastSeenAt"], "2026-11-22T00:02:00Z");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_connection_that_is_counted_from_nought_again_is_a_new_one(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let it = Box { api: &api };
    let start = api.now();
    it.event("connected", "a", 7, start).await;
    it.event("disconnected", "a", 7, start).await;
    api.wait(TimeDelta::hours(2));

    it.event("connected", "b", 0, start + TimeDelta::minutes(2)).await;
    assert_eq!(it.online().await, false, "an old one that comes late");
    it.event("connected", "c", 0, start + TimeDelta::minutes(90)).await;
    assert_eq!(it.online().await, true);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_that_was_gone_for_a_moment_was_never_offline(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let it = Box { api: &api };
    it.event("connected", "a", 0, api.now()).await;
    it.event("disconnected", "a", 0, api.now()).await;

    assert_eq!(it.online().await, true);
    let listed = async |query: &str| {
        let list = api.get(&format!("/v1/devices?{query}")).await.expect(200);
        list["items"].as_array().unwrap().len()
    };
    assert_eq!((listed("online=true").await, listed("online=false").await), (1, 0));
    api.wait(TimeDelta::seconds(30));
    assert_eq!(it.online().await, false);
    assert_eq!((listed("online=true").await, listed("online=false").await), (0, 1));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_is_no_event_of_ours_changes_nothing(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let it = Box { api: &api };
    let event = |client: &str, at: i64| {
        json!({"clientId": client, "timestamp": at, "eventType": "connected", "sessionIdentifier": "a",
            "versionNumber": 0})
    };

    it.told(event("nobody", api.now().timestamp_millis())).await.expect(204);
    it.told(event("a b", api.now().timestamp_millis())).await.expect(204);
    let next_week = (api.now() + TimeDelta::days(7)).timestamp_millis();
    it.told(event("tenpo-0042", next_week)).await.expect_problem(400, "malformed-request");
    let unsigned = request(Method::POST, "/iot/events", None, &event("tenpo-0042", 0));
    api.send(unsigned).await.expect_problem(401, "unauthenticated");
    assert_eq!(it.online().await, Value::Null);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_index_tells_what_no_event_did(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    api.register("tenpo-0043").await;
    let it = Box { api: &api };
    it.event("connected", "a", 5, api.now()).await;
    let connected = api.now();
    api.wait(TimeDelta::minutes(10));
    let indexed = |thing: &str, connected, at| Indexed {
        thing: thing.to_owned(),
        connected,
        at,
        reason: Some("MQTT_KEEP_ALIVE_TIMEOUT".to_owned()),
    };
    let end = connected + TimeDelta::minutes(5);

    api.aws.state().index = vec![
        indexed("tenpo-0042", false, connected - TimeDelta::minutes(1)),
        indexed("tenpo-0043", true, end),
    ];
    assert_eq!(presence::heal(&api.fleet).await.unwrap(), 1, "the index lags behind the event");
    assert_eq!(it.online().await, true);
    api.aws.state().index = vec![indexed("tenpo-0043", true, end), indexed("tenpo-0042", false, end)];
    assert_eq!(presence::heal(&api.fleet).await.unwrap(), 1);
    assert_eq!(it.online().await, false);
    assert_eq!(it.shown().await["connection"]["lastDisconnectReason"], "MQTT_KEEP_ALIVE_TIMEOUT");
    assert_eq!(presence::heal(&api.fleet).await.unwrap(), 0);

    it.event("connected", "a", 5, connected).await;
    assert_eq!(it.online().await, false, "an old event does not undo it");
    it.event("connected", "b", 0, end + TimeDelta::minutes(1)).await;
    assert_eq!(it.online().await, true, "a new one does, whatever its number");
}

fn how_it_is(backlog: u64, alarms: &Value) -> Value {
    json!({"agentVersion": "0.1.0", "backlog": {"count": backlog, "quarantined": 1}, "freeBytes": 1,
        "certificate": {"serial": "1", "ageDays": 12}, "clock": "synced", "alarms": alarms,
        "at": "2026-11-22T00:00:00Z"})
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_a_box_says_of_itself_is_shown_and_counted(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    api.register("tenpo-0043").await;
    let it = Box { api: &api };
    let says = |version, reported| {
        let shadow = Shadow { version, desired: json!({}), reported };
        api.aws.state().statuses.insert("tenpo-0042".to_owned(), shadow);
    };
    let hint = json!({"thing": "tenpo-0042", "shadow": "status", "current": {"state": {"reported": {"agentVersion": "forged"}}}});

    says(3, how_it_is(4, &json!(["DISK_LOW", "ON_FIRE"])));
    it.told(hint.clone()).await.expect(204);
    says(2, how_it_is(9, &json!([])));
    it.told(hint.clone()).await.expect(204);
    says(4, json!({"backlog": "nonsense"}));
    it.told(hint).await.expect(204);

    let shown = it.shown().await;
    assert_eq!(shown["status"]["backlog"]["count"], 4);
    assert_eq!(shown["status"]["certificate"]["ageDays"], 12);
    assert_eq!(shown["status"]["agentVersion"], "0.1.0");
    let list = api.get("/v1/devices?alarm=DISK_LOW").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["status"]["alarms"][0], "DISK_LOW");
    let stats = api.get("/v1/stats").await.expect(200);
    assert_eq!(stats["alarms"], json!({"DISK_LOW": 1, "ON_FIRE": 1}));
    assert_eq!(stats["agentVersions"], json!({"0.1.0": 1}));
    let counted = &stats["devices"];
    assert_eq!(
        (&counted["total"], &counted["withAlarm"], &counted["backlog"]),
        (&json!(2), &json!(1), &json!(4))
    );
    assert_eq!((&counted["neverConnected"], &counted["quarantined"]), (&json!(2), &json!(1)));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_that_is_connected_and_silent_is_looked_at(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let it = Box { api: &api };
    it.event("connected", "a", 0, api.now()).await;
    let shadow = Shadow { version: 1, desired: json!({}), reported: how_it_is(0, &json!([])) };
    api.aws.state().statuses.insert("tenpo-0042".to_owned(), shadow);

    status::pass(&api.fleet).await.unwrap();
    assert_eq!(it.shown().await["status"], Value::Null, "it may still tell");
    api.wait(TimeDelta::minutes(75));
    status::pass(&api.fleet).await.unwrap();
    assert_eq!(it.shown().await["status"]["agentVersion"], "0.1.0");
}

/// Another client came with the name of `session`.
async fn thrown_out(it: &Box<'_>, session: &str, version: i64, at: DateTime<Utc>) {
    let body = json!({"clientId": "tenpo-0042", "timestamp": at.timestamp_millis(), "eventType": "disconnected",
        "sessionIdentifier": session, "principalIdentifier": "ab", "versionNumber": version,
        "disconnectReason": "DUPLICATE_CLIENTID", "clientInitiatedDisconnect": false});
    it.told(body).await.expect(204);
}

async fn alarms(api: &TestApi) -> usize {
    let audit = api.get("/v1/audit?thing=tenpo-0042&limit=200").await.expect(200);
    let entries = audit["items"].as_array().unwrap().iter();
    entries.filter(|entry| entry["action"] == "device.duplicate_client").count()
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn two_clients_that_throw_each_other_out_are_one_alarm(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let it = Box { api: &api };
    let (start, second) = (api.now(), TimeDelta::seconds(1));
    it.event("connected", "a", 0, start).await;

    // The newer connection is told of first, and the end of the older one twice: that may be a box on a bad line.
    it.event("connected", "b", 1, start + second).await;
    thrown_out(&it, "a", 0, start + second).await;
    thrown_out(&it, "a", 0, start + second).await;
    assert_eq!((alarms(&api).await, it.shown().await["duplicateClientAt"].clone()), (0, Value::Null));

    for (number, session) in ["b", "c", "d", "e"].iter().enumerate() {
        let version = i64::try_from(number).unwrap() + 1;
        thrown_out(&it, session, version, start + second * (i32::try_from(number).unwrap() + 2)).await;
    }
    assert_eq!(alarms(&api).await, 1);
    assert_eq!(it.shown().await["duplicateClientAt"], "2026-11-22T00:00:05Z");
    let listed = api.get("/v1/devices?alarm=DUPLICATE_CLIENTID").await.expect(200);
    assert_eq!(listed["items"][0]["thing"], "tenpo-0042");
    assert_eq!(api.get("/v1/stats").await.expect(200)["devices"]["duplicateClients"], 1);

    // It begins anew another day.
    api.wait(TimeDelta::days(2));
    let listed = api.get("/v1/devices?alarm=DUPLICATE_CLIENTID").await.expect(200);
    assert_eq!(listed["items"], json!([]));
    thrown_out(&it, "f", 9, api.now()).await;
    assert_eq!(alarms(&api).await, 1);
    thrown_out(&it, "g", 10, api.now() + second).await;
    assert_eq!(alarms(&api).await, 2);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_that_throws_itself_out_now_and_then_is_no_alarm(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let it = Box { api: &api };
    let (start, apart) = (api.now(), TimeDelta::minutes(11));
    api.wait(TimeDelta::hours(2));

    for number in 0..4_i32 {
        thrown_out(&it, &format!("s{number}"), number.into(), start + apart * number).await;
    }
    // One that comes an hour late is near none of the others.
    thrown_out(&it, "s0", 0, start).await;

    assert_eq!((alarms(&api).await, it.shown().await["duplicateClientAt"].clone()), (0, Value::Null));
}
