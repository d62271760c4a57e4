//! The document says what the code does, and the copy beside the code says the same.

use axum::http::Method;
use serde_json::Value;
use sqlx::PgPool;

use crate::support::{TestApi, request};

#[test]
fn the_document_beside_the_code_is_that_of_the_code() {
    let kept =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json")).unwrap_or_default();
    let made = fleet_api::openapi::text().unwrap();

    assert!(kept == made, "run `cargo xtask openapi` and commit fleet-api/openapi.json");
}

#[test]
fn every_refusal_is_listed() {
    let code = include_str!("../../src/error.rs");
    let kinds = code.split("pub fn kind(&self)").nth(1).unwrap().split("\n    }\n").next().unwrap();

    let mut named = 0;
    for arm in kinds.split("=> (\"").skip(1) {
        let name = arm.split('"').next().unwrap();
        let listed = fleet_api::error::PROBLEMS.iter().any(|(listed, _)| *listed == name);
        assert!(listed, "{name} is not in PROBLEMS");
        named += 1;
    }
    // One more: /readyz words its own.
    assert_eq!(named + 1, fleet_api::error::PROBLEMS.len());
}

#[test]
fn whatever_the_document_refers_to_is_in_it() {
    let document = serde_json::to_value(fleet_api::openapi::document()).unwrap();
    let text = document.to_string();
    let references: Vec<&str> =
        text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(references.len() > 50, "{references:?}");

    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference} is nowhere");
    }
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_document_and_its_page_are_served_with_nothing_from_elsewhere(db: PgPool) {
    let api = TestApi::new(db).await;
    let get = async |path: &str| {
        let response = api.stream(request(Method::GET, path, None, &Value::Null)).await;
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status.as_u16(), String::from_utf8_lossy(&body).into_owned())
    };

    let document: Value = serde_json::from_str(&get("/openapi.json").await.1).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let (status, page) = get("/docs/").await;
    assert_eq!(status, 200);
    for part in page.split(['"', '\'']).filter(|part| part.starts_with("./") && part.contains('.')) {
        let (status, content) = get(&format!("/docs/{}", &part[2..])).await;
        assert_eq!(status, 200, "{part}");
        assert!(!content.is_empty());
    }
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"), "{page}");
}
