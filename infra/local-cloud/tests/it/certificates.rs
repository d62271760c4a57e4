//! Certificates and their keys: what is made, what is signed, and to whom they belong.

use std::sync::Arc;

use aws_sdk_iot::types::{CertificateStatus, ThingPrincipalType};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use rumqttc::{MqttOptions, TlsConfiguration, Transport};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::task::JoinSet;

use crate::support::{Device, Mqtt, PATIENCE, TestCloud};

/// A device whose keys the cloud has made.
async fn with_made_keys(cloud: &TestCloud, name: &str) -> (Device, String) {
    let iot = cloud.iot();
    iot.create_thing().thing_name(name).send().await.unwrap();
    let made = iot.create_keys_and_certificate().set_as_active(true).send().await.unwrap();
    let keys = made.key_pair().unwrap();
    let device = Device {
        name: name.to_owned(),
        certificate_id: made.certificate_id().unwrap().to_owned(),
        certificate_arn: made.certificate_arn().unwrap().to_owned(),
        certificate: made.certificate_pem().unwrap().to_owned(),
        key: keys.private_key().unwrap().to_owned(),
    };
    iot.attach_policy().policy_name("device").target(&device.certificate_arn).send().await.unwrap();
    let attach = iot.attach_thing_principal().thing_name(name).principal(&device.certificate_arn);
    attach.send().await.unwrap();
    (device, keys.public_key().unwrap().to_owned())
}

/// As the device would connect if it spoke this version of TLS alone.
fn over(
    cloud: &TestCloud,
    device: &Device,
    version: &'static rustls::SupportedProtocolVersion,
) -> MqttOptions {
    let mut options = cloud.options(device, &device.name);
    let tls = TlsConfiguration::Rustls(Arc::new(cloud.tls_of(device, &[version])));
    options.set_transport(Transport::tls_with_config(tls));
    options
}

#[tokio::test]
async fn keys_that_the_cloud_makes_are_of_awss_kind_and_connect_over_tls_1_2_and_1_3() {
    let cloud = TestCloud::start().await;
    let (device, public) = with_made_keys(&cloud, "one").await;

    assert!(device.key.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"), "PKCS#1");
    assert!(device.key.ends_with("-----END RSA PRIVATE KEY-----\n"));
    let (_, spki) = x509_parser::pem::parse_x509_pem(public.as_bytes()).unwrap();
    assert_eq!(spki.label, "PUBLIC KEY");
    let (_, certificate) = x509_parser::pem::parse_x509_pem(device.certificate.as_bytes()).unwrap();
    let certificate = certificate.parse_x509().unwrap();
    assert_eq!(certificate.public_key().raw, spki.contents, "the certificate is of that key");
    assert!(certificate.subject().to_string().contains("CN=AWS IoT Certificate"));
    match certificate.public_key().parsed().unwrap() {
        x509_parser::public_key::PublicKey::RSA(key) => assert_eq!(key.key_size(), 2048),
        other => panic!("{other:?}"),
    }
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut connection = Mqtt::connect(over(&cloud, &device, version)).await.unwrap();
        connection.publish("dt/x", "hello").await.unwrap();
    }
    let credentials = format!("{}/role-aliases/device/credentials", cloud.provider());
    assert_eq!(cloud.https(&device).get(credentials).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_device_without_a_certificate_gets_in_over_neither_version() {
    let cloud = TestCloud::start().await;
    let device = cloud.device("one").await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        assert!(Mqtt::connect(over(&cloud, &device, version)).await.is_ok());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&cloud.running().ca_file).unwrap()).unwrap();
        let bare = rustls::ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut options = cloud.options(&device, "one");
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(bare))));
        assert!(Mqtt::connect(options).await.is_err());
    }
}

#[tokio::test]
async fn a_device_that_does_not_name_the_host_gets_in_at_neither_door() {
    let cloud = TestCloud::start().await;
    let device = cloud.device("one").await;
    let ports = [cloud.running().mqtt.port(), cloud.running().credentials.port()];
    for (host, welcome) in [("localhost", true), ("127.0.0.1", false)] {
        for port in ports {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let name = rustls::pki_types::ServerName::try_from(host).unwrap();
            let tls = tokio_rustls::TlsConnector::from(Arc::new(cloud.tls(&device)));
            let shaken = tokio::time::timeout(PATIENCE, tls.connect(name, stream)).await.unwrap();
            assert_eq!(shaken.is_ok(), welcome, "{host}:{port}");
        }
    }
}

/// A signing request for `key`.
fn csr(key: &rcgen::KeyPair) -> String {
    let params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn rsa_key() -> rcgen::KeyPair {
    use rsa::pkcs8::EncodePrivateKey as _;
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    let pem = key.to_pkcs8_pem(rsa::pkcs8::LineEnding::LF).unwrap();
    rcgen::KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &rcgen::PKCS_RSA_SHA256).unwrap()
}

#[tokio::test]
async fn requests_are_signed_for_the_keys_that_aws_takes_each_time_anew() {
    let cloud = TestCloud::start().await;
    let iot = cloud.iot();
    let key = |algorithm| rcgen::KeyPair::generate_for(algorithm).unwrap();
    for key in [key(&rcgen::PKCS_ECDSA_P256_SHA256), key(&rcgen::PKCS_ECDSA_P384_SHA384), rsa_key()] {
        let ask = || iot.create_certificate_from_csr().certificate_signing_request(csr(&key)).send();
        let (first, second) = (ask().await.unwrap(), ask().await.unwrap());
        assert_ne!(first.certificate_id(), second.certificate_id());
        let id = first.certificate_id().unwrap();
        let described = iot.describe_certificate().certificate_id(id).send().await.unwrap();
        let status = described.certificate_description().unwrap().status().cloned();
        assert_eq!(status, Some(CertificateStatus::Inactive), "it was not asked for as active");
    }
    // A curve that AWS does not take, a request that was changed after its signature, and what is none.
    let mut changed = csr(&rcgen::KeyPair::generate().unwrap()).into_bytes();
    let at = changed.len() / 2;
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    for bad in [csr(&key(&rcgen::PKCS_ED25519)), changed, String::new(), "-----BEGIN X-----".to_owned()] {
        let asked = iot.create_certificate_from_csr().certificate_signing_request(bad).send().await;
        assert!(asked.unwrap_err().into_service_error().is_invalid_request_exception());
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_active_is_shut_out_everywhere_and_a_revoked_one_for_good() {
    let cloud = TestCloud::start().await;
    let (iot, device) = (cloud.iot(), cloud.device("one").await);
    let set = |status: CertificateStatus| {
        iot.update_certificate().certificate_id(&device.certificate_id).new_status(status).send()
    };
    let credentials = format!("{}/role-aliases/device/credentials", cloud.provider());
    let shadow = format!("{}/things/one/shadow", cloud.provider());
    for status in [CertificateStatus::Inactive, CertificateStatus::Revoked] {
        let inactive = status == CertificateStatus::Inactive;
        let mut connection = cloud.connect(&device).await;
        let https = cloud.https(&device);
        assert_eq!(https.get(&credentials).send().await.unwrap().status(), 200);

        set(status).await.unwrap();

        connection.ended().await;
        assert_eq!(
            https.get(&credentials).send().await.unwrap().status(),
            403,
            "on the connection that stands"
        );
        assert_eq!(https.get(&shadow).send().await.unwrap().status(), 403);
        assert!(cloud.https(&device).get(&credentials).send().await.is_err(), "on a new one");
        assert!(Mqtt::connect(cloud.options(&device, "one")).await.is_err());
        if inactive {
            set(CertificateStatus::Active).await.unwrap();
        }
    }
    set(CertificateStatus::Revoked).await.unwrap();
    for status in [CertificateStatus::Active, CertificateStatus::Inactive] {
        let refused = set(status).await.unwrap_err().into_service_error();
        assert!(refused.is_certificate_state_exception(), "{refused:?}");
    }
    let internal = set(CertificateStatus::PendingTransfer).await.unwrap_err().into_service_error();
    assert!(internal.is_invalid_request_exception());
    let unknown =
        iot.update_certificate().certificate_id("0".repeat(64)).new_status(CertificateStatus::Active);
    assert_eq!(
        unknown.send().await.unwrap_err().into_service_error().code(),
        Some("ResourceNotFoundException")
    );
}

#[tokio::test]
async fn of_many_things_that_claim_a_certificate_at_once_one_gets_it() {
    let cloud = TestCloud::start().await;
    let iot = cloud.iot();
    for number in 0..8 {
        iot.create_thing().thing_name(format!("t{number}")).send().await.unwrap();
    }
    for round in 0..5 {
        let certificate = cloud.certificate("any").await;
        let mut claims = JoinSet::new();
        for number in 0..8 {
            let claim = iot
                .attach_thing_principal()
                .thing_name(format!("t{number}"))
                .principal(&certificate.certificate_arn)
                .thing_principal_type(ThingPrincipalType::ExclusiveThing);
            claims.spawn(claim.send());
        }
        let taken = claims.join_all().await.into_iter().flatten().count();
        assert_eq!(taken, 1, "round {round}");
        let things =
            iot.list_principal_things().principal(&certificate.certificate_arn).send().await.unwrap();
        assert_eq!(things.things().len(), 1, "round {round}");
    }
}

#[tokio::test]
async fn the_kind_of_an_attachment_is_kept_until_it_is_detached() {
    let cloud = TestCloud::start().await;
    let (iot, certificate) = (cloud.iot(), cloud.certificate("any").await);
    for name in ["one", "two"] {
        iot.create_thing().thing_name(name).send().await.unwrap();
    }
    let attach = async |thing: &str, kind: ThingPrincipalType| {
        let asked = iot.attach_thing_principal().thing_name(thing).principal(&certificate.certificate_arn);
        let answer = asked.thing_principal_type(kind).send().await;
        answer.err().map(|error| error.into_service_error().code().unwrap().to_owned())
    };
    let (exclusive, shared) = (ThingPrincipalType::ExclusiveThing, ThingPrincipalType::NonExclusiveThing);
    let invalid = Some("InvalidRequestException".to_owned());

    assert_eq!(attach("one", shared.clone()).await, None);
    assert_eq!(attach("one", shared.clone()).await, None, "again");
    assert_eq!(attach("two", shared.clone()).await, None, "a shared one has many things");
    assert_eq!(attach("one", exclusive.clone()).await, invalid, "it has another");
    for name in ["one", "two"] {
        iot.detach_thing_principal()
            .thing_name(name)
            .principal(&certificate.certificate_arn)
            .send()
            .await
            .unwrap();
    }
    assert_eq!(attach("one", exclusive.clone()).await, None);
    assert_eq!(attach("one", exclusive).await, None, "again");
    assert_eq!(attach("one", shared.clone()).await, invalid, "it is exclusive");
    assert_eq!(attach("two", shared.clone()).await, invalid);
    assert_eq!(attach("none", shared).await, Some("ResourceNotFoundException".to_owned()));
}
