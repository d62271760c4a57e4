//! Certificates that end: through us, though AWS is away; and in AWS, without us.

use chrono::TimeDelta;
use fleet_api::fleet::revocation;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    identity::{enrolled, identity, login},
    support::{ACCOUNT, TestApi, Upload},
};

const BOX: &str = "tenpo-0042";
const RX: Upload<'static> = Upload { thing: BOX, path: "a", content: b"x", sequence: 1 };

/// A box with a session: its certificate's id and the session's token.
async fn logged_in(api: &TestApi) -> (String, String) {
    let id = enrolled(api, BOX).await;
    api.aws.state().sts_answer = Some(identity(ACCOUNT, "recehub-box", &id));
    let session = login(api, BOX).await.expect(200);
    (id, session["token"].as_str().unwrap().to_owned())
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_revocation_holds_though_aws_is_down_and_is_told_later(db: PgPool) {
    let api = TestApi::new(db).await;
    let (id, token) = logged_in(&api).await;
    api.aws.state().down = true;

    let path = "/v1/devices/tenpo-0042/revoke";
    api.post(path, json!({"reason": "stolen"})).await.expect_problem(503, "unavailable");
    RX.send(&api, &token).await.expect_problem(401, "unauthenticated");
    assert_eq!(revocation::tell_pass(&api.fleet).await.unwrap(), 0);
    api.aws.state().down = false;
    assert_eq!(revocation::tell_pass(&api.fleet).await.unwrap(), 0, "it is put off");
    api.wait(TimeDelta::seconds(30));
    assert_eq!(revocation::tell_pass(&api.fleet).await.unwrap(), 1);

    assert!(!api.aws.state().certificates[&id].1);
    api.wait(TimeDelta::hours(1));
    assert_eq!(revocation::tell_pass(&api.fleet).await.unwrap(), 0, "once is enough");
    let audit = api.get("/v1/audit?thing=tenpo-0042").await.expect(200);
    let entry = audit["items"].as_array().unwrap().iter().find(|it| it["action"] == "device.revoked");
    assert_eq!(entry.unwrap()["reason"], "stolen");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn one_certificate_that_aws_does_not_take_keeps_no_other_good(db: PgPool) {
    let api = TestApi::new(db).await;
    let (id, _) = logged_in(&api).await;
    let other = "e".repeat(64);
    let more = "insert into certificates (certificate_id, thing, status, issued_at) values ($1, $2, 'active', now())";
    sqlx::query(more).bind(&other).bind(BOX).execute(&api.db).await.unwrap();
    api.aws.state().certificates.insert(other.clone(), (BOX.to_owned(), true));
    for (refused, taken) in [(&id, &other), (&other, &id)] {
        api.aws.state().irrevocable = [refused.clone()].into();
        api.aws.state().certificates.get_mut(taken).unwrap().1 = true;

        api.post("/v1/devices/tenpo-0042/revoke", Value::Null).await.expect_problem(503, "unavailable");

        assert!(!api.aws.state().certificates[taken].1);
    }
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_session_ends_when_its_certificate_is_switched_off_in_aws(db: PgPool) {
    let api = TestApi::new(db).await;
    let (id, token) = logged_in(&api).await;
    RX.send(&api, &token).await.expect(201);
    assert_eq!(revocation::sweep(&api.fleet).await.unwrap(), 0);
    api.aws.state().certificates.get_mut(&id).unwrap().1 = false;

    assert_eq!(revocation::sweep(&api.fleet).await.unwrap(), 1);

    RX.send(&api, &token).await.expect_problem(401, "unauthenticated");
    login(&api, BOX).await.expect_problem(401, "login-refused");
    assert_eq!(revocation::sweep(&api.fleet).await.unwrap(), 0, "it is told once");
    api.aws.state().certificates.get_mut(&id).unwrap().1 = true;
    login(&api, BOX).await.expect(200);
}
