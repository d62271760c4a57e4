//! People with a token of the company's identity provider, against a small one that signs real tokens.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Json, Router, http::Method, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fleet_api::{
    config::{OidcConfig, PaceConfig},
    fleet::oidc::Oidc,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::support::TestApi;

/// An identity provider with one key.
struct Issuer {
    url: String,
    key: KeyPair,
    asked: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Issuer {
    async fn start() -> Self {
        // As `main` does it; another test may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let (x, y) = key.der_bytes()[1..].split_at(32);
        let jwk = json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k1",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)});
        let keys = json!({"keys": [jwk]});
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(async move || Json(discovery)))
            .route(
                "/keys",
                get(async move || {
                    counted.fetch_add(1, Ordering::SeqCst);
                    Json(keys)
                }),
            );
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, key, asked, _serving: serving }
    }

    fn config(&self, roles: &[(&str, &str)]) -> OidcConfig {
        OidcConfig {
            issuer: self.url.parse().unwrap(),
            audience: "recehub".to_owned(),
            role_claim: "realm_access.roles".to_owned(),
            roles: roles.iter().map(|(role, scope)| ((*role).to_owned(), (*scope).to_owned())).collect(),
        }
    }

    /// A good token, with `more` over it.
    fn token(&self, kid: &str, more: &Value) -> String {
        let mut claims = json!({"iss": self.url, "aud": "recehub", "sub": "hanako",
            // The test's clock stands at 2026-11-22T00:00:00Z.
            "exp": 1_795_305_600_i64 + 600, "realm_access": {"roles": ["sre"]}});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
        let key = EncodingKey::from_ec_pem(self.key.serialize_pem().as_bytes()).unwrap();
        encode(&header, &claims, &key).unwrap()
    }
}

async fn api(db: PgPool, issuer: &Issuer) -> TestApi {
    let roles = [("sre", "admin"), ("auditors", "read"), ("pharmacists", "paths")];
    let oidc = Oidc::new(issuer.config(&roles)).unwrap();
    TestApi::with(db, PaceConfig::default(), Some(oidc)).await
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_token_of_the_identity_provider_lets_in_as_its_roles_say(db: PgPool) {
    let issuer = Issuer::start().await;
    let api = api(db, &issuer).await;
    let pharmacy = json!({"code": "P-1", "name": "はな薬局"});
    let with = |roles: Value| issuer.token("k1", &json!({"realm_access": {"roles": roles}}));
    let get = async |token: &str| api.call(Method::GET, "/v1/devices", token, Value::Null).await;

    let admin = with(json!(["other", "auditors", "sre"]));
    api.call(Method::POST, "/v1/pharmacies", &admin, pharmacy.clone()).await.expect(201);
    let log = api.get("/v1/audit").await.expect(200);
    let entry = log["items"].as_array().unwrap().iter().find(|it| it["action"] == "pharmacy.added").unwrap();
    assert_eq!((&entry["actor"], &entry["actorProof"]), (&json!("oidc:hanako"), &json!("oidc")));

    let auditor = with(json!(["auditors"]));
    get(&auditor).await.expect(200);
    api.call(Method::POST, "/v1/pharmacies", &auditor, pharmacy).await.expect_problem(403, "forbidden");
    let path = format!("/v1/uploads/{}/path", "0".repeat(64));
    api.call(Method::GET, &path, &admin, Value::Null).await.expect_problem(403, "forbidden");
    let pharmacist = with(json!(["pharmacists"]));
    api.call(Method::GET, &path, &pharmacist, Value::Null).await.expect_problem(404, "unknown-upload");
    for nobody in [json!(["guests", "admin"]), json!([]), json!(1)] {
        get(&with(nobody)).await.expect_problem(403, "forbidden");
    }
    api.get("/v1/devices").await.expect(200);
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1, "the keys are kept");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_token_that_is_not_for_us_or_not_of_now_or_forged_is_none(db: PgPool) {
    let (issuer, other) = (Issuer::start().await, Issuer::start().await);
    let api = api(db, &issuer).await;
    let now = api.now().timestamp();
    let get = async |token: &str| api.call(Method::GET, "/v1/devices", token, Value::Null).await;
    get(&issuer.token("k1", &json!({"exp": now - 30}))).await.expect(200);

    for (why, more) in [
        ("another audience", json!({"aud": "payroll"})),
        ("another issuer", json!({"iss": other.url})),
        ("over", json!({"exp": now - 61})),
        ("not yet", json!({"nbf": now + 61})),
        ("nobody", json!({"sub": ""})),
    ] {
        let refused = get(&issuer.token("k1", &more)).await;
        assert_eq!(refused.status, 401, "{why}");
    }
    let forged = Issuer { url: issuer.url.clone(), ..other };
    get(&forged.token("k1", &json!({}))).await.expect_problem(401, "unauthenticated");
    let unsigned = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"k1"}"#),
        issuer.token("k1", &json!({})).split('.').nth(1).unwrap()
    );
    get(&unsigned).await.expect_problem(401, "unauthenticated");
    // A key that nobody has is asked for once in a while, not for each token.
    for _ in 0..5 {
        get(&issuer.token("k2", &json!({}))).await.expect_problem(401, "unauthenticated");
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn without_an_identity_provider_nobody_comes_in_and_our_own_tokens_do(db: PgPool) {
    let issuer = Issuer::start().await;
    let mut config = issuer.config(&[]);
    // Nobody listens there.
    config.issuer = "http://127.0.0.1:1".parse().unwrap();
    let oidc = Some(Oidc::new(config).unwrap());
    let api = TestApi::with(db, PaceConfig::default(), oidc).await;

    let refused = api.call(Method::GET, "/v1/devices", &issuer.token("k1", &json!({})), Value::Null).await;
    refused.expect_problem(503, "unavailable");
    api.get("/v1/devices").await.expect(200);
}
