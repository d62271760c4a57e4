//! Enrolment against a server that issues certificates from the box's own request.

use std::{
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use base64::{Engine, engine::general_purpose::STANDARD};
use device_agent::{
    clock::Clock,
    config::{Enrolment, Home},
    identity::{
        Identity, IdentityError, IdentityFiles,
        enrolment::{Outcome, enroll},
    },
};
use device_model::enrolment::{EnrollAnswer, EnrollRequest, SEALING_KEY_CONTEXT};
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};

/// Refuses the first call, issues at the second.
#[derive(Clone)]
struct Issuing {
    issuer: Arc<Issuer<'static, KeyPair>>,
    calls: Arc<AtomicUsize>,
}

async fn issue(
    State(server): State<Issuing>,
    Json(request): Json<EnrollRequest>,
) -> Result<Json<EnrollAnswer>, StatusCode> {
    if server.calls.fetch_add(1, Ordering::SeqCst) == 0 {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let csr = CertificateSigningRequestParams::from_pem(&request.csr).unwrap();
    let sealing = request.sealing_key.unwrap();
    let public = STANDARD.decode(sealing.public_key).unwrap();
    let signed = [SEALING_KEY_CONTEXT, &public].concat();
    let key = rcgen::PublicKeyData::der_bytes(&csr.public_key);
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
        .verify(&signed, &STANDARD.decode(sealing.signature).unwrap())
        .unwrap();
    let certificate = csr.signed_by(&server.issuer).unwrap();
    Ok(Json(EnrollAnswer {
        thing: request.thing,
        certificate_id: "ab".repeat(32),
        certificate_pem: certificate.pem(),
    }))
}

pub struct Bed {
    state: TempDir,
    pub config: Enrolment,
    pub ca_pem: String,
    issuer: Arc<Issuer<'static, KeyPair>>,
    _server: JoinSet<()>,
}

impl Bed {
    /// A certificate for `localhost` and its key, of the same CA.
    pub fn server_certificate(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// A box that has its certificate.
pub async fn enrolled_box() -> Bed {
    let bed = bed().await;
    drop(enroll(&bed.config, "code").await);
    enroll(&bed.config, "code").await.unwrap();
    bed
}

async fn bed() -> Bed {
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = ca.clone().self_signed(&key).unwrap().pem();
    let server = Issuing { issuer: Arc::new(Issuer::new(ca, key)), calls: Arc::default() };
    let issuer = Arc::clone(&server.issuer);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fleet_api = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let router = Router::new().route("/v1/device/enroll", post(issue)).with_state(server);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let state = tempfile::tempdir().unwrap();
    let ca_file = state.path().join("ca.pem");
    device_agent::durable::replace(&ca_file, pem.as_bytes()).unwrap();
    let config = Enrolment {
        home: Home { thing: "tenpo-0001".parse().unwrap(), state_dir: state.path().join("state") },
        fleet_api,
        ca_file: Some(ca_file),
    };
    Bed { state, config, ca_pem: pem, issuer, _server: tasks }
}

#[tokio::test]
async fn a_box_is_enrolled_once_with_the_keys_it_made_at_the_first_try() {
    let bed = bed().await;
    let files = IdentityFiles::of(&bed.config.home);

    let refused = enroll(&bed.config, "code").await;
    let key = std::fs::read(&files.key).unwrap();
    let enrolled = enroll(&bed.config, "code").await.unwrap();
    let again = enroll(&bed.config, "code").await.unwrap();

    assert!(refused.unwrap_err().to_string().contains("503"));
    assert_eq!(std::fs::read(&files.key).unwrap(), key);
    assert!(matches!(enrolled, Outcome::Enrolled { .. }));
    assert_eq!(again, Outcome::AlreadyEnrolled);
    for file in [&files.key, &files.certificate, &files.sealing_key] {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let ca_file = bed.config.ca_file.clone().unwrap();
    Identity::load(&bed.config.home, &ca_file, &Clock::system()).unwrap();
}

#[tokio::test]
async fn an_identity_that_does_not_fit_is_told_in_words() {
    let bed = bed().await;
    let files = IdentityFiles::of(&bed.config.home);
    let ca_file = bed.config.ca_file.clone().unwrap();
    let missing = Identity::load(&bed.config.home, &ca_file, &Clock::system());
    drop(enroll(&bed.config, "code").await);
    enroll(&bed.config, "code").await.unwrap();

    let other = KeyPair::generate().unwrap();
    device_agent::durable::replace(&files.key, other.serialize_pem().as_bytes()).unwrap();
    let mismatched = Identity::load(&bed.config.home, &ca_file, &Clock::system());
    let elsewhere = Home { thing: "tenpo-0002".parse().unwrap(), ..bed.config.home.clone() };
    let stranger = Identity::load(&elsewhere, &ca_file, &Clock::system());
    let no_ca = Identity::load(&bed.config.home, &bed.state.path().join("none.pem"), &Clock::system());

    assert!(matches!(missing, Err(IdentityError::NotEnrolled(_))));
    assert!(matches!(mismatched, Err(IdentityError::KeyOfAnother(..))));
    assert!(matches!(stranger, Err(IdentityError::OtherThing { .. })));
    assert!(matches!(no_ca, Err(IdentityError::Unreadable { .. })));
    assert!(enroll(&bed.config, "code").await.is_err(), "a certificate of another key is no enrolment");
}
