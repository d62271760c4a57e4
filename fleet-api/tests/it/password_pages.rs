//! The page that gives a share a new password: shown once, to whoever asked for it in Slack.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use device_model::change::ChangeState;
use fleet_api::{
    fleet::{actor::Actor, approval::Approved},
    slack::password_pages::PasswordPages,
};
use http_body_util::BodyExt;
use serde_json::json;
use slack_app::{
    fleet::PasswordPage,
    i18n::Lang,
    model::{Refusal, SlackUser},
};
use sqlx::PgPool;
use tower::ServiceExt;

use crate::support::TestApi;

struct Browser {
    pages: PasswordPages,
    path: String,
    cookie: Option<String>,
}

struct Seen {
    status: StatusCode,
    no_store: bool,
    html: String,
}

impl Browser {
    fn new(pages: &PasswordPages, page: &PasswordPage) -> Self {
        Self { pages: pages.clone(), path: format!("/password/{}", page.id), cookie: None }
    }

    async fn send(&mut self, method: &str) -> Seen {
        let mut request = Request::builder().method(method).uri(&self.path);
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let answer = self.pages.routes().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        if let Some(set) = answer.headers().get("set-cookie") {
            let set = set.to_str().unwrap();
            assert!(
                set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Secure"),
                "{set}"
            );
            self.cookie = Some(set.split(';').next().unwrap().to_owned());
        }
        let no_store = answer.headers()["cache-control"] == "no-store";
        let status = answer.status();
        let html =
            String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Seen { status, no_store, html }
    }
}

fn user(id: &str) -> SlackUser {
    SlackUser { team_id: "T1".to_owned(), user_id: id.to_owned() }
}

/// A box that hosts its share and can be sent a password.
async fn pages(api: &TestApi) -> PasswordPages {
    pages_with(api, "none").await
}

async fn pages_with(api: &TestApi, approval: &str) -> PasswordPages {
    api.register("tenpo-1").await;
    let reported = json!({"schema": 1, "agentVersion": "1.0.0", "schemas": [1], "lan": {"mode": "dhcp"},
        "share": {"name": "rx", "user": "rece", "workgroup": "WORKGROUP"}});
    sqlx::query("update things set reported = $1, reported_version = 1, reported_at = now()")
        .bind(reported)
        .execute(&api.db)
        .await
        .unwrap();
    sqlx::query(
        "insert into certificates (certificate_id, thing, status, sealing_key, issued_at)
         values (repeat('ab', 32), 'tenpo-1', 'active', $1, now())",
    )
    .bind(vec![9_u8; 32])
    .execute(&api.db)
    .await
    .unwrap();
    let approval = Arc::new(approval.parse().unwrap());
    PasswordPages::new(api.fleet.clone(), "https://recehub.example.com".to_owned(), approval)
}

fn number(seen: &Seen) -> String {
    let after =
        seen.html.split("class=\"big\">").nth(1).unwrap_or_else(|| panic!("no number: {}", seen.html));
    after.split('<').next().unwrap().to_owned()
}

async fn make(pages: &PasswordPages) -> PasswordPage {
    pages.make(&user("U1"), &"tenpo-1".parse().unwrap(), Lang::Ja).await.unwrap()
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_new_password_is_shown_once_and_kept_nowhere(db: PgPool) {
    let api = TestApi::new(db).await;
    let pages = pages(&api).await;
    let page = make(&pages).await;
    let mut browser = Browser::new(&pages, &page);

    let first = browser.send("GET").await;
    let early = browser.send("POST").await;
    assert!(first.no_store && first.html.contains("http-equiv=\"refresh\""));
    assert_eq!(early.status, StatusCode::GONE, "nothing before the number was said");
    assert!(pages.confirm(&user("U1"), &page.id, &number(&first)).await.unwrap());
    assert!(browser.send("GET").await.html.contains("<form method=\"post\">"));
    let shown = browser.send("POST").await;

    assert!(shown.no_store && shown.html.contains("rece"), "{}", shown.html);
    let password = number(&shown);
    assert_eq!(password.len(), 16);
    assert_eq!(browser.send("POST").await.status, StatusCode::GONE);
    assert_eq!(browser.send("GET").await.status, StatusCode::GONE);
    assert_eq!(api.count("lan_changes").await, 1);
    let plain: i64 = sqlx::query_scalar(
        "select (select count(*) from lan_changes c where c::text like '%' || $1 || '%')
              + (select count(*) from audit_entries a where a::text like '%' || $1 || '%')
              + (select count(*) from password_pages p where p::text like '%' || $1 || '%')",
    )
    .bind(&password)
    .fetch_one(&api.db)
    .await
    .unwrap();
    assert_eq!(plain, 0, "the password stands somewhere in plain");
    let actions: Vec<String> =
        sqlx::query_scalar("select action from audit_entries where action like 'share.%' order by 1")
            .fetch_all(&api.db)
            .await
            .unwrap();
    assert_eq!(actions, ["share.password_page", "share.password_shown"]);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_password_that_needs_approval_waits_for_somebody_else(db: PgPool) {
    let api = TestApi::new(db).await;
    let pages = pages_with(&api, "all").await;
    let page = make(&pages).await;
    let mut browser = Browser::new(&pages, &page);
    let first = browser.send("GET").await;
    assert!(pages.confirm(&user("U1"), &page.id, &number(&first)).await.unwrap());

    let shown = browser.send("POST").await;

    assert!(shown.html.contains("承認"), "{}", shown.html);
    let change: String =
        sqlx::query_scalar("select change_id from lan_changes").fetch_one(&api.db).await.unwrap();
    let change = change.parse().unwrap();
    let waiting = api.fleet.change(&change).await.unwrap();
    assert_eq!(waiting.state, ChangeState::Scheduled);
    assert!(matches!(api.fleet.approve_change(&change, &Actor::slack("U1")).await.unwrap(), Approved::Own));
    assert!(matches!(api.fleet.approve_change(&change, &Actor::slack("U2")).await.unwrap(), Approved::Now));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn only_whoever_asked_can_say_the_number_and_only_a_few_times(db: PgPool) {
    let api = TestApi::new(db).await;
    let pages = pages(&api).await;
    let page = make(&pages).await;
    let mut browser = Browser::new(&pages, &page);
    let right = number(&browser.send("GET").await);

    let other = pages.confirm(&user("U2"), &page.id, &right).await;
    assert!(matches!(other, Err(Refusal::PageGone)));
    for _ in 0..3 {
        assert!(!pages.confirm(&user("U1"), &page.id, "7").await.unwrap());
    }
    assert!(matches!(pages.confirm(&user("U1"), &page.id, &right).await, Err(Refusal::PageGone)));
    assert_eq!(browser.send("GET").await.status, StatusCode::GONE);
    assert_eq!(api.count("lan_changes").await, 0);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn another_browser_and_a_late_one_see_nothing(db: PgPool) {
    let api = TestApi::new(db).await;
    let pages = pages(&api).await;
    let page = make(&pages).await;
    let (mut first, mut other) = (Browser::new(&pages, &page), Browser::new(&pages, &page));
    let right = number(&first.send("GET").await);

    assert_eq!(other.send("GET").await.status, StatusCode::GONE);
    pages.confirm(&user("U1"), &page.id, &right).await.unwrap();
    assert_eq!(other.send("POST").await.status, StatusCode::GONE);
    sqlx::query("update password_pages set expires_at = created_at").execute(&api.db).await.unwrap();
    assert_eq!(first.send("POST").await.status, StatusCode::GONE);
    assert_eq!(api.count("lan_changes").await, 0);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_page_whose_change_cannot_be_made_says_why_and_may_be_tried_again(db: PgPool) {
    let api = TestApi::new(db).await;
    let pages = pages(&api).await;
    let page = make(&pages).await;
    let mut browser = Browser::new(&pages, &page);
    let right = number(&browser.send("GET").await);
    pages.confirm(&user("U1"), &page.id, &right).await.unwrap();
    api.wish("tenpo-1", "192.168.10.9/24", json!({})).await;

    let refused = browser.send("POST").await;

    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.html.contains("完了していない変更"), "{}", refused.html);
    assert!(browser.send("GET").await.html.contains("<form method=\"post\">"), "it is not used up");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_that_takes_no_password_gets_no_page(db: PgPool) {
    let api = TestApi::new(db).await;
    let pages = pages(&api).await;
    sqlx::query("update certificates set sealing_key = null").execute(&api.db).await.unwrap();

    let refused = pages.make(&user("U1"), &"tenpo-1".parse().unwrap(), Lang::Ja).await;

    assert!(matches!(refused, Err(Refusal::NoSealingKey)));
}
