//! Every refusal is problem+json with a stable type.

use axum::{
    body::Body,
    http::{Method, Request},
};
use fleet_api::error::ApiError;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{TestApi, request};

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn unknown_things_and_changes_are_404(db: PgPool) {
    let api = TestApi::new(db).await;

    for (path, name) in [
        ("/v1/devices/nobody", "unknown-thing"),
        ("/v1/devices/nobody/lan", "unknown-thing"),
        ("/v1/changes/01JNOTHERE", "unknown-change"),
        ("/v1/pharmacies/P-0", "unknown-pharmacy"),
        ("/v1/nothing", "unknown-route"),
        ("/nothing", "unknown-route"),
    ] {
        api.get(path).await.expect_problem(404, name);
    }
    let upload = format!("/v1/uploads/{}", "ab".repeat(32));
    api.get(&upload).await.expect_problem(404, "unknown-upload");
    api.put_lan("nobody", "192.168.10.20/24", json!({})).await.expect_problem(404, "unknown-thing");
    api.post("/v1/devices/nobody/revoke", Value::Null).await.expect_problem(404, "unknown-thing");
    let nowhere = json!({"thing": "tenpo-0042", "pharmacy": "P-0"});
    api.post("/v1/devices", nowhere).await.expect_problem(404, "unknown-pharmacy");
    assert_eq!(api.count("things").await, 0);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn every_bad_field_is_told_at_once(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let body = json!({"lan": {"mode": "static", "address": "8.8.8.8/24", "gateway": "x", "mtu": 9000, "colour": 1},
        "window": {"from": "25:00"}, "share": {"user": "a b"}, "reason": " ", "typo": true});

    let refused = api.call(Method::PUT, "/v1/devices/tenpo-0042/lan", &api.changer, body).await;

    let refused = refused.expect_problem(422, "unusable-fields");
    let errors = refused["errors"].as_array().unwrap();
    let fields: Vec<_> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
    let expected = [
        "typo",
        "lan.colour",
        "lan.address",
        "lan.gateway",
        "lan.mtu",
        "window.from",
        "window.to",
        "reason",
        "share.name",
        "share.user",
    ];
    assert_eq!(fields, expected);
    assert_eq!(errors[2]["code"], "NOT_PRIVATE");
    assert_eq!(api.count("lan_changes").await, 0);
    assert!(api.aws.desired("tenpo-0042").is_null());
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_cannot_be_read_is_told_at_its_field_under_any_key(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let good = json!({"lan": {"mode": "dhcp"}, "reason": "x"});
    let put = async |body: &Value| {
        let mut put = request(Method::PUT, "/v1/devices/tenpo-0042/lan", Some(&api.changer), body);
        put.headers_mut().insert("idempotency-key", "k".parse().unwrap());
        api.send(put).await
    };
    put(&good).await.expect(202);

    for (pointer, value, field, code) in [
        ("lan", json!({"mode": 1}), "lan.mode", "NOT_TEXT"),
        ("lan", json!({"mode": "dhcp", "mtu": "x"}), "lan.mtu", "NOT_A_NUMBER"),
        ("lan", Value::Null, "lan.mode", "REQUIRED"),
        ("lan", json!(1), "lan", "NOT_AN_OBJECT"),
        (
            "lan",
            json!({"mode": "dhcp", "routes": [{"to": "192.168.20.0/24", "via": "192.168.10.1", "metric": 1}]}),
            "lan.routes[0].metric",
            "UNKNOWN_FIELD",
        ),
        ("probe", json!({"share": "bogus"}), "probe.share", "UNKNOWN_VALUE"),
        ("probe", json!({"shar": "warn"}), "probe.shar", "UNKNOWN_FIELD"),
        ("window", json!({"notBefore": "yesterday"}), "window.notBefore", "NOT_A_TIMESTAMP"),
        ("share", json!([]), "share", "NOT_AN_OBJECT"),
        ("reason", json!(1), "reason", "NOT_TEXT"),
        ("ticket", json!(1), "ticket", "NOT_TEXT"),
        ("supersede", json!("yes"), "supersede", "NOT_A_BOOLEAN"),
        ("typo", json!(1), "typo", "UNKNOWN_FIELD"),
    ] {
        let mut body = good.clone();
        body[pointer] = value;
        let refused = put(&body).await;
        // Without `lan` it is another request, but one that can be read.
        if body["lan"].is_null() {
            refused.expect_problem(422, "idempotency-key-reused");
            continue;
        }
        let refused = refused.expect_problem(422, "unusable-fields");
        let errors = refused["errors"].as_array().unwrap();
        let first = (errors[0]["field"].as_str().unwrap(), errors[0]["code"].as_str().unwrap());
        assert_eq!((errors.len(), first), (1, (field, code)), "{refused}");
    }
    assert_eq!(api.count("lan_changes").await, 1);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_is_not_json_is_400_and_what_is_too_large_413(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let put = |kind: &'static str, body: String| {
        let request = Request::builder()
            .method(Method::PUT)
            .uri("/v1/devices/tenpo-0042/lan")
            .header("authorization", format!("Bearer {}", api.changer))
            .header("content-type", kind);
        api.send(request.body(Body::from(body)).unwrap())
    };

    put("application/json", "{".to_owned()).await.expect_problem(400, "malformed-request");
    put("application/json", "[]".to_owned()).await.expect_problem(400, "malformed-request");
    let told = put("application/json", r#"{"share": {"password": 1234567}}"#.to_owned()).await;
    assert!(!told.expect_problem(422, "unusable-fields").to_string().contains("1234567"));
    put("text/plain", "{}".to_owned()).await.expect_problem(415, "media-type");
    put("application/json", " ".repeat(65 * 1024)).await.expect_problem(413, "too-large");
    api.get("/v1/devices/a%20b").await.expect_problem(400, "malformed-request");
    api.get("/v1/uploads?limit=0").await.expect_problem(400, "malformed-request");
    api.get("/v1/uploads?limit=many").await.expect_problem(400, "malformed-request");
    api.get("/v1/uploads?cursor=x").await.expect_problem(400, "malformed-request");
    api.call(Method::DELETE, "/v1/devices", &api.admin, Value::Null)
        .await
        .expect_problem(405, "wrong-method");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn control_characters_are_refused_wherever_a_text_comes_in(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let cursor = |key: Value| {
        base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, key.to_string())
    };

    for path in [
        "/v1/devices?q=a%00b",
        "/v1/devices?q=%1B",
        "/v1/devices?q=%7f",
        "/v1/devices?pharmacy=%00",
        "/v1/changes?thing=%00",
        "/v1/changes?pharmacy=a%00",
        "/v1/uploads?thing=%00",
        "/v1/audit?changeId=%00",
        "/v1/audit?thing=%00",
        "/v1/pharmacies/%00",
        "/v1/devices/%00",
        "/v1/changes/a%00",
        &format!("/v1/devices?cursor={}", cursor(json!("a\0"))),
        &format!("/v1/pharmacies?cursor={}", cursor(json!("a\0"))),
        &format!("/v1/uploads?cursor={}", cursor(json!(["2026-11-22T00:00:00Z", "a\0"]))),
        &format!("/v1/uploads?cursor={}", cursor(json!(["-200000-11-22T00:00:00Z", "a"]))),
        &format!("/v1/uploads?cursor={}", cursor(json!(["2101-01-01T00:00:00Z", "a"]))),
        &format!("/v1/audit?cursor={}", cursor(json!(1e300))),
    ] {
        let problem = api.get(path).await.expect_problem(400, "malformed-request");
        // By the door, not by the net behind it.
        assert!(!problem["detail"].as_str().unwrap().contains("kept"), "{path}: {problem}");
    }
    for (more, field) in [
        (json!({"reason": "a\0b"}), "reason"),
        (json!({"reason": "\u{1b}[2J"}), "reason"),
        (json!({"ticket": "a\0b"}), "ticket"),
    ] {
        let refused = api.put_lan("tenpo-0042", "192.168.10.20/24", more).await;
        let refused = refused.expect_problem(422, "unusable-fields");
        assert_eq!(refused["errors"][0]["field"], field);
        assert_eq!(refused["errors"][0]["code"], "BAD_CHARACTER");
    }
    for (path, body) in [
        ("/v1/devices", json!({"thing": "tenpo-0043", "pharmacy": "a\0"})),
        ("/v1/devices/tenpo-0042/revoke", json!({"reason": "a\0"})),
        ("/v1/changes/01J/cancel", json!({"reason": "a\0"})),
    ] {
        api.post(path, body).await.expect_problem(422, "unusable-fields");
    }
    assert_eq!(api.count("things").await, 1);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_postgres_cannot_keep_is_the_callers_fault_wherever_it_slipped_through(db: PgPool) {
    let kept = async |statement: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>| {
        let refused = statement.execute(&db).await.unwrap_err();
        fleet_api::error::ApiError::from(refused).kind().1.as_u16()
    };

    assert_eq!(kept(sqlx::query("select $1").bind("a\0")).await, 400);
    assert_eq!(kept(sqlx::query("select $1::jsonb").bind(json!({"a": "\0"}))).await, 400);
    assert_eq!(kept(sqlx::query("select '300000-01-01'::timestamptz")).await, 400);
    assert_eq!(kept(sqlx::query("select 1 / 0")).await, 500);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_last_page_is_the_last_though_it_is_full(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0001").await;
    api.register("tenpo-0002").await;
    api.wish("tenpo-0001", "192.168.10.20/24", json!({})).await;
    api.wish("tenpo-0002", "192.168.10.20/24", json!({})).await;

    for list in ["pharmacies", "devices", "changes", "audit"] {
        let all = api.get(&format!("/v1/{list}")).await.expect(200)["items"].as_array().unwrap().len();
        let full = api.get(&format!("/v1/{list}?limit={all}")).await.expect(200);
        assert_eq!((full["items"].as_array().unwrap().len(), &full["next"]), (all, &Value::Null), "{list}");
        let first = api.get(&format!("/v1/{list}?limit={}", all - 1)).await.expect(200);
        assert!(first["next"].is_string(), "{list}");
        let next = first["next"].as_str().unwrap();
        let rest = api.get(&format!("/v1/{list}?limit=1&cursor={next}")).await.expect(200);
        assert_eq!(rest, json!({"items": [full["items"][all - 1]], "next": null}), "{list}");
    }
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn readiness_names_what_is_down(db: PgPool) {
    let api = TestApi::new(db).await;

    let all_up = json!({"postgres": "up", "s3": "up", "iot": "up"});
    // A machine that is busy may take longer to ask Postgres than readiness may take.
    let mut ready = api.get("/readyz").await;
    for _ in 0..10 {
        if ready.body["dependencies"] != all_up {
            ready = api.get("/readyz").await;
        }
    }
    assert_eq!(ready.expect(200)["dependencies"], all_up);
    api.aws.state().down = true;
    let down = api.get("/readyz").await.expect_problem(503, "not-ready");
    assert_eq!(down["dependencies"], json!({"postgres": "up", "s3": "down", "iot": "down"}));
    api.db.close().await;
    let down = api.get("/readyz").await.expect_problem(503, "not-ready");
    assert_eq!(down["dependencies"]["postgres"], "down");
    api.get("/healthz").await.expect(200);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn boxes_are_found_by_what_people_call_them(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0001").await;
    api.register("tenpo-0002").await;
    let found = async |text: &str| {
        let boxes = api.fleet.find_boxes(text).await.unwrap();
        boxes.into_iter().map(|it| it.thing.to_string()).collect::<Vec<_>>()
    };

    assert_eq!(found("tenpo-0001").await, ["tenpo-0001"]);
    assert_eq!(found("p-tenpo-0002").await, ["tenpo-0002"]);
    assert_eq!(found("はな").await, ["tenpo-0001", "tenpo-0002"]);
    assert_eq!(found("ゆり").await, Vec::<String>::new());
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_database_that_crashes_starts_or_is_full_is_unavailable_for_now(db: PgPool) {
    let told = async |code: &str| {
        let statement = format!("do $$ begin raise exception using errcode = '{code}'; end $$");
        ApiError::from(sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&db).await.unwrap_err())
    };

    for code in ["57P01", "57P02", "57P03", "53300", "08006"] {
        assert!(matches!(told(code).await, ApiError::Unavailable { .. }), "{code}");
    }
    assert!(matches!(told("22012").await, ApiError::Internal(_)));
}
