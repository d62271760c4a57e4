//! A box played by hand: its certificate and key, and the contracts as written, without the agent.

use std::{fs, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use chrono::{DateTime, Utc};
use device_model::{
    login,
    upload::{ContentHash, UploadId},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use testbed::{Testbed, boxes::RecehubBox};

/// Whoever claims to be a box.
pub struct BoxClient<'a> {
    pub bed: &'a Testbed,
    pub thing: String,
    /// The fleet API that it turns to.
    pub door: String,
    tls: reqwest::Client,
}

/// A login that can still be spoilt.
#[derive(Clone)]
pub struct Login {
    pub body: Value,
}

impl<'a> BoxClient<'a> {
    /// With the certificate of a box.
    pub fn of(bed: &'a Testbed, one: &RecehubBox) -> Self {
        let certificate = fs::read(one.certificate_file()).unwrap();
        let key = fs::read(one.key_file()).unwrap();
        Self::with(bed, &one.thing, Some((&certificate, &key)))
    }

    /// With some other certificate, or with none.
    pub fn with(bed: &'a Testbed, thing: &str, identity: Option<(&[u8], &[u8])>) -> Self {
        let (thing, door) = (thing.to_owned(), bed.fleet_api.clone());
        Self { bed, thing, door, tls: tls_client(bed, identity) }
    }

    /// Short-lived credentials from the credentials provider, asked for as `thing`.
    pub async fn credentials(&self, thing: &str) -> Result<Credentials> {
        let cloud = &self.bed.cloud;
        let alias = cloud.output("RoleAlias")?;
        let url = format!("{}/role-aliases/{alias}/credentials", cloud.credential_provider);
        let response = self.tls.get(url).header("x-amzn-iot-thingname", thing).send().await?;
        ensure!(response.status().is_success(), "credentials provider answered {}", response.status());
        let answer: Value = response.json().await?;
        let field =
            |name: &str| answer["credentials"][name].as_str().map(str::to_owned).context("no such field");
        let token = Some(field("sessionToken")?);
        Ok(Credentials::new(field("accessKeyId")?, field("secretAccessKey")?, token, None, "provider"))
    }

    /// A nonce and the cloud's clock.
    pub async fn nonce(&self) -> Result<(String, DateTime<Utc>)> {
        let answer = self.call("/v1/device/nonce", &json!({"thing": self.thing})).await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        Ok((
            answer["nonce"].as_str().context("no nonce")?.to_owned(),
            answer["now"].as_str().context("no now")?.parse()?,
        ))
    }

    /// A signed login, ready to be sent, or to be spoilt.
    pub async fn prepare_login(&self) -> Result<Login> {
        let credentials = self.credentials(&self.thing).await?;
        let (nonce, now) = self.nonce().await?;
        self.sign(&credentials, &nonce, now, &self.thing)
    }

    pub fn sign(
        &self,
        credentials: &Credentials,
        nonce: &str,
        at: DateTime<Utc>,
        thing: &str,
    ) -> Result<Login> {
        let cloud = &self.bed.cloud;
        let headers = [
            ("content-type", login::CONTENT_TYPE),
            ("host", cloud.sts_host()),
            (login::NONCE_HEADER, nonce),
            (login::SERVER_ID_HEADER, &self.bed.secrets.server_id),
            (login::THING_HEADER, thing),
        ];
        let identity = credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&cloud.region)
            .name("sts")
            .time(at.into())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let url = format!("{}/", cloud.endpoint);
        let body = SignableBody::Bytes(login::BODY.as_bytes());
        let request = SignableRequest::new("POST", url, headers.into_iter(), body)?;
        let signature = sign(request, &parameters)?.signature().to_owned();
        let body = json!({"thing": thing, "nonce": nonce, "accessKeyId": credentials.access_key_id(),
            "amzDate": at.format(login::AMZ_DATE_FORMAT).to_string(),
            "sessionToken": credentials.session_token(), "signature": signature});
        Ok(Login { body })
    }

    pub async fn send(&self, login: &Login) -> Result<reqwest::Response> {
        self.call("/v1/device/login", &login.body).await
    }

    /// Logs in as contracted and gives the bearer token.
    pub async fn log_in(&self) -> Result<String> {
        let login = self.prepare_login().await?;
        let response = self.send(&login).await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "login answered {status}: {text}");
        let answer: Value = serde_json::from_str(&text)?;
        Ok(answer["token"].as_str().context("no token")?.to_owned())
    }

    /// A PUT as contracted, for a path and a content; what it claims can be altered before it is sent.
    pub fn upload(&self, token: &str, path: &[u8], content: &[u8]) -> reqwest::RequestBuilder {
        let hash = ContentHash::of(content);
        let id = UploadId::of(&self.thing.parse().unwrap(), path, hash);
        self.upload_as(token, &id.to_string(), path, &hash.to_digest_header(), content)
    }

    pub fn upload_as(
        &self,
        token: &str,
        id: &str,
        path: &[u8],
        digest: &str,
        content: &[u8],
    ) -> reqwest::RequestBuilder {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        self.bed
            .api
            .http()
            .put(format!("{}/v1/uploads/{id}", self.door))
            .bearer_auth(token)
            .header("content-digest", digest)
            .header("x-recehub-path", URL_SAFE_NO_PAD.encode(path))
            .header("x-recehub-observed-at", "2026-11-22T00:00:00Z")
            .header("x-recehub-sequence", "1000000")
            .body(content.to_vec())
    }

    async fn call(&self, path: &str, body: &Value) -> Result<reqwest::Response> {
        Ok(self.bed.api.http().post(format!("{}{path}", self.door)).json(body).send().await?)
    }
}

/// TLS as a box speaks it: it trusts the cloud's authority only.
pub fn tls_config(bed: &Testbed, identity: Option<(&[u8], &[u8])>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&bed.cloud.ca_file).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().unwrap();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key).unwrap()).unwrap()
        }
    }
}

fn tls_client(bed: &Testbed, identity: Option<(&[u8], &[u8])>) -> reqwest::Client {
    let config = tls_config(bed, identity);
    let builder = reqwest::Client::builder().tls_backend_preconfigured(config);
    builder.timeout(Duration::from_secs(20)).build().unwrap()
}
