//! What a role's conditions make of the sessions that certificates get, asked of S3 and STS.

use aws_credential_types::Credentials;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sts::error::ProvideErrorMetadata as _;

use crate::credentials::ask;
use crate::support::{Device, TestCloud, http_client};

const NEXT: &str = "arn:aws:iam::123456789012:role/next";

/// A session of the role `conditions`, for the certificate alone or for one of its things.
async fn session(cloud: &TestCloud, device: &Device, thing: Option<&str>) -> Credentials {
    let (status, answer) = ask(cloud, device, "conditions", thing).await;
    assert_eq!(status, 200, "{answer}");
    let text = |name: &str| answer["credentials"][name].as_str().unwrap().to_owned();
    Credentials::new(text("accessKeyId"), text("secretAccessKey"), Some(text("sessionToken")), None, "test")
}

async fn puts(cloud: &TestCloud, credentials: &Credentials, key: &str) -> bool {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .region(aws_sdk_s3::config::Region::new("ap-northeast-1"))
        .endpoint_url(format!("http://{}", cloud.running().endpoint))
        .force_path_style(true)
        .credentials_provider(credentials.clone())
        .http_client(http_client())
        .build();
    let s3 = aws_sdk_s3::Client::from_conf(config);
    let put = s3.put_object().bucket("versioned").key(key).body(ByteStream::from_static(b"x")).send().await;
    let refused = put.err().map(aws_sdk_s3::error::SdkError::into_service_error);
    assert!(refused.as_ref().is_none_or(|error| error.code() == Some("AccessDenied")), "{key}: {refused:?}");
    refused.is_none()
}

fn sts(cloud: &TestCloud, credentials: &Credentials) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
        .region(aws_sdk_sts::config::Region::new("ap-northeast-1"))
        .endpoint_url(format!("http://{}", cloud.running().endpoint))
        .credentials_provider(credentials.clone())
        .http_client(http_client())
        .build();
    aws_sdk_sts::Client::from_conf(config)
}

/// Whether the session gets one of the role `next` by this name.
async fn assumes(cloud: &TestCloud, credentials: &Credentials, name: &str) -> bool {
    let asked = sts(cloud, credentials).assume_role().role_arn(NEXT).role_session_name(name).send().await;
    let refused = asked.err().map(aws_sdk_sts::error::SdkError::into_service_error);
    assert!(refused.as_ref().is_none_or(|error| error.code() == Some("AccessDenied")), "{refused:?}");
    refused.is_none()
}

async fn typed_device(cloud: &TestCloud, name: &str, thing_type: &str) -> Device {
    let device = cloud.device(name).await;
    cloud.iot().update_thing().thing_name(name).thing_type_name(thing_type).send().await.unwrap();
    device
}

#[tokio::test]
async fn each_condition_of_a_role_holds_for_whom_it_names_and_for_nobody_else() {
    let cloud = TestCloud::start().await;
    let boxed = typed_device(&cloud, "tenpo-1", "box").await;
    let other = typed_device(&cloud, "other", "drawer").await;
    let named = session(&cloud, &boxed, Some("tenpo-1")).await;
    let nameless = session(&cloud, &boxed, None).await;
    let others = session(&cloud, &other, Some("other")).await;
    let certificate = format!("certificate/{}", boxed.certificate_id);

    for (key, by_name, by_certificate, by_another) in [
        ("own/tenpo-1/a", true, false, false),
        ("own/other/a", false, false, true),
        (certificate.as_str(), true, true, false),
        ("string-equals/a", true, false, false),
        ("string-like/a", true, false, false),
        ("nameless/a", false, true, false),
        ("named/a", true, false, true),
        ("before-2049/a", true, true, true),
        ("before-2020/a", false, false, false),
        ("secure/a", true, true, true),
        ("insecure/a", false, false, false),
        ("elsewhere/a", false, false, false),
    ] {
        assert_eq!(puts(&cloud, &named, key).await, by_name, "{key} by name");
        assert_eq!(puts(&cloud, &nameless, key).await, by_certificate, "{key} by certificate");
        assert_eq!(puts(&cloud, &others, key).await, by_another, "{key} by another thing");
    }
}

#[tokio::test]
async fn a_deny_cuts_one_thing_off_and_its_identity_stays_known() {
    let cloud = TestCloud::start().await;
    let cut = typed_device(&cloud, "tenpo-cut", "box").await;
    let credentials = session(&cloud, &cut, Some("tenpo-cut")).await;

    for key in ["own/tenpo-cut/a", "string-equals/a", "string-like/a", "secure/a"] {
        assert!(!puts(&cloud, &credentials, key).await, "{key}");
    }

    let identity = sts(&cloud, &credentials).get_caller_identity().send().await.unwrap();
    assert!(identity.arn().unwrap().ends_with(&format!("/conditions/{}", cut.certificate_id)));
}

#[tokio::test]
async fn a_session_takes_on_the_next_role_only_as_its_conditions_say() {
    let cloud = TestCloud::start().await;
    let boxed = typed_device(&cloud, "tenpo-1", "box").await;
    let other = typed_device(&cloud, "tenpo-2", "drawer").await;
    let named = session(&cloud, &boxed, Some("tenpo-1")).await;

    assert!(assumes(&cloud, &named, "tenpo-1-job").await);
    assert!(!assumes(&cloud, &named, "tenpo-2-job").await, "another's session name");
    assert!(
        !assumes(&cloud, &session(&cloud, &boxed, None).await, "tenpo-1-job").await,
        "no thing was named"
    );
    assert!(
        !assumes(&cloud, &session(&cloud, &other, Some("tenpo-2")).await, "tenpo-2-job").await,
        "another type"
    );
}
