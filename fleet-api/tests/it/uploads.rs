//! Prescriptions: once in the bucket, told truly in the ledger.

use axum::{body::Body, http::HeaderValue};
use chrono::TimeDelta;
use device_model::upload::MAX_PATH_BYTES;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{TestApi, Upload};

const RX: Upload<'static> =
    Upload { thing: "tenpo-0042", path: "処方/山田.csv", content: b"R7,yamada\r\n", sequence: 1 };

async fn api(db: PgPool) -> (TestApi, String) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let token = api.session("tenpo-0042", "box-token").await;
    (api, token)
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_prescription_is_stored_entered_and_receipted_once(db: PgPool) {
    let (api, token) = api(db).await;

    let receipt = RX.send(&api, &token).await.expect(201);
    api.wait(TimeDelta::seconds(9));
    let again = RX.send(&api, &token).await.expect(200);

    assert_eq!(receipt, again);
    assert_eq!(receipt["uploadId"], RX.id().to_string());
    assert_eq!(receipt["versionId"], "v1");
    assert_eq!((api.count("uploads").await, api.count("observations").await), (1, 1));
    let key = format!("rx/tenpo-0042/{}", RX.id());
    assert_eq!(api.aws.state().objects[&key].0, RX.content);
    let list = api.get("/v1/uploads?thing=tenpo-0042").await.expect(200);
    let item = &list["items"][0];
    assert_eq!(item["current"], true);
    assert_eq!(item["objectKey"], key);
    assert_eq!(item["pharmacy"], "P-tenpo-0042");
    assert_eq!(item["observedAt"], "2026-11-21T23:59:00Z");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_path_that_goes_back_is_two_objects_with_the_first_current(db: PgPool) {
    let (api, token) = api(db).await;
    let b = Upload { content: b"B", sequence: 2, ..RX };
    let a_again = Upload { sequence: 3, ..RX };

    RX.send(&api, &token).await.expect(201);
    b.send(&api, &token).await.expect(201);
    assert_eq!(current(&api).await, [b.id().to_string()]);
    a_again.send(&api, &token).await.expect(200);

    assert_eq!(current(&api).await, [RX.id().to_string()]);
    assert_eq!(api.aws.state().objects.len(), 2);
    assert_eq!(api.count("observations").await, 3);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn how_far_a_boxs_time_can_be_trusted_is_kept_if_it_says_so(db: PgPool) {
    let (api, token) = api(db).await;
    let mut said = vec![None];
    for (sequence, clock) in [(2, "synced"), (3, "estimated")] {
        let upload = Upload { sequence, content: clock.as_bytes(), ..RX };
        let mut request = upload.request(&token).body(Body::from(clock)).unwrap();
        request.headers_mut().insert("x-recehub-clock", clock.parse().unwrap());
        api.send(request).await.expect(201);
        said.push(Some((upload.id(), clock)));
    }
    RX.send(&api, &token).await.expect(201);

    for upload in said {
        let (id, clock) = upload.map_or((RX.id(), Value::Null), |(id, clock)| (id, json!(clock)));
        assert_eq!(api.get(&format!("/v1/uploads/{id}")).await.expect(200)["clock"], clock);
        let key = format!("rx/tenpo-0042/{id}");
        let metadata = api.aws.state().objects[&key].1.clone();
        let kept = metadata.iter().find(|(name, _)| *name == "clock").map(|(_, value)| json!(value));
        assert_eq!(kept.unwrap_or_default(), clock);
    }
    let list = api.get("/v1/uploads?thing=tenpo-0042").await.expect(200);
    assert!(list["items"].as_array().unwrap().iter().any(|item| item["clock"] == "estimated"));
}

async fn current(api: &TestApi) -> Vec<String> {
    let list = api.get("/v1/uploads?thing=tenpo-0042").await.expect(200);
    let items = list["items"].as_array().unwrap().iter();
    let current = items.filter(|item| item["current"] == true);
    current.map(|item| item["uploadId"].as_str().unwrap().to_owned()).collect()
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_crash_between_bucket_and_ledger_is_mended_by_sending_again(db: PgPool) {
    let (api, token) = api(db).await;
    let first = RX.send(&api, &token).await.expect(201);
    for table in ["observations", "uploads"] {
        let lost =
            sqlx::AssertSqlSafe(format!("alter table {table} disable trigger user; delete from {table}"));
        sqlx::raw_sql(lost).execute(&api.db).await.unwrap();
    }

    let again = RX.send(&api, &token).await.expect(201);

    assert_eq!(first["versionId"], again["versionId"]);
    assert_eq!(api.aws.state().objects.len(), 1);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_is_not_as_announced_is_not_stored(db: PgPool) {
    let (api, token) = api(db).await;
    let send = |content: &'static [u8]| api.send(RX.request(&token).body(Body::from(content)).unwrap());

    send(b"R7,tanaka\r\n").await.expect_problem(400, "digest-mismatch");
    send(b"R7").await.expect_problem(400, "length-mismatch");
    send(b"R7,yamada\r\nmore").await.expect_problem(400, "length-mismatch");
    let mut wrong_id = RX.request(&token).body(Body::from(RX.content)).unwrap();
    *wrong_id.uri_mut() = format!("/v1/uploads/{}", "ab".repeat(32)).parse().unwrap();
    api.send(wrong_id).await.expect_problem(400, "upload-id-mismatch");

    assert!(api.aws.state().objects.is_empty());
    assert_eq!(api.count("uploads").await, 0);
    // Nor is it believed once the real one is there.
    RX.send(&api, &token).await.expect(201);
    send(b"R7,tanaka\r\n").await.expect_problem(400, "digest-mismatch");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn headers_are_checked_before_anything_is_read(db: PgPool) {
    let (api, token) = api(db).await;
    let with = |name: &'static str, value: Option<&str>| {
        let mut request = RX.request(&token).body(Body::from(RX.content)).unwrap();
        request.headers_mut().remove(name);
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        api.send(request)
    };

    with("content-length", None).await.expect_problem(411, "length-required");
    with("content-length", Some("67108865")).await.expect_problem(413, "too-large");
    with("content-digest", Some("sha-256=x")).await.expect_problem(400, "malformed-request");
    with("x-recehub-path", Some("***")).await.expect_problem(400, "malformed-request");
    with("x-recehub-path", Some("")).await.expect_problem(400, "malformed-request");
    for at in [
        "noon",
        "1999-12-31T23:59:59Z",
        "2101-01-01T00:00:00Z",
        "-4800-01-01T00:00:00Z",
        "+200000-01-01T00:00:00Z",
    ] {
        with("x-recehub-observed-at", Some(at)).await.expect_problem(400, "malformed-request");
    }
    for count in
        ["18446744073709551615", "9223372036854775807", "9007199254740993", "0", "+5", "-1", " 5", "5.0"]
    {
        with("x-recehub-sequence", Some(count)).await.expect_problem(400, "malformed-request");
    }
    with("x-recehub-clock", Some("right")).await.expect_problem(400, "malformed-request");
    with("content-length", Some("+11")).await.expect_problem(400, "malformed-request");
    with("x-recehub-thing", Some("tenpo-0001")).await.expect_problem(403, "forbidden");
    let mut not_text = RX.request(&token).body(Body::from(RX.content)).unwrap();
    not_text.headers_mut().insert("x-recehub-thing", HeaderValue::from_bytes(b"tenpo-\xff").unwrap());
    api.send(not_text).await.expect_problem(400, "malformed-request");

    assert_eq!(api.aws.state().puts, 0);
    with("x-recehub-sequence", Some("9007199254740992")).await.expect(201);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_is_no_path_below_the_share_is_refused(db: PgPool) {
    let (api, token) = api(db).await;
    let longer = "a".repeat(MAX_PATH_BYTES + 1);

    for path in ["", "/etc/a.csv", "a/../b.csv", "./a.csv", "..", "a//b.csv", "a/", "a\0.csv", &longer] {
        Upload { path, ..RX }.send(&api, &token).await.expect_problem(400, "malformed-request");
    }

    assert_eq!(api.aws.state().puts, 0);
    let told = Upload { path: &longer, ..RX }.send(&api, &token).await.expect(400);
    assert!(told["detail"].as_str().unwrap().contains("1200 bytes"), "{told}");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_longest_path_stands_sealed_beside_its_object(db: PgPool) {
    let (api, token) = api(db).await;
    let longest = "処".repeat(MAX_PATH_BYTES / 3);
    let upload = Upload { path: &longest, ..RX };

    upload.send(&api, &token).await.expect(201);

    let objects = &api.aws.state().objects;
    let (_, metadata) = objects.first_key_value().unwrap().1;
    let sealed = &metadata.iter().find(|(name, _)| *name == "path-sealed").unwrap().1;
    let sealed = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, sealed).unwrap();
    let keys = fleet_api::fleet::sealing::PathKeys::derive(&[7; 32]);
    assert_eq!(keys.open(upload.id(), &sealed).unwrap(), longest.as_bytes());
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn of_two_contents_with_the_same_count_the_later_is_current(db: PgPool) {
    let (api, token) = api(db).await;
    let b = Upload { content: b"B", ..RX };

    RX.send(&api, &token).await.expect(201);
    b.send(&api, &token).await.expect(201);

    assert_eq!(current(&api).await, [b.id().to_string()]);
    let one = async |upload: &Upload<'_>| {
        api.get(&format!("/v1/uploads/{}", upload.id())).await.expect(200)["current"].clone()
    };
    assert_eq!((one(&RX).await, one(&b).await), (json!(false), json!(true)));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_path_stands_in_the_open_nowhere(db: PgPool) {
    let (api, token) = api(db).await;
    RX.send(&api, &token).await.expect(201);

    let row: (Vec<u8>, Vec<u8>) =
        sqlx::query_as("select path_sealed, path_key from uploads").fetch_one(&api.db).await.unwrap();
    let dump: Vec<Value> =
        sqlx::query_scalar("select to_jsonb(u) from uploads u").fetch_all(&api.db).await.unwrap();
    let name = "山田".as_bytes();
    assert!(!row.0.windows(name.len()).any(|window| window == name));
    assert!(!json!(dump).to_string().contains("山田"));
    let objects = &api.aws.state().objects;
    let (key, (_, metadata)) = objects.first_key_value().unwrap();
    assert!(!key.contains("山田") && !format!("{metadata:?}").contains("山田"));
    let keys = fleet_api::fleet::sealing::PathKeys::derive(&[7; 32]);
    assert_eq!(keys.open(RX.id(), &row.0).unwrap(), RX.path.as_bytes());
    let names: Vec<_> = metadata.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["thing", "sha256", "observed-at", "sequence", "path-sealed"]);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_ledger_keeps_the_pharmacy_of_that_moment(db: PgPool) {
    let (api, token) = api(db).await;
    RX.send(&api, &token).await.expect(201);
    api.wait(TimeDelta::seconds(1));
    api.post("/v1/pharmacies", json!({"code": "P-2", "name": "ゆり薬局"})).await.expect(201);
    let by = fleet_api::fleet::actor::Actor::cli();
    sqlx::query("update certificates set status = 'revoked', revoked_at = now()")
        .execute(&api.db)
        .await
        .unwrap();
    api.fleet.register(&"tenpo-0042".parse().unwrap(), Some("P-2"), &by).await.unwrap();

    let device = api.get("/v1/devices/tenpo-0042").await.expect(200);
    assert_eq!(device["pharmacy"], "P-2");
    let list = api.get("/v1/uploads?pharmacy=P-tenpo-0042").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let list = api.get("/v1/uploads?pharmacy=P-2").await.expect(200);
    assert_eq!(list["items"], json!([]));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn pages_of_a_list_neither_repeat_nor_leave_out(db: PgPool) {
    let (api, token) = api(db).await;
    for sequence in 1..=5 {
        let path = format!("{sequence}.csv");
        Upload { path: &path, sequence, ..RX }.send(&api, &token).await.expect(201);
    }

    let mut seen = std::collections::BTreeSet::new();
    let mut next = "/v1/uploads?limit=2".to_owned();
    loop {
        let page = api.get(&next).await.expect(200);
        for item in page["items"].as_array().unwrap() {
            assert!(seen.insert(item["uploadId"].as_str().unwrap().to_owned()));
        }
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("/v1/uploads?limit=2&cursor={cursor}");
    }

    assert_eq!(seen.len(), 5);
    let full = api.get("/v1/uploads?limit=5").await.expect(200);
    assert_eq!((full["items"].as_array().unwrap().len(), &full["next"]), (5, &Value::Null));
}
