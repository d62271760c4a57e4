//! Who a box is: enrolment, login, revocation; and everybody who only says so.

use axum::http::{Method, StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use device_model::enrolment::SEALING_KEY_CONTEXT;
use fleet_api::aws::sts::StsAnswer;
use rcgen::{CertificateParams, KeyPair, SigningKey};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{ACCOUNT, Answer, TestApi, Upload};

fn enrolment(thing: &str, code: &str) -> Value {
    enrolment_with(&KeyPair::generate().unwrap(), thing, code)
}

fn enrolment_with(key: &KeyPair, thing: &str, code: &str) -> Value {
    let csr = CertificateParams::default().serialize_request(key).unwrap().pem().unwrap();
    let public = [9; 32];
    let signature = key.sign(&[SEALING_KEY_CONTEXT, &public].concat()).unwrap();
    json!({"thing": thing, "code": code, "csr": csr,
        "sealingKey": {"publicKey": STANDARD.encode(public), "signature": STANDARD.encode(signature)}})
}

async fn enroll(api: &TestApi, body: Value) -> Answer {
    api.call(Method::POST, "/v1/device/enroll", "", body).await
}

/// An enrolled box, and its certificate's id.
pub async fn enrolled(api: &TestApi, thing: &str) -> String {
    let code = api.register(thing).await;
    let answer = enroll(api, enrolment(thing, &code)).await.expect(200);
    answer["certificateId"].as_str().unwrap().to_owned()
}

pub fn identity(account: &str, role: &str, session: &str) -> StsAnswer {
    let body = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:sts::{account}:assumed-role/{role}/{session}</Arn></GetCallerIdentityResult>\
         </GetCallerIdentityResponse>"
    );
    StsAnswer { status: 200, body: body.into_bytes() }
}

async fn nonce(api: &TestApi, thing: &str) -> String {
    let answer = api.call(Method::POST, "/v1/device/nonce", "", json!({"thing": thing})).await.expect(200);
    answer["nonce"].as_str().unwrap().to_owned()
}

async fn login_with(api: &TestApi, thing: &str, nonce: &str, amz_date: &str) -> Answer {
    let body = json!({"thing": thing, "nonce": nonce, "accessKeyId": "ASIAABCDEFGHIJKLMNOP",
        "amzDate": amz_date, "sessionToken": "session", "signature": "ab".repeat(32)});
    api.call(Method::POST, "/v1/device/login", "", body).await
}

pub async fn login(api: &TestApi, thing: &str) -> Answer {
    let nonce = nonce(api, thing).await;
    login_with(api, thing, &nonce, "20261122T000000Z").await
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_code_gets_one_certificate(db: PgPool) {
    let api = TestApi::new(db).await;
    let code = api.register("tenpo-0042").await;
    let other = api.register("tenpo-0001").await;

    enroll(&api, enrolment("tenpo-0042", "rhe_wrong")).await.expect_problem(403, "enrolment-refused");
    enroll(&api, enrolment("tenpo-0042", &other)).await.expect_problem(403, "enrolment-refused");
    enroll(&api, enrolment("tenpo-0042", &code)).await.expect(200);
    enroll(&api, enrolment("tenpo-0042", &code)).await.expect_problem(403, "enrolment-refused");

    assert_eq!(api.count("certificates").await, 1);
    assert_eq!(api.aws.state().certificates.len(), 1);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_code_serves_once_even_for_the_same_keys(db: PgPool) {
    let api = TestApi::new(db).await;
    let code = api.register("tenpo-0042").await;
    let key = KeyPair::generate().unwrap();
    let ask = || enrolment_with(&key, "tenpo-0042", &code);

    enroll(&api, ask()).await.expect(200);
    enroll(&api, ask()).await.expect_problem(403, "enrolment-refused");

    assert_eq!(api.count("certificates").await, 1);
    assert_eq!(api.aws.state().certificates.len(), 1);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_used_code_answers_nobody_after_its_day(db: PgPool) {
    let api = TestApi::new(db).await;
    let code = api.register("tenpo-0042").await;
    let ask = enrolment("tenpo-0042", &code);
    enroll(&api, ask.clone()).await.expect(200);

    api.wait(TimeDelta::hours(24));

    enroll(&api, ask).await.expect_problem(403, "enrolment-refused");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_that_hangs_up_meanwhile_leaves_no_certificate_that_nobody_knows(db: PgPool) {
    let api = TestApi::new(db).await;
    let code = api.register("tenpo-0042").await;
    let ask = enrolment("tenpo-0042", &code);
    let gate = api.aws.shut();

    tokio::select! {
        _ = enroll(&api, ask.clone()) => panic!("the gate was shut"),
        // The request is dropped here.
        () = api.aws.someone_is_held() => {}
    }
    gate.add_permits(1);
    tokio::time::timeout(std::time::Duration::from_secs(10), api.fleet.finish()).await.unwrap();

    assert_eq!(api.count("certificates").await, 1);
    assert_eq!(api.aws.state().certificates.len(), 1);
    enroll(&api, ask).await.expect_problem(403, "enrolment-refused");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_code_is_worth_nothing_after_a_day_or_a_newer_one(db: PgPool) {
    let api = TestApi::new(db).await;
    let first = api.register("tenpo-0042").await;
    let newer = api.post("/v1/devices", json!({"thing": "tenpo-0042"})).await.expect(201);
    let newer = newer["enrolmentCode"].as_str().unwrap();

    enroll(&api, enrolment("tenpo-0042", &first)).await.expect_problem(403, "enrolment-refused");
    api.wait(TimeDelta::hours(24));
    enroll(&api, enrolment("tenpo-0042", newer)).await.expect_problem(403, "enrolment-refused");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn keys_that_nobody_vouches_for_use_up_no_code(db: PgPool) {
    let api = TestApi::new(db).await;
    let code = api.register("tenpo-0042").await;
    let mut stranger = enrolment("tenpo-0042", &code);
    stranger["sealingKey"] = enrolment("tenpo-0042", &code)["sealingKey"].clone();
    let mut no_request = enrolment("tenpo-0042", &code);
    no_request["csr"] =
        json!("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n");

    enroll(&api, stranger).await.expect_problem(400, "malformed-request");
    enroll(&api, no_request).await.expect_problem(400, "malformed-request");

    enroll(&api, enrolment("tenpo-0042", &code)).await.expect(200);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_code_outlives_an_outage_of_aws(db: PgPool) {
    let api = TestApi::new(db).await;
    let code = api.register("tenpo-0042").await;
    api.aws.state().down = true;

    enroll(&api, enrolment("tenpo-0042", &code)).await.expect_problem(503, "unavailable");
    api.aws.state().down = false;

    enroll(&api, enrolment("tenpo-0042", &code)).await.expect(200);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_logs_in_and_sends(db: PgPool) {
    let api = TestApi::new(db).await;
    let id = enrolled(&api, "tenpo-0042").await;
    api.aws.state().sts_answer = Some(identity(ACCOUNT, "recehub-box", &id));

    let session = login(&api, "tenpo-0042").await.expect(200);
    let token = session["token"].as_str().unwrap();
    let rx = Upload { thing: "tenpo-0042", path: "a", content: b"x", sequence: 7 };
    rx.send(&api, token).await.expect(201);
    let again = login(&api, "tenpo-0042").await.expect(200);

    assert_eq!(session["sequenceFloor"], 0);
    assert_eq!(again["sequenceFloor"], 7);
    assert_eq!(api.aws.state().live_checks, 1, "IoT Core is asked at the first login only");
    let headers = api.aws.state().sts_headers[0].clone();
    assert!(headers.contains(&("host", "127.0.0.1:4566".to_owned())));
    assert!(headers.contains(&("x-recehub-server-id", "recehub-test".to_owned())));
    let stored: Vec<Vec<u8>> =
        sqlx::query_scalar("select token_hash from sessions").fetch_all(&api.db).await.unwrap();
    assert!(stored.iter().all(|hash| hash.len() == 32 && hash.as_slice() != token.as_bytes()));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_nonce_serves_once_for_one_thing_and_a_minute(db: PgPool) {
    let api = TestApi::new(db).await;
    let id = enrolled(&api, "tenpo-0042").await;
    api.aws.state().sts_answer = Some(identity(ACCOUNT, "recehub-box", &id));
    let date = "20261122T000000Z";

    let used = nonce(&api, "tenpo-0042").await;
    login_with(&api, "tenpo-0042", &used, date).await.expect(200);
    login_with(&api, "tenpo-0042", &used, date).await.expect_problem(401, "login-refused");
    let others = nonce(&api, "tenpo-0001").await;
    login_with(&api, "tenpo-0042", &others, date).await.expect_problem(401, "login-refused");
    login_with(&api, "tenpo-0042", "invented", date).await.expect_problem(401, "login-refused");
    let old = nonce(&api, "tenpo-0042").await;
    api.wait(TimeDelta::seconds(60));
    login_with(&api, "tenpo-0042", &old, date).await.expect_problem(401, "login-refused");

    assert_eq!(api.aws.state().sts_headers.len(), 1, "STS is not asked in vain");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn whoever_is_not_this_box_gets_no_session(db: PgPool) {
    let api = TestApi::new(db).await;
    let id = enrolled(&api, "tenpo-0042").await;
    let other = enrolled(&api, "tenpo-0001").await;
    let answers = [
        (identity("999999999999", "recehub-box", &id), 401),
        (identity(ACCOUNT, "recehub-api", &id), 401),
        (identity(ACCOUNT, "recehub-box", "someone"), 401),
        (identity(ACCOUNT, "recehub-box", &"f".repeat(64)), 401),
        (identity(ACCOUNT, "recehub-box", &other), 403),
        (StsAnswer { status: 403, ..identity(ACCOUNT, "recehub-box", &id) }, 401),
        (StsAnswer { status: 302, ..identity(ACCOUNT, "recehub-box", &id) }, 401),
        (StsAnswer { status: 500, body: Vec::new() }, 503),
    ];

    for (answer, status) in answers {
        let told = format!("{answer:?}");
        api.aws.state().sts_answer = Some(answer);
        let refused = login(&api, "tenpo-0042").await;
        assert_eq!(refused.status.as_u16(), status, "{told}");
    }
    let stale = nonce(&api, "tenpo-0042").await;
    login_with(&api, "tenpo-0042", &stale, "20261121T235400Z").await.expect_problem(401, "login-refused");

    assert_eq!(api.count("sessions").await, 0);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_certificate_that_aws_switched_off_before_its_first_login_is_refused(db: PgPool) {
    let api = TestApi::new(db).await;
    let id = enrolled(&api, "tenpo-0042").await;
    api.aws.state().certificates.get_mut(&id).unwrap().1 = false;
    api.aws.state().sts_answer = Some(identity(ACCOUNT, "recehub-box", &id));

    login(&api, "tenpo-0042").await.expect_problem(401, "login-refused");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn first_logins_are_let_through_as_fast_as_aws_takes_them(db: PgPool) {
    let api = TestApi::new(db).await;
    for number in 0..11 {
        let thing = format!("tenpo-{number:04}");
        let id = enrolled(&api, &thing).await;
        api.aws.state().sts_answer = Some(identity(ACCOUNT, "recehub-box", &id));
        let answer = login(&api, &thing).await;
        if number < 10 {
            answer.expect(200);
        } else {
            assert!(answer.headers.contains_key("retry-after"));
            answer.expect_problem(503, "unavailable");
        }
    }
    assert_eq!(api.aws.state().live_checks, 10);

    api.wait(TimeDelta::milliseconds(100));
    login(&api, "tenpo-0010").await.expect(200);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_login_holds_no_connection_while_iot_core_thinks(db: PgPool) {
    let api = TestApi::new(db).await;
    let id = enrolled(&api, "tenpo-0042").await;
    api.aws.state().sts_answer = Some(identity(ACCOUNT, "recehub-box", &id));
    let gate = api.aws.shut();

    let meanwhile = async {
        api.aws.someone_is_held().await;
        api.all_connections_are_idle().await;
        gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(login(&api, "tenpo-0042"), meanwhile);

    answer.expect(200);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_revoked_box_is_refused_at_its_next_request(db: PgPool) {
    let api = TestApi::new(db).await;
    let id = enrolled(&api, "tenpo-0042").await;
    api.aws.state().sts_answer = Some(identity(ACCOUNT, "recehub-box", &id));
    let session = login(&api, "tenpo-0042").await.expect(200);
    let token = session["token"].as_str().unwrap();
    let rx = Upload { thing: "tenpo-0042", path: "a", content: b"x", sequence: 1 };

    let revoked = api.post("/v1/devices/tenpo-0042/revoke", json!({"reason": "stolen"})).await.expect(200);

    assert_eq!(revoked["revoked"], json!([id]));
    rx.send(&api, token).await.expect_problem(401, "unauthenticated");
    login(&api, "tenpo-0042").await.expect_problem(401, "login-refused");
    assert!(!api.aws.state().certificates[&id].1, "AWS was told");
    assert!(api.aws.state().objects.is_empty());
    let device = api.get("/v1/devices/tenpo-0042").await.expect(200);
    assert_eq!(device["certificate"], "revoked");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_session_ends_after_an_hour(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let token = api.session("tenpo-0042", "t").await;
    let rx = Upload { thing: "tenpo-0042", path: "a", content: b"x", sequence: 1 };
    api.wait(TimeDelta::minutes(60));

    assert_eq!(rx.send(&api, &token).await.status, StatusCode::UNAUTHORIZED);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_share_password_is_sealed_to_the_box_or_refused(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0001").await;
    enrolled(&api, "tenpo-0042").await;
    let share = json!({"share": {"name": "rx", "user": "rece", "password": "himitsu-2026"}});

    let refused = api.put_lan("tenpo-0001", "192.168.10.20/24", share.clone()).await;
    let refused = refused.expect_problem(422, "unusable-fields");
    assert_eq!(refused["errors"][0]["field"], "share.password");
    let id = api.wish("tenpo-0042", "192.168.10.20/24", share).await;
    api.dispatch().await;

    let desired = api.aws.desired("tenpo-0042");
    assert!(desired["share"]["passwordSealed"].as_str().unwrap().len() > 64);
    let mut told = vec![desired.to_string(), api.change(&id).await.to_string()];
    told.push(api.get("/v1/audit").await.body.to_string());
    told.push(api.get("/v1/devices/tenpo-0042/lan").await.body.to_string());
    for table in ["lan_changes", "audit_entries"] {
        let dump = sqlx::AssertSqlSafe(format!("select jsonb_agg(to_jsonb(t)) from {table} t"));
        let dump: Value = sqlx::query_scalar(dump).fetch_one(&api.db).await.unwrap();
        told.push(dump.to_string());
    }
    assert!(told.iter().all(|text| !text.contains("himitsu")));
    assert!(!told[1].contains("passwordSealed") && !told[2].contains("passwordSealed"));
    assert!(!told[3].contains("passwordSealed") && !told[5].contains("passwordSealed"));
}
