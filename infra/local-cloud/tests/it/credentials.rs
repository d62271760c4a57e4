//! The credentials provider, by a client that shows a certificate.

use serde_json::Value;

use crate::support::TestCloud;

/// Asks the credentials provider; answers the status and the body.
pub async fn ask(
    cloud: &TestCloud,
    device: &crate::support::Device,
    alias: &str,
    thing: Option<&str>,
) -> (u16, Value) {
    let url = format!("{}/role-aliases/{alias}/credentials", cloud.provider());
    let mut request = cloud.https(device).get(url);
    if let Some(thing) = thing {
        request = request.header("x-amzn-iot-thingname", thing);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_certificate_gets_its_roles_keys_and_is_who_it_is() {
    let cloud = TestCloud::start().await;
    let device = cloud.device("one").await;

    let (status, answer) = ask(&cloud, &device, "device", Some("one")).await;

    assert_eq!(status, 200, "{answer}");
    let keys = &answer["credentials"];
    let id = keys["accessKeyId"].as_str().unwrap();
    assert!(id.len() == 20 && id.starts_with("ASIA"), "{id}");
    assert!(keys["expiration"].as_str().unwrap().ends_with('Z'));
    let identity = identity(&cloud, keys).await;
    let expected = format!("arn:aws:sts::123456789012:assumed-role/device/{}", device.certificate_id);
    assert_eq!(identity.arn(), Some(expected.as_str()));
}

#[tokio::test]
async fn another_things_name_another_alias_and_an_inactive_certificate_are_refused() {
    let cloud = TestCloud::start().await;
    let (one, _) = (cloud.device("one").await, cloud.device("two").await);
    assert_eq!(ask(&cloud, &one, "device", Some("two")).await.0, 403);
    assert_eq!(ask(&cloud, &one, "device", Some("")).await.0, 403);
    assert_eq!(ask(&cloud, &one, "untrusting", Some("one")).await.0, 403);
    assert_eq!(ask(&cloud, &one, "foreigners", Some("one")).await.0, 403, "the role trusts another account");
    assert_eq!(ask(&cloud, &one, "nobody", Some("one")).await.0, 403);
    assert_eq!(ask(&cloud, &one, "device", None).await.0, 200, "the name may be left out");
    let bare = cloud.certificate("bare").await;
    assert_eq!(ask(&cloud, &bare, "device", None).await.0, 403, "no policy, no keys");

    let https = cloud.https(&one);
    let url = format!("{}/role-aliases/device/credentials", cloud.provider());
    assert_eq!(https.get(&url).send().await.unwrap().status(), 200);
    let inactive = aws_sdk_iot::types::CertificateStatus::Inactive;
    cloud
        .iot()
        .update_certificate()
        .certificate_id(&one.certificate_id)
        .new_status(inactive)
        .send()
        .await
        .unwrap();
    // The connection of before still stands; its next request is refused.
    assert_eq!(https.get(&url).send().await.unwrap().status(), 403);
    assert!(
        cloud.https(&one).get(&url).send().await.is_err(),
        "a new one does not get through the handshake"
    );
}

#[tokio::test]
async fn without_a_certificate_there_is_no_connection() {
    let cloud = TestCloud::start().await;
    let root = reqwest::Certificate::from_pem(&std::fs::read(&cloud.running().ca_file).unwrap()).unwrap();
    let bare = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();

    assert!(bare.get(format!("{}/role-aliases/device/credentials", cloud.provider())).send().await.is_err());
}

async fn identity(
    cloud: &TestCloud,
    keys: &Value,
) -> aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput {
    let text = |name: &str| keys[name].as_str().unwrap().to_owned();
    let credentials = aws_credential_types::Credentials::new(
        text("accessKeyId"),
        text("secretAccessKey"),
        Some(text("sessionToken")),
        None,
        "test",
    );
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
        .region(aws_sdk_sts::config::Region::new("ap-northeast-1"))
        .endpoint_url(format!("http://{}", cloud.running().endpoint))
        .credentials_provider(credentials)
        .http_client(crate::support::http_client())
        .build();
    aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await.unwrap()
}
