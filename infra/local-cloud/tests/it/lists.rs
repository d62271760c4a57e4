//! Lists of the control plane, page by page and both ways, and the fleet index.

use std::time::Duration;

use aws_sdk_iot::types::AttributePayload;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use crate::support::TestCloud;

fn policy() -> String {
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}]}"#
        .to_owned()
}

#[tokio::test]
async fn policies_and_role_aliases_are_listed_by_age_both_ways() {
    let cloud = TestCloud::start().await;
    let iot = cloud.iot();
    let made = ["zebra", "apple", "mango", "kiwi", "fig"];
    for name in made {
        iot.create_policy().policy_name(name).policy_document(policy()).send().await.unwrap();
        let role = "arn:aws:iam::123456789012:role/device";
        iot.create_role_alias().role_alias(name).role_arn(role).send().await.unwrap();
    }
    for ascending in [true, false] {
        let (mut policies, mut aliases) = (Vec::new(), Vec::new());
        let mut marker = None;
        loop {
            let page = iot.list_policies().page_size(2).ascending_order(ascending).set_marker(marker);
            let page = page.send().await.unwrap();
            assert!(page.policies().len() <= 2);
            policies.extend(page.policies().iter().map(|it| it.policy_name().unwrap().to_owned()));
            marker = page.next_marker().map(str::to_owned);
            if marker.is_none() {
                break;
            }
        }
        loop {
            let page = iot.list_role_aliases().page_size(2).ascending_order(ascending).set_marker(marker);
            let page = page.send().await.unwrap();
            aliases.extend(page.role_aliases().to_vec());
            marker = page.next_marker().map(str::to_owned);
            if marker.is_none() {
                break;
            }
        }
        for (what, mut seen) in [("policies", policies), ("aliases", aliases)] {
            if !ascending {
                seen.reverse();
            }
            // The template's came first.
            assert_eq!(seen[seen.len() - made.len()..], made, "{what}, ascending: {ascending}");
        }
    }
    let bad = iot.list_policies().marker("zz").send().await.unwrap_err().into_service_error();
    assert!(bad.is_invalid_request_exception());
    let bad = iot.list_policies().page_size(251).send().await.unwrap_err().into_service_error();
    assert!(bad.is_invalid_request_exception());
}

#[tokio::test]
async fn attachments_are_listed_page_by_page_from_either_end() {
    let cloud = TestCloud::start().await;
    let (iot, certificate) = (cloud.iot(), cloud.certificate("any").await);
    let arn = &certificate.certificate_arn;
    for number in 0..5 {
        let name = format!("n{number}");
        iot.create_thing().thing_name(&name).send().await.unwrap();
        iot.attach_thing_principal().thing_name(&name).principal(arn).send().await.unwrap();
        iot.create_policy().policy_name(&name).policy_document(policy()).send().await.unwrap();
        iot.attach_policy().policy_name(&name).target(arn).send().await.unwrap();
        let other = cloud.certificate("any").await.certificate_arn;
        iot.attach_thing_principal().thing_name("n0").principal(&other).send().await.unwrap();
        iot.attach_policy().policy_name("n0").target(&other).send().await.unwrap();
    }
    let expected: Vec<String> = (0..5).map(|number| format!("n{number}")).collect();

    let things = iot.list_principal_things().principal(arn).max_results(2).into_paginator().items().send();
    assert_eq!(things.collect::<Result<Vec<_>, _>>().await.unwrap(), expected);
    let principals =
        iot.list_thing_principals().thing_name("n0").max_results(2).into_paginator().items().send();
    let principals = principals.collect::<Result<Vec<_>, _>>().await.unwrap();
    assert_eq!(principals.len(), 6);
    assert!(principals.contains(arn));
    let policies = iot.list_attached_policies().target(arn).page_size(2).into_paginator().items().send();
    let policies = policies.collect::<Result<Vec<_>, _>>().await.unwrap();
    assert_eq!(policies.iter().map(|it| it.policy_name().unwrap()).collect::<Vec<_>>(), expected);
    let targets =
        iot.list_targets_for_policy().policy_name("n0").page_size(2).into_paginator().items().send();
    let targets = targets.collect::<Result<Vec<_>, _>>().await.unwrap();
    assert_eq!(targets.len(), 6);
    assert!(targets.contains(arn));
}

#[tokio::test]
async fn the_fleet_index_finds_by_name_attribute_type_and_connection() {
    let cloud = TestCloud::start().await;
    let iot = cloud.iot();
    let (one, _) = (cloud.device("tenpo-1").await, cloud.device("tenpo-2").await);
    for (name, site) in [("tenpo-1", "Tokyo"), ("tenpo-2", "Osaka"), ("other", "Tokyo")] {
        let site = AttributePayload::builder().attributes("site", site).attributes("floor-no", "1").build();
        if name == "other" {
            iot.create_thing().thing_name(name).thing_type_name("shelf").send().await.unwrap();
        }
        iot.update_thing().thing_name(name).attribute_payload(site).send().await.unwrap();
    }
    let find = async |query: &str| {
        let found = iot.search_index().index_name("AWS_Things").query_string(query).send().await.unwrap();
        found.things().iter().map(|it| it.thing_name().unwrap().to_owned()).collect::<Vec<_>>()
    };

    let connection = cloud.connect(&one).await;
    assert_eq!(find("*").await, ["other", "tenpo-1", "tenpo-2"]);
    assert_eq!(find("thingName:tenpo-*").await, ["tenpo-1", "tenpo-2"]);
    assert_eq!(find("thingName:TENPO-2").await, ["tenpo-2"], "case does not count");
    assert_eq!(find("attributes.site:Tokyo").await, ["other", "tenpo-1"]);
    assert_eq!(find("attributes.site:\"tokyo\" AND thingName:tenpo*").await, ["tenpo-1"]);
    assert_eq!(find("attributes.site:Tokyo thingTypeName:shelf").await, ["other"], "AND goes without saying");
    assert_eq!(find("attributes.floor-no:1 AND connectivity.connected:true").await, ["tenpo-1"]);
    assert_eq!(find("connectivity.connected:false").await, ["other", "tenpo-2"]);
    assert!(find("attributes.color:red").await.is_empty());

    connection.client.disconnect().await.unwrap();
    let mut connection = connection;
    connection.ended().await;
    crate::support::eventually("tenpo-1 is known to have left", async || {
        find("connectivity.disconnectReason:CLIENT_INITIATED_DISCONNECT").await == ["tenpo-1"]
    })
    .await;
    let found = iot.search_index().query_string("thingName:tenpo-1").send().await.unwrap();
    let connectivity = found.things()[0].connectivity().unwrap();
    assert_eq!(connectivity.connected(), Some(false));
    assert!(Duration::from_millis(connectivity.timestamp().unwrap().unsigned_abs()) > Duration::from_secs(1));
}

#[tokio::test]
async fn the_fleet_index_is_read_page_by_page_and_refuses_what_it_does_not_know() {
    let cloud = TestCloud::start().await;
    let iot = cloud.iot();
    for number in 0..5 {
        iot.create_thing().thing_name(format!("t{number}")).send().await.unwrap();
    }
    let (mut names, mut token) = (Vec::new(), None);
    loop {
        let page = iot.search_index().query_string("thingName:t*").max_results(2).set_next_token(token);
        let page = page.send().await.unwrap();
        assert!(page.things().len() <= 2);
        names.extend(page.things().iter().map(|it| it.thing_name().unwrap().to_owned()));
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(names, ["t0", "t1", "t2", "t3", "t4"]);

    for query in
        ["NOT thingName:t1", "thingName:t1 OR thingName:t2", "-thingName:t1", "thingName:[a TO b]", "t1"]
    {
        let refused = iot.search_index().query_string(query).send().await.unwrap_err().into_service_error();
        assert!(refused.is_invalid_query_exception(), "{query}: {refused:?}");
    }
    let other = iot.search_index().index_name("AWS_ThingGroups").query_string("*").send().await.unwrap_err();
    assert_eq!(other.into_service_error().code(), Some("ResourceNotFoundException"));
    let many = iot.search_index().query_string("*").max_results(101).send().await.unwrap_err();
    assert_eq!(many.into_service_error().code(), Some("InvalidRequestException"));
}
