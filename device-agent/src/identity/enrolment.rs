//! How a box becomes one of the fleet: it makes its keys and a signing request, and trades a one-time
//! code for a certificate. Keys survive a failed call and serve the next one.

use std::{fs, path::Path, time::Duration};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use device_model::enrolment::{EnrollAnswer, EnrollRequest, SEALING_KEY_CONTEXT, SealingKey};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey};

use crate::{
    clock::Clock,
    config::Enrolment,
    durable,
    failure::Failure,
    identity::{self, IdentityFiles, sealing},
};

const CALL_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Enrolled {
        certificate_id: String,
    },
    /// A certificate for this box's key is there; the code was not used.
    AlreadyEnrolled,
}

/// Enrols the box by its one-time code.
pub async fn enroll(config: &Enrolment, code: &str) -> anyhow::Result<Outcome> {
    let home = &config.home;
    fs::create_dir_all(&home.state_dir)
        .with_context(|| format!("the state directory {} cannot be made", home.state_dir.display()))?;
    let files = IdentityFiles::of(home);
    let key = device_key(&files.key)?;
    if files.certificate.exists() {
        let there = fs::read_to_string(&files.certificate)?;
        check_certificate(&there, &key, home.thing.as_str()).with_context(|| {
            format!("{} is there but of no use; move it away to enrol anew", files.certificate.display())
        })?;
        return Ok(Outcome::AlreadyEnrolled);
    }
    let sealing_key = sealing::SealingKey::load_or_make(&files.sealing_key)?;
    let request = EnrollRequest {
        thing: home.thing.clone(),
        code: code.to_owned(),
        csr: signing_request(home.thing.as_str(), &key)?,
        sealing_key: Some(vouch(&key, &sealing_key)?),
    };
    let answer = call(config, &request).await?;
    anyhow::ensure!(answer.thing == home.thing, "the answer is for {}", answer.thing);
    check_certificate(&answer.certificate_pem, &key, home.thing.as_str())
        .context("the certificate that was issued is of no use")?;
    durable::replace(&files.certificate, answer.certificate_pem.as_bytes())?;
    Ok(Outcome::Enrolled { certificate_id: answer.certificate_id })
}

async fn call(config: &Enrolment, request: &EnrollRequest) -> anyhow::Result<EnrollAnswer> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(identity::anonymous_tls(config.ca_file.as_deref(), &Clock::system())?)
        .timeout(CALL_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?;
    let url = config.fleet_api.join("/v1/device/enroll")?;
    let answer = client.post(url).json(request).send().await.map_err(Failure::from)?;
    let status = answer.status();
    if !status.is_success() {
        let problem: serde_json::Value = answer.json().await.unwrap_or_default();
        let why = problem["detail"].as_str().or(problem["title"].as_str()).unwrap_or("no reason given");
        anyhow::bail!("the fleet API did not take the code: {status}: {why}");
    }
    Ok(answer.json().await.map_err(Failure::from)?)
}

/// The box's key, made at the first call.
fn device_key(path: &Path) -> anyhow::Result<KeyPair> {
    if path.exists() {
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        return KeyPair::from_pem(&text).with_context(|| format!("{} holds no key", path.display()));
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    durable::replace(path, key.serialize_pem().as_bytes())
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(key)
}

fn signing_request(thing: &str, key: &KeyPair) -> anyhow::Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, thing);
    Ok(params.serialize_request(key)?.pem()?)
}

/// The sealing key, signed by the certificate's key so that nobody can put another in its place.
fn vouch(key: &KeyPair, sealing: &sealing::SealingKey) -> anyhow::Result<SealingKey> {
    let public = sealing.public_key();
    let signature = key.sign(&[SEALING_KEY_CONTEXT, &public].concat())?;
    Ok(SealingKey { public_key: STANDARD.encode(&public), signature: STANDARD.encode(signature) })
}

fn check_certificate(pem: &str, key: &KeyPair, thing: &str) -> anyhow::Result<()> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let der = CertificateDer::from_pem_slice(pem.as_bytes())?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&der)?;
    anyhow::ensure!(
        parsed.public_key().subject_public_key.data == key.public_key_raw(),
        "it is of another key"
    );
    let name = identity::common_name(&der).map_err(anyhow::Error::msg)?;
    anyhow::ensure!(name == thing, "it is of another thing");
    Ok(())
}
