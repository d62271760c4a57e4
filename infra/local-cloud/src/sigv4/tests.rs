//! Signed by AWS's own signer (aws-sigv4), verified by ours.

use std::time::{Duration as Span, SystemTime};

use aws_credential_types::Credentials as Identity;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use http::{HeaderValue, Request};

use super::*;
use crate::keys::{Principal, RoleRef};

const NOW: i64 = 1_800_000_000;
const REGION: &str = "ap-northeast-1";
const BODY: &[u8] = b"Action=GetCallerIdentity&Version=2011-06-15";

struct World {
    keys: Keys,
    identity: Identity,
    _dir: tempfile::TempDir,
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::open(dir.path(), "123456789012", now()).unwrap();
    keys.add_long_lived("AKIDEXAMPLE", "secret", Principal::administrator("123456789012"));
    let role =
        RoleRef { arn: "arn:aws:iam::1:role/r".to_owned(), name: "r".to_owned(), policies: Vec::new() };
    let issued =
        keys.issue(&role, "s", Duration::hours(1), std::collections::BTreeMap::new(), now()).unwrap();
    let identity = Identity::new(
        issued.access_key_id,
        issued.secret_access_key,
        Some(issued.session_token),
        None,
        "test",
    );
    World { keys, identity, _dir: dir }
}

fn request(uri: &str) -> Request<()> {
    Request::post(uri)
        .header("host", "127.0.0.1:4566")
        .header("content-type", "application/x-www-form-urlencoded;  charset=utf-8")
        .header("x-recehub-nonce", "n1")
        .body(())
        .unwrap()
}

fn signed(identity: &Identity, service: &str, at: i64, presigned: bool, mut request: Request<()>) -> Parts {
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    if presigned {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Span::from_mins(10));
    }
    let identity = identity.clone().into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name(service)
        .time(SystemTime::UNIX_EPOCH + Span::from_secs(at.try_into().unwrap()))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let uri = request.uri().to_string();
    let headers: Vec<_> = request.headers().iter().map(|(k, v)| (k.as_str(), v.to_str().unwrap())).collect();
    let body = if presigned { SignableBody::UnsignedPayload } else { SignableBody::Bytes(BODY) };
    let signable = SignableRequest::new("POST", &uri, headers.into_iter(), body).unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    instructions.apply_to_request_http1x(&mut request);
    request.into_parts().0
}

fn outcome(world: &World, parts: &Parts) -> Result<Verified, &'static str> {
    verify(parts, Some(BODY), &world.keys, REGION, now()).map_err(|error| error.code())
}

#[test]
fn a_request_signed_by_the_sdk_is_taken_with_its_extra_headers() {
    let world = world();
    for uri in
        ["/", "/topics/%24aws%2Fthings%2Fa?qos=1", "/things/a%20b/shadow?name=lan&x", "/a/../b//c/?z=%2F&a"]
    {
        let parts = signed(&world.identity, "iotdata", NOW, false, request(uri));

        let verified = outcome(&world, &parts).unwrap();

        assert_eq!(verified.service, "iotdata");
        assert_eq!(scope_service(&parts).as_deref(), Some("iotdata"));
    }
}

#[test]
fn s3_keys_with_spaces_and_presigned_urls_are_taken() {
    let world = world();
    for presigned in [false, true] {
        let uri = "http://127.0.0.1:4566/bucket/a%20b/%E5%87%A6?x-id=PutObject";
        let parts = signed(&world.identity, "s3", NOW, presigned, request(uri));

        assert!(outcome(&world, &parts).is_ok());
        assert_eq!(scope_service(&parts).as_deref(), Some("s3"));
    }
}

#[test]
fn anything_signed_that_was_changed_is_refused() {
    let world = world();
    let good = signed(&world.identity, "sts", NOW, false, request("/?a=b"));
    let changed = |change: &dyn Fn(&mut Parts)| {
        let mut parts = good.clone();
        change(&mut parts);
        outcome(&world, &parts).unwrap_err()
    };

    let other = HeaderValue::from_static("other");
    assert_eq!(
        changed(&|p| drop(p.headers.insert("x-recehub-nonce", other.clone()))),
        "SignatureDoesNotMatch"
    );
    assert_eq!(changed(&|p| drop(p.headers.remove("x-recehub-nonce"))), "SignatureDoesNotMatch");
    assert_eq!(changed(&|p| drop(p.headers.insert("host", other.clone()))), "SignatureDoesNotMatch");
    assert_eq!(changed(&|p| p.uri = "/?a=c".parse().unwrap()), "SignatureDoesNotMatch");
    assert_eq!(changed(&|p| p.method = http::Method::GET), "SignatureDoesNotMatch");
    assert_eq!(
        changed(&|p| drop(p.headers.insert("x-amz-security-token", other.clone()))),
        "InvalidClientTokenId"
    );
    assert_eq!(changed(&|p| drop(p.headers.remove("x-amz-security-token"))), "InvalidClientTokenId");
    assert_eq!(changed(&|p| drop(p.headers.remove("authorization"))), "MissingAuthenticationToken");
    assert_eq!(changed(&|p| drop(p.headers.insert("authorization", other.clone()))), "IncompleteSignature");
    let elsewhere = verify(&good, Some(BODY), &world.keys, "us-east-1", now()).unwrap_err();
    assert!(elsewhere.to_string().contains("scoped to a valid region, not 'ap-northeast-1'"), "{elsewhere}");
    let wrong_body = verify(&good, Some(b"Action=AssumeRole"), &world.keys, REGION, now()).unwrap_err();
    assert_eq!(wrong_body.code(), "SignatureDoesNotMatch");
}

#[test]
fn another_time_is_refused_after_five_minutes_and_for_s3_after_fifteen() {
    let world = world();
    for (service, presigned, at, taken) in [
        ("sts", false, NOW - 299, true),
        ("sts", false, NOW - 301, false),
        ("sts", false, NOW + 301, false),
        ("s3", false, NOW - 899, true),
        ("s3", false, NOW - 901, false),
        ("s3", true, NOW - 599, true),
        ("s3", true, NOW - 601, false),
    ] {
        let parts = signed(&world.identity, service, at, presigned, request("http://127.0.0.1:4566/b/k"));
        assert_eq!(outcome(&world, &parts).is_ok(), taken, "{service} {presigned} {at}");
    }
}

#[test]
fn an_unknown_key_and_an_expired_one_have_their_own_names() {
    let world = world();
    let unknown = Identity::new("AKIDUNKNOWN", "secret", None, None, "test");
    let parts = signed(&unknown, "sts", NOW, false, request("/"));
    assert_eq!(outcome(&world, &parts).unwrap_err(), "InvalidClientTokenId");

    let parts = signed(&world.identity, "sts", NOW + 3_601, false, request("/"));
    let late = verify(&parts, Some(BODY), &world.keys, REGION, now() + Duration::seconds(3_601)).unwrap_err();
    assert_eq!(late, SigV4Error::ExpiredToken);

    let long_lived = Identity::new("AKIDEXAMPLE", "secret", None, None, "test");
    let parts = signed(&long_lived, "sts", NOW, false, request("/"));
    assert!(outcome(&world, &parts).unwrap().principal.admin);
}
