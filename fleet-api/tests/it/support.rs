//! An API with a database of its own, AWS in memory and a clock that stands still.

pub mod aws;

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
    response::Response,
};
use chrono::{DateTime, TimeDelta, Utc};
use device_model::upload::{
    ContentHash, DIGEST_HEADER, OBSERVED_AT_HEADER, PATH_HEADER, SEQUENCE_HEADER, UploadId,
};
use fleet_api::{
    clock::Clock,
    config::{EventsConfig, LoginConfig, PaceConfig},
    fleet::{
        Fleet, Parts, Rules,
        actor::Actor,
        audit::{Audit, chain::Chainer, keys::Keys},
        collect, dispatch,
        oidc::Oidc,
        sealing::PathKeys,
        tokens::{self, Scope, Scopes},
    },
    router,
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt;

pub use aws::FakeAws;

pub const ACCOUNT: &str = "123456789012";
pub const DESTINATION: &str = "arn:aws:iot:ap-northeast-1:123456789012:ruledestination/http/1";
pub const EVENTS_SECRET: &str = "events-secret";

/// How long the test's own tokens are good: longer than any change lives.
pub const TOKEN_LIFETIME: TimeDelta = TimeDelta::days(1000);

/// A clock that goes only when told.
pub struct StillClock(Mutex<DateTime<Utc>>);

impl Clock for StillClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

pub struct TestApi {
    pub fleet: Fleet,
    pub aws: FakeAws,
    pub db: PgPool,
    clock: Arc<StillClock>,
    app: Router,
    pub admin: String,
    pub changer: String,
    pub reader: String,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: Value,
}

impl TestApi {
    pub async fn new(db: PgPool) -> Self {
        let many = std::num::NonZeroU32::new(100_000).unwrap();
        Self::with(db, PaceConfig { per_token: many, per_box: many }, None).await
    }

    pub async fn with(db: PgPool, pace: PaceConfig, oidc: Option<Oidc>) -> Self {
        let aws = FakeAws::default();
        let clock = Arc::new(StillClock(Mutex::new("2026-11-22T00:00:00Z".parse().unwrap())));
        let fleet = Fleet::new(Parts {
            db: db.clone(),
            clock: clock.clone(),
            shadows: Arc::new(aws.clone()),
            things: Arc::new(aws.clone()),
            sts: Arc::new(aws.clone()),
            bucket: Arc::new(aws.clone()),
            oidc,
            rules: Rules {
                login: LoginConfig {
                    server_id: "recehub-test".to_owned(),
                    sts_url: "http://127.0.0.1:4566".parse().unwrap(),
                    region: "ap-northeast-1".to_owned(),
                    account: ACCOUNT.to_owned(),
                    role: "recehub-box".to_owned(),
                },
                box_policy: "recehub-box".to_owned(),
                events: EventsConfig {
                    secret: EVENTS_SECRET.to_owned(),
                    destination_arn: DESTINATION.to_owned(),
                },
                reserved: device_model::lan::ReservedRanges::default(),
                change_lifetime: std::time::Duration::from_hours(14 * 24),
                path_keys: PathKeys::derive(&[7; 32]),
                pace,
            },
            audit: Audit {
                keys: Keys::new(&[5; 32], &[]).unwrap(),
                checkpoints: Arc::new(aws.clone()),
                checkpoint_every: TimeDelta::minutes(5),
                retention: TimeDelta::days(5 * 366),
            },
            nudge: tokio::sync::Notify::new(),
        });
        let token = async |name: &str, scope| {
            tokens::create(&db, name, scope, TOKEN_LIFETIME, &Actor::cli(), clock.now()).await.unwrap()
        };
        Self {
            admin: token("admin", Scope::Admin).await,
            changer: token("changer", Scope::Change).await,
            reader: token("reader", Scope::Read).await,
            app: router::router(fleet.clone(), Router::new()),
            fleet,
            aws,
            clock,
            db,
        }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// A token with these scopes.
    pub async fn token(&self, name: &str, scopes: &str) -> String {
        let (scopes, days) = (Scopes::parse(scopes).unwrap(), TimeDelta::days(1));
        tokens::create(&self.db, name, scopes, days, &Actor::cli(), self.now()).await.unwrap()
    }

    pub fn wait(&self, time: TimeDelta) {
        *self.clock.0.lock().unwrap() += time;
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response: Response = self.app.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, headers, body }
    }

    /// What the answer begins with: some bodies never end.
    pub async fn head(&self, request: Request<Body>) -> Answer {
        let response: Response = self.app.clone().oneshot(request).await.unwrap();
        Answer { status: response.status(), headers: response.headers().clone(), body: Value::Null }
    }

    /// The answer as it comes.
    pub async fn stream(&self, request: Request<Body>) -> Response {
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// A request with a token; no body if it is null.
    pub async fn call(&self, method: Method, path: &str, token: &str, body: Value) -> Answer {
        self.send(request(method, path, Some(token), &body)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &self.reader, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, &self.admin, body).await
    }

    /// Makes a thing that stands in a pharmacy of its own, and answers its enrolment code.
    pub async fn register(&self, thing: &str) -> String {
        let code = format!("P-{thing}");
        self.post("/v1/pharmacies", json!({"code": code, "name": "はな薬局"})).await.expect(201);
        let made = self.post("/v1/devices", json!({"thing": thing, "pharmacy": code})).await.expect(201);
        made["enrolmentCode"].as_str().unwrap().to_owned()
    }

    /// A static address for the thing; `more` is merged into the body.
    pub async fn put_lan(&self, thing: &str, address: &str, more: Value) -> Answer {
        let mut body = json!({"lan": {"mode": "static", "address": address}, "reason": "new router"});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        self.call(Method::PUT, &format!("/v1/devices/{thing}/lan"), &self.changer, body).await
    }

    /// As `put_lan`, and answers the change's id.
    pub async fn wish(&self, thing: &str, address: &str, more: Value) -> String {
        let accepted = self.put_lan(thing, address, more).await.expect(202);
        accepted["changeId"].as_str().unwrap().to_owned()
    }

    pub async fn dispatch(&self) -> usize {
        dispatch::pass(&self.fleet).await.unwrap().carried
    }

    /// Gives every entry its place in the audit log, as a process does that has just begun; answers how many
    /// that were.
    pub async fn chain(&self) -> usize {
        self.fleet.chain_audit(&mut Chainer::default()).await.unwrap()
    }

    pub async fn collect(&self) {
        collect::pass(&self.fleet).await.unwrap();
    }

    pub async fn change(&self, id: &str) -> Value {
        self.get(&format!("/v1/changes/{id}")).await.expect(200)
    }

    pub async fn state(&self, id: &str) -> String {
        self.change(id).await["state"].as_str().unwrap().to_owned()
    }

    /// The states of a change's timeline.
    pub async fn steps(&self, id: &str) -> Vec<String> {
        let change = self.change(id).await;
        let steps = change["timeline"].as_array().unwrap().iter();
        steps.map(|step| step["state"].as_str().unwrap().to_owned()).collect()
    }

    /// A certificate and a session for the thing, and its bearer token.
    pub async fn session(&self, thing: &str, token: &str) -> String {
        let id = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(thing));
        let certificate = "insert into certificates (certificate_id, thing, status, issued_at, confirmed_at)
                           values ($1, $2, 'active', $3, $3) on conflict do nothing";
        let now = self.clock.now();
        sqlx::query(certificate).bind(&id).bind(thing).bind(now).execute(&self.db).await.unwrap();
        let session = "insert into sessions (token_hash, thing, certificate_id, created_at, expires_at)
                       values ($1, $2, $3, $4, $5)";
        let hash = <sha2::Sha256 as sha2::Digest>::digest(token).to_vec();
        let session = sqlx::query(session).bind(hash).bind(thing).bind(&id).bind(now);
        session.bind(now + TimeDelta::minutes(15)).execute(&self.db).await.unwrap();
        self.aws.state().certificates.insert(id, (thing.to_owned(), true));
        token.to_owned()
    }

    /// Waits until no connection is in use; one that was given back takes a moment.
    pub async fn all_connections_are_idle(&self) {
        let idle = async {
            while self.db.num_idle() < self.db.size() as usize {
                tokio::task::yield_now().await;
            }
        };
        let idle = tokio::time::timeout(std::time::Duration::from_secs(30), idle).await;
        idle.expect("somebody holds a connection");
    }

    pub async fn count(&self, table: &str) -> i64 {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(count).fetch_one(&self.db).await.unwrap()
    }
}

pub fn request(method: Method, path: &str, token: Option<&str>, body: &Value) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if body.is_null() {
        return request.body(Body::empty()).unwrap();
    }
    let request = request.header(header::CONTENT_TYPE, "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

/// A prescription as a box sends it.
pub struct Upload<'a> {
    pub thing: &'a str,
    pub path: &'a str,
    pub content: &'a [u8],
    pub sequence: u64,
}

impl Upload<'_> {
    pub fn id(&self) -> UploadId {
        let thing = self.thing.parse().unwrap();
        UploadId::of(&thing, self.path.as_bytes(), ContentHash::of(self.content))
    }

    pub fn request(&self, token: &str) -> axum::http::request::Builder {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        Request::builder()
            .method(Method::PUT)
            .uri(format!("/v1/uploads/{}", self.id()))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_LENGTH, self.content.len())
            .header(DIGEST_HEADER, ContentHash::of(self.content).to_digest_header())
            .header(PATH_HEADER, URL_SAFE_NO_PAD.encode(self.path))
            .header(OBSERVED_AT_HEADER, "2026-11-21T23:59:00Z")
            .header(SEQUENCE_HEADER, self.sequence)
    }

    pub async fn send(&self, api: &TestApi, token: &str) -> Answer {
        api.send(self.request(token).body(Body::from(self.content.to_vec())).unwrap()).await
    }
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    #[track_caller]
    pub fn expect_problem(self, status: u16, name: &str) -> Value {
        let kind = self.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        assert_eq!(kind, "application/problem+json");
        let body = self.expect(status);
        assert_eq!(body["type"], format!("urn:recehub:problem:{name}"));
        body
    }
}

/// What a box that runs `address` reports.
pub fn reported(address: &str, trial: &Value, verdicts: &Value) -> Value {
    json!({"schema": 1, "agentVersion": "0.1.0", "schemas": [1],
        "lan": {"mode": "static", "address": address}, "probe": {"share": "required"},
        "trial": trial, "verdicts": verdicts})
}

pub fn trial(id: &str) -> Value {
    json!({"changeId": id, "phase": "trying", "attempt": 1, "since": "2026-11-21T21:00:00Z"})
}

pub fn verdict(id: &str, verdict: &str, code: &Value) -> Value {
    json!({"changeId": id, "verdict": verdict, "code": code, "at": "2026-11-21T21:00:05Z", "clock": "estimated"})
}
