//! What is known of a pharmacy is edited field by field, by whoever saw what it was.

use axum::http::{Method, header};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{Answer, TestApi, request};

const PATH: &str = "/v1/pharmacies/P-1";

async fn pharmacy(db: PgPool) -> TestApi {
    let api = TestApi::new(db).await;
    let known = json!({"code": "P-1", "name": "はな薬局", "kana": "ハナヤッキョク", "phone": "03-0000-0000"});
    api.post("/v1/pharmacies", known).await.expect(201);
    api
}

async fn edit(api: &TestApi, body: Value, if_match: Option<&str>) -> Answer {
    let mut patch = request(Method::PATCH, PATH, Some(&api.changer), &body);
    if let Some(etag) = if_match {
        patch.headers_mut().insert(header::IF_MATCH, etag.parse().unwrap());
    }
    api.send(patch).await
}

async fn etag(api: &TestApi) -> String {
    api.get(PATH).await.headers[header::ETAG].to_str().unwrap().to_owned()
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_is_told_is_changed_and_the_rest_stays(db: PgPool) {
    let api = pharmacy(db).await;
    api.post("/v1/devices", json!({"thing": "tenpo-0042", "pharmacy": "P-1"})).await.expect(201);

    let answer = edit(&api, json!({"name": "さくら薬局", "phone": null, "openingHours": "9-18"}), None).await;

    assert_eq!(answer.headers[header::ETAG].to_str().unwrap(), etag(&api).await);
    let now = answer.expect(200);
    assert_eq!(now, api.get(PATH).await.expect(200));
    assert_eq!((&now["code"], &now["name"]), (&json!("P-1"), &json!("さくら薬局")));
    assert_eq!((&now["kana"], &now["phone"]), (&json!("ハナヤッキョク"), &Value::Null));
    assert_eq!(now["openingHours"], "9-18");
    let found = api.get("/v1/devices?q=%E3%81%95%E3%81%8F%E3%82%89").await.expect(200);
    assert_eq!(found["items"][0]["pharmacyDetails"]["name"], "さくら薬局");

    let audit = api.get("/v1/audit?limit=200").await.expect(200);
    let entries = audit["items"].as_array().unwrap().iter();
    let edits: Vec<_> = entries.filter(|entry| entry["action"] == "pharmacy.edited").collect();
    assert_eq!(edits.len(), 1);
    assert_eq!((&edits[0]["pharmacy"], &edits[0]["actor"]), (&json!("P-1"), &json!("token:changer")));
    assert_eq!(
        edits[0]["before"],
        json!({"name": "はな薬局", "phone": "03-0000-0000", "openingHours": null})
    );
    assert_eq!(edits[0]["after"], json!({"name": "さくら薬局", "phone": null, "openingHours": "9-18"}));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn an_edit_of_what_was_seen_before_somebody_else_s_is_refused(db: PgPool) {
    let api = pharmacy(db).await;
    let seen = etag(&api).await;

    edit(&api, json!({"kana": "サクラ"}), Some(&seen)).await.expect(200);
    edit(&api, json!({"kana": "ウメ"}), Some(&seen)).await.expect_problem(412, "etag-mismatch");

    assert_eq!(api.get(PATH).await.expect(200)["kana"], "サクラ");
    let seen = etag(&api).await;
    edit(&api, json!({"kana": "サクラ"}), Some(&seen)).await.expect(200);
    let entries = "select count(*) from audit_entries where action = 'pharmacy.edited'";
    let entries: i64 = sqlx::query_scalar(entries).fetch_one(&api.db).await.unwrap();
    assert_eq!(entries, 1, "what stays as it was is no edit");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_cannot_be_is_told_field_by_field_and_changes_nothing(db: PgPool) {
    let api = pharmacy(db).await;
    let before = api.get(PATH).await.expect(200);

    let refused = edit(&api, json!({"name": null, "kana": "x".repeat(201), "phone": "1\n2"}), None).await;
    let faults = refused.expect_problem(422, "unusable-fields");
    let fields: Vec<_> =
        faults["errors"].as_array().unwrap().iter().map(|fault| fault["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["kana", "phone", "name"]);
    for unreadable in [json!({"code": "P-2"}), json!({"tags": []}), json!({"name": 1}), json!([])] {
        edit(&api, unreadable, None).await.expect_problem(400, "malformed-request");
    }
    let nowhere = request(Method::PATCH, "/v1/pharmacies/P-2", Some(&api.changer), &json!({"name": "x"}));
    api.send(nowhere).await.expect_problem(404, "unknown-pharmacy");

    assert_eq!(api.get(PATH).await.expect(200), before);
}
