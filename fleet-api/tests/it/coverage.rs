//! Every route, with no, wrong and right credentials. A new route is added here or the count fails.

use axum::http::Method;
use chrono::TimeDelta;
use fleet_api::{
    error::ApiError,
    fleet::{actor::Actor, tokens},
};
use serde_json::Value;
use sqlx::PgPool;

use crate::support::{TOKEN_LIFETIME, TestApi, request};

/// Who may come in.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Anybody,
    Reader,
    Changer,
    Admin,
    /// Whoever has the scope for original paths.
    PathReader,
    Box,
}

const ROUTES: &[(&str, &str, Who)] = &[
    ("GET", "/healthz", Who::Anybody),
    ("GET", "/readyz", Who::Anybody),
    ("GET", "/v1/pharmacies", Who::Reader),
    ("POST", "/v1/pharmacies", Who::Admin),
    ("GET", "/v1/pharmacies/P-1", Who::Reader),
    ("PATCH", "/v1/pharmacies/P-1", Who::Changer),
    ("GET", "/v1/pharmacies/P-1/assignments", Who::Reader),
    ("GET", "/v1/devices", Who::Reader),
    ("POST", "/v1/devices", Who::Admin),
    ("GET", "/v1/devices/tenpo-0042", Who::Reader),
    ("POST", "/v1/devices/nobody/revoke", Who::Admin),
    ("POST", "/v1/devices/nobody/replace", Who::Admin),
    ("PUT", "/v1/devices/nobody/pharmacy", Who::Admin),
    ("GET", "/v1/devices/tenpo-0042/assignments", Who::Reader),
    ("PUT", "/v1/devices/nobody/tags", Who::Changer),
    ("GET", "/v1/devices/tenpo-0042/lan", Who::Reader),
    ("PUT", "/v1/devices/tenpo-0042/lan", Who::Changer),
    ("GET", "/v1/changes", Who::Reader),
    ("GET", "/v1/changes/01J", Who::Reader),
    ("POST", "/v1/changes/01J/cancel", Who::Changer),
    ("POST", "/v1/changes/01J/retry", Who::Changer),
    ("POST", "/v1/changes/01J/revert", Who::Changer),
    ("GET", "/v1/uploads", Who::Reader),
    (
        "GET",
        "/v1/uploads/0000000000000000000000000000000000000000000000000000000000000000/path",
        Who::PathReader,
    ),
    ("GET", "/v1/uploads/0000000000000000000000000000000000000000000000000000000000000000", Who::Reader),
    ("PUT", "/v1/uploads/0000000000000000000000000000000000000000000000000000000000000000", Who::Box),
    ("GET", "/v1/stats", Who::Reader),
    ("GET", "/v1/events", Who::Reader),
    ("GET", "/v1/audit", Who::Reader),
    ("GET", "/v1/audit/export", Who::Reader),
    ("GET", "/v1/audit/verify", Who::Reader),
    // These carry their own proof in the body.
    ("POST", "/v1/device/enroll", Who::Anybody),
    ("POST", "/v1/device/nonce", Who::Anybody),
    ("POST", "/v1/device/login", Who::Anybody),
];

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn every_route_lets_in_whom_it_should_and_nobody_else(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let device = api.session("tenpo-0042", "box-token").await;
    let paths = api.token("paths", "read,paths").await;
    let tokens = [
        (None, &[][..]),
        (Some("rh_wrong"), &[]),
        (Some(api.reader.as_str()), &[Who::Reader]),
        (Some(&api.changer), &[Who::Reader, Who::Changer]),
        (Some(&api.admin), &[Who::Reader, Who::Changer, Who::Admin]),
        (Some(&paths), &[Who::Reader, Who::PathReader]),
        (Some(&device), &[Who::Box]),
    ];

    for &(method, path, who) in ROUTES {
        for (token, roles) in tokens {
            let method: Method = method.parse().unwrap();
            let answer = api.head(request(method.clone(), path, token, &Value::Null)).await;
            let refused = matches!(answer.status.as_u16(), 401 | 403);
            let may = who == Who::Anybody || roles.contains(&who);
            assert_eq!(refused, !may, "{method} {path} as {token:?}: {}", answer.status);
            if refused {
                let known = token.is_some_and(|token| token != "rh_wrong" && token != device);
                let known = known && who != Who::Box;
                assert_eq!(answer.status.as_u16(), if known { 403 } else { 401 }, "{method} {path}");
            }
        }
    }
}

#[test]
fn every_route_is_walked_and_stands_in_the_document() {
    let page = include_str!("../../src/router.rs").split("#[cfg(test)]").next().unwrap();
    let verbs = ["get(", "post(", "put(", "patch("].map(|verb| page.matches(verb).count());
    // Two more: /iot/events in both its forms, which has a secret and a test of its own.
    assert_eq!(verbs.iter().sum::<usize>(), ROUTES.len() + 2);

    let document = serde_json::to_value(fleet_api::openapi::document()).unwrap();
    let mut documented = 0;
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            documented += 1;
            let found = ROUTES
                .iter()
                .filter(|(verb, path, _)| verb.eq_ignore_ascii_case(method) && is_at(path, template));
            let who = found.map(|(_, _, who)| *who).next();
            let who = who.unwrap_or_else(|| panic!("{method} {template} is not walked"));
            let needs = match who {
                Who::Anybody => Value::Null,
                Who::Box => serde_json::json!([{"device": []}]),
                _ => serde_json::json!([{"token": []}]),
            };
            assert_eq!(operation["security"], needs, "{method} {template}");
            assert_eq!(
                operation["responses"]["401"].is_object(),
                who != Who::Anybody || template.ends_with("/login")
            );
        }
    }
    // Whether it lives and is ready is no business of the document's.
    assert_eq!(documented, ROUTES.len() - 2);
}

/// True if the path is one that the template means.
fn is_at(path: &str, template: &str) -> bool {
    let (path, template): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
    let same = |(part, wanted): (&&str, &&str)| part == wanted || wanted.starts_with('{');
    path.len() == template.len() && path.iter().zip(&template).all(same)
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_token_that_expired_or_was_revoked_is_none(db: PgPool) {
    let api = TestApi::new(db).await;
    api.get("/v1/devices").await.expect(200);
    tokens::revoke(&api.db, "reader", &Actor::cli(), api.now()).await.unwrap();
    api.get("/v1/devices").await.expect_problem(401, "unauthenticated");
    api.call(Method::GET, "/v1/devices", &api.admin, Value::Null).await.expect(200);
    api.wait(TOKEN_LIFETIME);
    api.call(Method::GET, "/v1/devices", &api.admin, Value::Null)
        .await
        .expect_problem(401, "unauthenticated");
    let tables: Vec<Vec<u8>> =
        sqlx::query_scalar("select token_hash from api_tokens").fetch_all(&api.db).await.unwrap();
    assert!(tables.iter().all(|hash| hash.len() == 32));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_token_tells_when_it_was_last_used_and_is_revoked_once(db: PgPool) {
    let api = TestApi::new(db).await;
    let token = async |name: &str| {
        let tokens = tokens::list(&api.db).await.unwrap();
        tokens.into_iter().find(|token| token.name == name).unwrap()
    };
    assert_eq!(token("reader").await.last_used_at, None);

    api.get("/v1/devices").await.expect(200);
    let first = api.now();
    assert_eq!(token("reader").await.last_used_at, Some(first));
    api.wait(TimeDelta::seconds(59));
    api.get("/v1/devices").await.expect(200);
    assert_eq!(token("reader").await.last_used_at, Some(first), "to the minute is enough");
    api.wait(TimeDelta::seconds(1));
    api.get("/v1/devices").await.expect(200);
    assert_eq!(token("reader").await.last_used_at, Some(api.now()));

    let revoked = api.now();
    tokens::revoke(&api.db, "reader", &Actor::cli(), revoked).await.unwrap();
    api.wait(TimeDelta::seconds(1));
    tokens::revoke(&api.db, "reader", &Actor::cli(), api.now()).await.unwrap();
    assert_eq!(token("reader").await.revoked_at, Some(revoked));
    let refused = tokens::revoke(&api.db, "nobody", &Actor::cli(), api.now()).await;
    assert!(matches!(refused, Err(ApiError::UnknownToken)));
    let entries = "select count(*) from audit_entries where action = 'token.revoked'";
    let entries: i64 = sqlx::query_scalar(entries).fetch_one(&api.db).await.unwrap();
    assert_eq!(entries, 1);
}
