//! STS, asked by the real SDK and by hand.

use aws_sdk_sts::error::ProvideErrorMetadata as _;
use chrono::Duration;

use crate::endpoint::{ACCOUNT, Endpoint};

const WRITER: &str = "arn:aws:iam::123456789012:role/writer";

#[tokio::test]
async fn a_session_is_told_who_it_is() {
    let endpoint = Endpoint::start().await;
    let sts = endpoint.sts(endpoint.session("Closed", &[], Duration::hours(1)));

    let identity = sts.get_caller_identity().send().await.unwrap();

    assert_eq!(identity.arn(), Some("arn:aws:sts::123456789012:assumed-role/closed/test"));
    assert_eq!(identity.account(), Some(ACCOUNT));
    assert!(identity.user_id().unwrap().starts_with("AROA"));
    assert!(identity.user_id().unwrap().ends_with(":test"));
}

#[tokio::test]
async fn a_wrong_secret_an_unknown_key_and_an_expired_one_are_refused_by_name() {
    let endpoint = Endpoint::start().await;
    let ask = async |credentials| {
        let error = endpoint.sts(credentials).get_caller_identity().send().await.unwrap_err();
        (error.code().unwrap().to_owned(), error.raw_response().unwrap().status().as_u16())
    };
    let key = |id: &str, secret: &str, token: Option<&str>| {
        aws_credential_types::Credentials::new(id, secret, token.map(str::to_owned), None, "test")
    };

    assert_eq!(ask(key("AKIDADMIN", "other", None)).await, ("SignatureDoesNotMatch".to_owned(), 403));
    assert_eq!(ask(key("AKIDNOBODY", "x", None)).await, ("InvalidClientTokenId".to_owned(), 403));
    assert_eq!(
        ask(key("AKIDADMIN", "admin-secret", Some("x"))).await,
        ("InvalidClientTokenId".to_owned(), 403)
    );
    let short = endpoint.session("Closed", &[], Duration::seconds(30));
    endpoint.advance(Duration::seconds(60));
    assert_eq!(ask(short).await, ("ExpiredToken".to_owned(), 403));
    endpoint.advance(Duration::minutes(5));
    assert_eq!(ask(Endpoint::admin()).await, ("SignatureDoesNotMatch".to_owned(), 403));
}

#[tokio::test]
async fn who_may_assume_a_role_gets_its_permissions() {
    let endpoint = Endpoint::start().await;
    let sts = endpoint.sts(Endpoint::admin());

    let assumed = sts.assume_role().role_arn(WRITER).role_session_name("job-1").send().await.unwrap();

    assert_eq!(
        assumed.assumed_role_user().unwrap().arn(),
        "arn:aws:sts::123456789012:assumed-role/writer/job-1"
    );
    let given = assumed.credentials().unwrap();
    assert!(given.access_key_id().starts_with("ASIA"));
    let session = aws_credential_types::Credentials::new(
        given.access_key_id(),
        given.secret_access_key(),
        Some(given.session_token().to_owned()),
        None,
        "test",
    );
    let identity = endpoint.sts(session).get_caller_identity().send().await.unwrap();
    assert_eq!(identity.arn(), Some("arn:aws:sts::123456789012:assumed-role/writer/job-1"));
}

#[tokio::test]
async fn who_may_not_assume_a_role_is_denied() {
    let endpoint = Endpoint::start().await;
    let code = async |credentials, role: &str, name: &str, seconds| {
        let sts = endpoint.sts(credentials);
        let asked = sts.assume_role().role_arn(role).role_session_name(name).set_duration_seconds(seconds);
        asked.send().await.unwrap_err().code().unwrap().to_owned()
    };
    let closed = "arn:aws:iam::123456789012:role/closed";

    // The trust policy names a service only; a session without sts:AssumeRole; a role that is not there.
    assert_eq!(code(Endpoint::admin(), closed, "s1", None).await, "AccessDenied");
    let session = endpoint.session("Closed", &[], Duration::hours(1));
    assert_eq!(code(session, WRITER, "s1", None).await, "AccessDenied");
    assert_eq!(code(Endpoint::admin(), "arn:aws:iam::1:role/none", "s1", None).await, "AccessDenied");
    assert_eq!(code(Endpoint::admin(), WRITER, "a b", None).await, "ValidationError");
    assert_eq!(code(Endpoint::admin(), WRITER, "s1", Some(899)).await, "ValidationError");
    assert_eq!(code(Endpoint::admin(), WRITER, "s1", Some(7_200)).await, "ValidationError");
}

#[tokio::test]
async fn who_signs_for_another_region_is_refused() {
    let endpoint = Endpoint::start().await;
    let elsewhere =
        endpoint.sdk(Endpoint::admin()).into_builder().region(aws_config::Region::new("us-east-1"));
    let refused =
        aws_sdk_sts::Client::new(&elsewhere.build()).get_caller_identity().send().await.unwrap_err();

    assert_eq!(refused.raw_response().unwrap().status().as_u16(), 403);
    assert_eq!(refused.code(), Some("SignatureDoesNotMatch"));
    assert!(refused.message().unwrap().contains("valid region, not 'us-east-1'"), "{refused:?}");
}
