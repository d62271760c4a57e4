//! The control plane, driven by aws-sdk-iot.

use aws_sdk_iot::types::{AttributePayload, CertificateStatus, TopicRuleDestinationStatus};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use crate::support::{ADMIN, Mqtt, READER, TestCloud};

#[tokio::test]
async fn a_thing_lives_from_its_making_to_its_end() {
    let cloud = TestCloud::start().await;
    let iot = cloud.iot();
    let attributes = |value: &str| AttributePayload::builder().attributes("site", value).build();
    let made = iot.create_thing().thing_name("one").attribute_payload(attributes("a")).send().await.unwrap();
    assert_eq!(made.thing_arn(), Some("arn:aws:iot:ap-northeast-1:123456789012:thing/one"));

    let same = iot.create_thing().thing_name("one").attribute_payload(attributes("a")).send().await.unwrap();
    assert_eq!(same.thing_id(), made.thing_id());
    let other = iot.create_thing().thing_name("one").attribute_payload(attributes("b")).send().await;
    assert!(other.unwrap_err().into_service_error().is_resource_already_exists_exception());

    iot.update_thing()
        .thing_name("one")
        .attribute_payload(attributes("c"))
        .expected_version(1)
        .send()
        .await
        .unwrap();
    let stale = iot
        .update_thing()
        .thing_name("one")
        .attribute_payload(attributes("d"))
        .expected_version(1)
        .send()
        .await;
    assert!(stale.unwrap_err().into_service_error().is_version_conflict_exception());
    let described = iot.describe_thing().thing_name("one").send().await.unwrap();
    assert_eq!((described.version(), described.attributes().unwrap()["site"].as_str()), (2, "c"));

    iot.delete_thing().thing_name("one").send().await.unwrap();
    let gone = iot.describe_thing().thing_name("one").send().await.unwrap_err();
    assert_eq!(gone.raw_response().unwrap().status().as_u16(), 404);
    assert!(gone.into_service_error().is_resource_not_found_exception());
    let bad = iot.create_thing().thing_name("no spaces").send().await.unwrap_err();
    assert!(bad.into_service_error().is_invalid_request_exception());
}

#[tokio::test]
async fn things_are_listed_page_by_page_and_by_attribute() {
    let cloud = TestCloud::start().await;
    let iot = cloud.iot();
    for number in 0..7 {
        let site = AttributePayload::builder()
            .attributes("site", if number % 2 == 0 { "even" } else { "odd" })
            .build();
        iot.create_thing().thing_name(format!("t{number}")).attribute_payload(site).send().await.unwrap();
    }
    let mut pages = iot.list_things().max_results(3).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(page.things().len() <= 3);
        names.extend(page.things().iter().map(|thing| thing.thing_name().unwrap().to_owned()));
    }
    assert_eq!(names, ["t0", "t1", "t2", "t3", "t4", "t5", "t6"]);
    let odd = iot.list_things().attribute_name("site").attribute_value("odd").send().await.unwrap();
    assert_eq!(odd.things().len(), 3);
}

#[tokio::test]
async fn a_certificate_is_told_as_aws_tells_it() {
    let cloud = TestCloud::start().await;
    let iot = cloud.iot();
    let device = cloud.certificate("one").await;
    assert_eq!(device.certificate_id.len(), 64);
    assert_eq!(
        device.certificate_arn,
        format!("arn:aws:iot:ap-northeast-1:123456789012:cert/{}", device.certificate_id)
    );

    let described = iot.describe_certificate().certificate_id(&device.certificate_id).send().await.unwrap();
    let described = described.certificate_description().unwrap();
    assert_eq!(described.status(), Some(&CertificateStatus::Active));
    assert_eq!(described.certificate_pem(), Some(device.certificate.as_str()));
    let valid = described.validity().unwrap();
    assert_eq!(valid.not_after().unwrap().to_string(), "2049-12-31T23:59:59Z");

    let active = iot.delete_certificate().certificate_id(&device.certificate_id).send().await.unwrap_err();
    assert!(active.into_service_error().is_certificate_state_exception());
    iot.update_certificate()
        .certificate_id(&device.certificate_id)
        .new_status(CertificateStatus::Inactive)
        .send()
        .await
        .unwrap();
    iot.attach_policy().policy_name("device").target(&device.certificate_arn).send().await.unwrap();
    let attached = iot.delete_certificate().certificate_id(&device.certificate_id).send().await.unwrap_err();
    assert!(attached.into_service_error().is_delete_conflict_exception());
    iot.delete_certificate().certificate_id(&device.certificate_id).force_delete(true).send().await.unwrap();
    let gone = iot.describe_certificate().certificate_id(&device.certificate_id).send().await.unwrap_err();
    assert!(gone.into_service_error().is_resource_not_found_exception());

    let bad =
        iot.create_certificate_from_csr().certificate_signing_request("no csr").send().await.unwrap_err();
    assert!(bad.into_service_error().is_invalid_request_exception());
}

#[tokio::test]
async fn every_certificate_is_listed_once_over_pages() {
    let cloud = TestCloud::start().await;
    let iot = cloud.iot();
    for _ in 0..5 {
        iot.create_keys_and_certificate().set_as_active(true).send().await.unwrap();
    }
    for ascending in [true, false] {
        let mut seen = std::collections::BTreeSet::new();
        let mut marker = None;
        loop {
            let page = iot.list_certificates().page_size(2).ascending_order(ascending).set_marker(marker);
            let page = page.send().await.unwrap();
            seen.extend(page.certificates().iter().map(|it| it.certificate_id().unwrap().to_owned()));
            marker = page.next_marker().map(str::to_owned);
            if marker.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 5);
    }
}

#[tokio::test]
async fn an_exclusive_certificate_belongs_to_one_thing() {
    let cloud = TestCloud::start().await;
    let iot = cloud.iot();
    let device = cloud.device("one").await;
    iot.create_thing().thing_name("two").send().await.unwrap();

    let second =
        iot.attach_thing_principal().thing_name("two").principal(&device.certificate_arn).send().await;
    assert!(second.unwrap_err().into_service_error().is_invalid_request_exception());

    let principals = iot.list_thing_principals().thing_name("one").send().await.unwrap();
    assert_eq!(principals.principals(), std::slice::from_ref(&device.certificate_arn));
    let things = iot.list_principal_things().principal(&device.certificate_arn).send().await.unwrap();
    assert_eq!(things.things(), ["one"]);
    let kinds = iot.list_principal_things_v2().principal(&device.certificate_arn).send().await.unwrap();
    let kind = kinds.principal_thing_objects()[0].thing_principal_type().unwrap();
    assert_eq!(kind.as_str(), "EXCLUSIVE_THING");
    assert!(iot.delete_thing().thing_name("one").send().await.is_err(), "a thing with a principal stays");

    iot.detach_thing_principal().thing_name("one").principal(&device.certificate_arn).send().await.unwrap();
    iot.attach_thing_principal().thing_name("two").principal(&device.certificate_arn).send().await.unwrap();
    iot.delete_thing().thing_name("one").send().await.unwrap();
}

#[tokio::test]
async fn policies_have_versions_and_targets() {
    let cloud = TestCloud::start().await;
    let iot = cloud.iot();
    let document = |action: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"*"}}]}}"#
        )
    };
    iot.create_policy().policy_name("p").policy_document(document("iot:Connect")).send().await.unwrap();
    let twice = iot.create_policy().policy_name("p").policy_document(document("iot:Connect")).send().await;
    assert!(twice.unwrap_err().into_service_error().is_resource_already_exists_exception());
    let bad = iot.create_policy().policy_name("q").policy_document("{").send().await;
    assert!(bad.unwrap_err().into_service_error().is_malformed_policy_exception());
    for _ in 0..4 {
        let version = iot.create_policy_version().policy_name("p").policy_document(document("iot:Publish"));
        version.set_as_default(true).send().await.unwrap();
    }
    let sixth =
        iot.create_policy_version().policy_name("p").policy_document(document("iot:Publish")).send().await;
    assert!(sixth.unwrap_err().into_service_error().is_versions_limit_exceeded_exception());
    let policy = iot.get_policy().policy_name("p").send().await.unwrap();
    assert_eq!(policy.default_version_id(), Some("5"));
    assert_eq!(policy.policy_document(), Some(document("iot:Publish").as_str()));

    let device = cloud.certificate("one").await;
    iot.attach_policy().policy_name("p").target(&device.certificate_arn).send().await.unwrap();
    let attached = iot.list_attached_policies().target(&device.certificate_arn).send().await.unwrap();
    assert_eq!(attached.policies()[0].policy_name(), Some("p"));
    let targets = iot.list_targets_for_policy().policy_name("p").send().await.unwrap();
    assert_eq!(targets.targets(), std::slice::from_ref(&device.certificate_arn));
    assert!(iot.delete_policy().policy_name("p").send().await.is_err());
    let from_template = iot.get_policy().policy_name("device").send().await.unwrap();
    assert!(from_template.policy_document().unwrap().contains("${iot:Connection.Thing.ThingName}"));
}

#[tokio::test]
async fn role_aliases_endpoints_and_destinations_stand_as_the_template_says() {
    let mut cloud = TestCloud::start().await;
    assert_eq!(cloud.running().outputs["Alias"], "device");
    let arn = cloud.running().outputs["DestinationArn"].clone();
    cloud.restart().await;
    assert_eq!(cloud.running().outputs["DestinationArn"], arn, "the same after a restart");
    let iot = cloud.iot();
    let alias = iot.describe_role_alias().role_alias("device").send().await.unwrap();
    let alias = alias.role_alias_description().unwrap();
    assert_eq!(alias.role_arn(), Some("arn:aws:iam::123456789012:role/device"));
    assert_eq!(alias.credential_duration_seconds(), Some(900));
    let endpoint = iot.describe_endpoint().endpoint_type("iot:Data-ATS").send().await.unwrap();
    let port = cloud.running().mqtt.port();
    assert_eq!(endpoint.endpoint_address(), Some(format!("localhost:{port}").as_str()));
    let destination = iot.get_topic_rule_destination().arn(&arn).send().await.unwrap();
    let destination = destination.topic_rule_destination().unwrap();
    assert_ne!(destination.status(), Some(&TopicRuleDestinationStatus::Enabled));
    let enabled = iot
        .update_topic_rule_destination()
        .arn(&arn)
        .status(TopicRuleDestinationStatus::Enabled)
        .send()
        .await;
    assert!(
        enabled.unwrap_err().into_service_error().is_invalid_request_exception(),
        "not before it is confirmed"
    );
    assert!(iot.confirm_topic_rule_destination().confirmation_token("guess").send().await.is_err());
}

#[tokio::test]
async fn the_fleet_index_knows_who_is_connected() {
    let cloud = TestCloud::start().await;
    let iot = cloud.iot();
    let one = cloud.device("one").await;
    cloud.device("two").await;
    let connection = cloud.connect(&one).await;

    let found = iot.search_index().query_string("connectivity.connected:true").send().await.unwrap();
    let names: Vec<_> = found.things().iter().map(|thing| thing.thing_name().unwrap()).collect();
    assert_eq!(names, ["one"]);
    assert_eq!(found.things()[0].connectivity().unwrap().connected(), Some(true));
    let found = iot.search_index().query_string("thingName:t*").send().await.unwrap();
    assert_eq!(found.things()[0].thing_name(), Some("two"));
    drop(connection);
}

#[tokio::test]
async fn signatures_and_permissions_are_checked() {
    let cloud = TestCloud::start().await;
    let unknown = cloud.iot_as(("AKIAUNKNOWNUNKNOWN12", "x")).list_things().send().await.unwrap_err();
    assert_eq!(unknown.raw_response().unwrap().status().as_u16(), 403);
    assert_eq!(unknown.into_service_error().code(), Some("UnrecognizedClientException"));
    let forged = cloud.iot_as((ADMIN.0, "wrong")).list_things().send().await.unwrap_err();
    assert_eq!(forged.into_service_error().code(), Some("InvalidSignatureException"));
    let reader = cloud.iot_as(READER);
    let denied = reader.create_thing().thing_name("x").send().await.unwrap_err().into_service_error();
    assert_eq!(denied.code(), Some("AccessDeniedException"));
    assert!(denied.message().unwrap().contains("is not authorized to perform: iot:CreateThing"));
    let missing = reader.describe_thing().thing_name("x").send().await.unwrap_err().into_service_error();
    assert!(missing.is_resource_not_found_exception(), "DescribeThing is allowed");
    assert!(reader.list_policies().send().await.is_ok(), "its time has not passed");
    let late = reader.list_role_aliases().send().await.unwrap_err().into_service_error();
    assert_eq!(late.code(), Some("AccessDeniedException"));
}

#[tokio::test]
async fn the_documented_rates_can_be_switched_on() {
    for (flags, on) in [(&["--rate-limits"][..], true), (&[][..], false)] {
        let cloud = TestCloud::with(flags).await;
        let (iot, device) = (cloud.iot(), cloud.device("one").await);
        let mut refused = 0;
        for number in 0..60 {
            match iot.describe_certificate().certificate_id(&device.certificate_id).send().await {
                Ok(_) => {}
                Err(error) => {
                    assert!(number >= 10, "ten a second go through");
                    assert_eq!(error.raw_response().unwrap().status().as_u16(), 400);
                    assert!(error.into_service_error().is_throttling_exception());
                    refused += 1;
                }
            }
        }
        assert_eq!(refused > 0, on, "{refused} of 60 calls");

        // One CONNECT a second of a client id: of several at once, most are refused.
        let mut refused = 0;
        for _ in 0..5 {
            match Mqtt::connect(cloud.options(&device, "one")).await {
                Ok(_) => {}
                Err(rumqttc::ConnectionError::ConnectionRefused(code)) => {
                    assert_eq!(code, rumqttc::ConnectReturnCode::ServiceUnavailable);
                    refused += 1;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(refused > 0, on, "{refused} of 5 CONNECTs");
    }
}

#[tokio::test]
async fn a_fault_that_was_asked_for_hits_and_passes() {
    let cloud = TestCloud::start().await;
    let (http, admin) = (reqwest::Client::new(), cloud.admin());
    let ask = |body: serde_json::Value| http.post(format!("http://{admin}/faults")).json(&body).send();
    let iot = cloud.iot();

    ask(serde_json::json!({"service": "iot", "fault": "status", "status": 503, "times": 1})).await.unwrap();
    let failed = iot.list_things().send().await.unwrap_err();
    assert_eq!(failed.raw_response().unwrap().status().as_u16(), 503);
    assert!(iot.list_things().send().await.is_ok());

    ask(serde_json::json!({"service": "iot", "fault": "refuse"})).await.unwrap();
    assert!(iot.list_things().send().await.is_err());
    http.delete(format!("http://{admin}/faults")).send().await.unwrap();
    assert!(iot.list_things().send().await.is_ok());
}
