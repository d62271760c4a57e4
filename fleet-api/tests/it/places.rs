//! Boxes are moved and replaced; what happened stays where it happened.

use axum::http::Method;
use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{TestApi, Upload};

async fn things(api: &TestApi, query: &str) -> Vec<String> {
    let list = api.get(&format!("/v1/devices?{query}")).await.expect(200);
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["thing"].as_str().unwrap().to_owned()).collect()
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_pharmacy_lists_every_box_it_ever_had(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("old").await;
    api.register("new").await;
    api.wait(TimeDelta::hours(1));
    let body = json!({"with": "new", "reason": "the old one fell"});

    let replaced = api.post("/v1/devices/old/replace", body).await.expect(200);

    assert_eq!(replaced, json!({"thing": "old", "with": "new", "pharmacy": "P-old"}));
    assert_eq!(things(&api, "pharmacy=P-old").await, ["new", "old"]);
    assert_eq!(things(&api, "pharmacy=P-old&nowThere=true").await, ["new"]);
    assert_eq!(api.get("/v1/devices/old").await.expect(200)["pharmacy"], Value::Null);
    let boxes = api.get("/v1/pharmacies/P-old/assignments").await.expect(200);
    assert_eq!(
        boxes["items"],
        json!([
            {"thing": "new", "pharmacy": "P-old", "from": "2026-11-22T01:00:00Z", "to": null},
            {"thing": "old", "pharmacy": "P-old", "from": "2026-11-22T00:00:00Z", "to": "2026-11-22T01:00:00Z"},
        ])
    );
    let stood = api.get("/v1/devices/new/assignments").await.expect(200);
    assert_eq!(stood["items"][1]["pharmacy"], "P-new");
    let log = api.get("/v1/audit?thing=old").await.expect(200);
    let actions: Vec<_> = log["items"].as_array().unwrap().iter().map(|it| it["action"].clone()).collect();
    assert_eq!(actions, ["device.registered", "device.replaced", "device.moved"]);
    api.post("/v1/devices/old/replace", json!({"with": "old"})).await.expect_problem(422, "unusable-fields");
    api.post("/v1/devices/old/replace", json!({"with": "none"})).await.expect_problem(404, "unknown-thing");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_that_is_moved_at_the_same_moment_stands_in_one_place_only(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    api.register("tenpo-0043").await;
    let put = async |pharmacy: Value| {
        let body = json!({"pharmacy": pharmacy});
        api.call(Method::PUT, "/v1/devices/tenpo-0042/pharmacy", &api.admin, body).await
    };

    // The clock stands still: each of these is at the very moment of the one before.
    assert_eq!(put(json!("P-tenpo-0043")).await.expect(200)["pharmacy"], "P-tenpo-0043");
    assert_eq!(put(json!("P-tenpo-0042")).await.expect(200)["pharmacy"], "P-tenpo-0042");
    assert_eq!(put(Value::Null).await.expect(200)["pharmacy"], Value::Null);
    assert_eq!(put(json!("P-tenpo-0043")).await.expect(200)["pharmacy"], "P-tenpo-0043");
    put(json!("P-0")).await.expect_problem(404, "unknown-pharmacy");
    put(json!("a\0")).await.expect_problem(422, "unusable-fields");

    let stood = api.get("/v1/devices/tenpo-0042/assignments").await.expect(200);
    let open = stood["items"].as_array().unwrap().iter().filter(|it| it["to"].is_null()).count();
    assert_eq!((stood["items"].as_array().unwrap().len(), open), (4, 1));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn boxes_are_sorted_by_tags_and_by_how_far_they_are(db: PgPool) {
    let api = TestApi::new(db).await;
    for thing in ["a", "b", "c"] {
        api.register(thing).await;
    }
    api.session("b", "box-b").await;
    let tag = async |thing: &str, tags: Value| {
        let path = format!("/v1/devices/{thing}/tags");
        api.call(Method::PUT, &path, &api.changer, json!({"tags": tags})).await
    };

    assert_eq!(
        tag("a", json!(["pilot", "東京", "pilot"])).await.expect(200)["tags"],
        json!(["pilot", "東京"])
    );
    tag("b", json!(["pilot"])).await.expect(200);
    tag("c", json!([" ", "a\u{1}", "x".repeat(65)])).await.expect_problem(422, "unusable-fields");
    tag("nobody", json!([])).await.expect_problem(404, "unknown-thing");

    assert_eq!(things(&api, "tag=pilot").await, ["a", "b"]);
    assert_eq!(things(&api, "tag=%E6%9D%B1%E4%BA%AC").await, ["a"]);
    assert_eq!(things(&api, "state=enrolled").await, ["b"]);
    assert_eq!(things(&api, "state=registered&tag=pilot").await, ["a"]);
    api.get("/v1/devices?state=happy").await.expect_problem(400, "malformed-request");
    api.post("/v1/devices/b/revoke", Value::Null).await.expect(200);
    assert_eq!(things(&api, "state=revoked").await, ["b"]);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_same_content_from_two_boxes_of_a_pharmacy_is_marked_and_kept(db: PgPool) {
    let api = TestApi::new(db).await;
    for thing in ["first", "second", "elsewhere"] {
        api.register(thing).await;
    }
    let move_to = json!({"pharmacy": "P-first"});
    api.call(Method::PUT, "/v1/devices/second/pharmacy", &api.admin, move_to).await.expect(200);
    let mut ids = Vec::new();
    for (thing, path) in [("first", "a.csv"), ("first", "b.csv"), ("second", "a.csv"), ("elsewhere", "a.csv")]
    {
        api.wait(TimeDelta::seconds(1));
        let token = api.session(thing, &format!("{thing}-{path}")).await;
        let upload = Upload { thing, path, content: b"RX", sequence: ids.len() as u64 + 1 };
        upload.send(&api, &token).await.expect(201);
        ids.push(upload.id().to_string());
    }

    let list = api.get("/v1/uploads?pharmacy=P-first").await.expect(200);

    let marks: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|it| (&it["uploadId"], &it["duplicateOf"])).collect();
    // The second box's is a copy of the first upload; another path of the same box is none.
    let (id, none) = (|at: usize| json!(ids[at]), Value::Null);
    assert_eq!(marks, [(&id(2), &id(0)), (&id(1), &none), (&id(0), &none)]);
    let one = api.get(&format!("/v1/uploads/{}", ids[3])).await.expect(200);
    assert_eq!(one["duplicateOf"], Value::Null, "that stands in another pharmacy");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn an_original_path_is_read_under_its_own_scope_and_each_reading_is_written_down(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let token = api.session("tenpo-0042", "box").await;
    let upload = Upload { thing: "tenpo-0042", path: "山田太郎.csv", content: b"RX", sequence: 1 };
    upload.send(&api, &token).await.expect(201);
    let path = format!("/v1/uploads/{}/path", upload.id());
    let reader = api.token("pharmacist", "read,paths").await;

    api.call(Method::GET, &path, &api.admin, Value::Null).await.expect_problem(403, "forbidden");
    let shown = api.call(Method::GET, &path, &reader, Value::Null).await.expect(200);

    assert_eq!(shown["path"], "山田太郎.csv");
    let log = api.get("/v1/audit?thing=tenpo-0042").await.expect(200);
    let read: Vec<_> =
        log["items"].as_array().unwrap().iter().filter(|it| it["action"] == "upload.path_read").collect();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0]["actor"], "token:pharmacist");
    assert!(!log.to_string().contains("山田"));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_list_that_is_read_again_and_again_shows_each_change_at_once(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("a").await;
    let listed = async || things(&api, "limit=10").await;

    assert_eq!(listed().await, ["a"]);
    assert_eq!(listed().await, ["a"]);
    for thing in ["b", "c", "d"] {
        api.register(thing).await;
        assert_eq!(listed().await.last().unwrap(), thing);
    }
    // By whomever it is made, and though nothing of ours was told of it.
    sqlx::query("update things set tags = '{x}' where name = 'd'").execute(&api.db).await.unwrap();
    let list = api.get("/v1/devices?limit=10").await.expect(200);
    assert_eq!(list["items"][3]["tags"], json!(["x"]));
}
