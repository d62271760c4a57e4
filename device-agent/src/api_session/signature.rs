//! The signature of a login: `SigV4` over a `GetCallerIdentity` that the fleet API rebuilds and sends.

use std::time::SystemTime;

use aws_credential_types::Credentials as AwsCredentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use chrono::{DateTime, Utc};
use device_model::{
    login::{self, LoginRequest},
    thing_name::ThingName,
};

use crate::credentials::Credentials;

/// Where and to whom the login is addressed.
#[derive(Debug, Clone)]
pub struct Audience {
    /// STS's authority, with its port unless it is the usual one.
    pub sts_host: String,
    pub region: String,
    pub server_id: String,
}

/// Signs in for `thing` at `now`, the cloud's time.
pub fn sign_in(
    audience: &Audience,
    thing: &ThingName,
    nonce: &str,
    credentials: &Credentials,
    now: DateTime<Utc>,
) -> anyhow::Result<LoginRequest> {
    let identity = AwsCredentials::new(
        &credentials.access_key_id,
        &credentials.secret_access_key,
        Some(credentials.session_token.clone()),
        None,
        "credentials-provider",
    )
    .into();
    // By default no checksum header is added and the session token is signed: as the contract has it.
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&audience.region)
        .name(login::SERVICE)
        .time(SystemTime::from(now))
        .settings(SigningSettings::default())
        .build()?;
    let headers = [
        ("content-type", login::CONTENT_TYPE),
        ("host", audience.sts_host.as_str()),
        (login::NONCE_HEADER, nonce),
        (login::SERVER_ID_HEADER, audience.server_id.as_str()),
        (login::THING_HEADER, thing.as_str()),
    ];
    let url = format!("https://{}{}", audience.sts_host, login::PATH);
    let body = SignableBody::Bytes(login::BODY.as_bytes());
    let request = SignableRequest::new(login::METHOD, url, headers.into_iter(), body)?;
    let (_, signature) = sign(request, &params.into())?.into_parts();
    Ok(LoginRequest {
        thing: thing.clone(),
        nonce: nonce.to_owned(),
        access_key_id: credentials.access_key_id.clone(),
        amz_date: now.format(login::AMZ_DATE_FORMAT).to_string(),
        session_token: credentials.session_token.clone(),
        signature,
    })
}

#[cfg(test)]
mod tests {
    use ring::{digest, hmac};

    use super::*;

    fn mac(key: &[u8], data: &str) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data.as_bytes()).as_ref().to_vec()
    }

    fn sha256(text: &str) -> String {
        hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
    }

    /// `SigV4` by hand, written from its specification, over exactly the contract's headers.
    #[test]
    fn the_signature_is_the_one_that_the_contract_describes() {
        let audience = Audience {
            sts_host: "127.0.0.1:4566".to_owned(),
            region: "ap-northeast-1".to_owned(),
            server_id: "recehub-test".to_owned(),
        };
        let credentials = Credentials {
            access_key_id: "ASIAEXAMPLEEXAMPLE01".to_owned(),
            secret_access_key: "not a secret".to_owned(),
            session_token: "token+/=".to_owned(),
            expiration: "2026-11-22T13:00:00Z".parse().unwrap(),
        };
        let now = "2026-11-22T12:34:56.789Z".parse().unwrap();
        let thing = "tenpo-0001".parse().unwrap();

        let login = sign_in(&audience, &thing, "nonce-1", &credentials, now).unwrap();

        let canonical = format!(
            "POST\n/\n\ncontent-type:{}\nhost:127.0.0.1:4566\nx-amz-date:20261122T123456Z\n\
             x-amz-security-token:token+/=\nx-recehub-nonce:nonce-1\nx-recehub-server-id:recehub-test\n\
             x-recehub-thing:tenpo-0001\n\n{}\n{}",
            login::CONTENT_TYPE,
            login::SIGNED_HEADERS,
            sha256(login::BODY),
        );
        let scope = "20261122/ap-northeast-1/sts/aws4_request";
        let to_sign = format!("AWS4-HMAC-SHA256\n20261122T123456Z\n{scope}\n{}", sha256(&canonical));
        let key = ["20261122", "ap-northeast-1", "sts", "aws4_request"]
            .iter()
            .fold(b"AWS4not a secret".to_vec(), |key, part| mac(&key, part));
        assert_eq!(login.signature, hex::encode(mac(&key, &to_sign)));
        assert_eq!(login.amz_date, "20261122T123456Z");
    }
}
