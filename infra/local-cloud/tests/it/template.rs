//! Reading CloudFormation: a template of our own for the functions, and the one of the real account.

use std::collections::BTreeMap;

use local_cloud::{
    keys::{Principal, RoleRef},
    policy::{self, Context, Decision, Document, Request},
    template::{Pseudo, Resources, Template, TemplateError},
};

const REAL: &str = include_str!("../../../aws/recehub.yaml");

fn load(text: &str, parameters: &[(&str, &str)]) -> Result<Resources, TemplateError> {
    let parameters = parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let pseudo = Pseudo { account_id: "123456789012".to_owned(), region: "ap-northeast-1".to_owned() };
    Template::load(text, &parameters, &pseudo)
}

fn real() -> Resources {
    load(
        REAL,
        &[("FleetApiUrl", "http://127.0.0.1:8080"), ("EventsSecret", "s3cret"), ("BucketName", "rx-test")],
    )
    .unwrap()
}

#[test]
fn short_tags_and_long_forms_say_the_same() {
    let text = r#"
Parameters:
  Stage: { Type: String, Default: dev, AllowedValues: [dev, prod] }
  Zones: { Type: CommaDelimitedList, Default: "a, b" }
Conditions:
  Prod: !Equals [!Ref Stage, prod]
Resources:
  Short:
    Type: AWS::IoT::Policy
    Properties:
      PolicyName: !Join ["-", [x, !Select [1, !Ref Zones], !If [Prod, p, !Ref Stage]]]
      PolicyDocument: { A: !Sub "${!iot:ClientId} ${AWS::AccountId} ${Bucket.Arn}", B: !Ref AWS::NoValue }
  Long:
    Type: AWS::IoT::Policy
    Properties:
      PolicyName: { "Fn::Join": ["-", ["x", { "Fn::Select": [1, { Ref: Zones }] }, { "Fn::If": [Prod, p, { Ref: Stage }] }]] }
      PolicyDocument: { A: { "Fn::Sub": ["${!iot:ClientId} ${Who} ${Bucket.Arn}", { Who: { Ref: "AWS::AccountId" } }] } }
  Bucket: { Type: AWS::S3::Bucket, Properties: { BucketName: b } }
  OnlyInProd: { Type: AWS::S3::Bucket, Condition: Prod }
"#;
    let resources = load(text, &[]).unwrap();

    let [short, long] = &resources.iot_policies[..] else { panic!("two policies") };
    assert_eq!((&short.name, &short.document), (&long.name, &long.document));
    assert_eq!(short.name, "x-b-dev");
    assert_eq!(short.document, serde_json::json!({ "A": "${iot:ClientId} 123456789012 arn:aws:s3:::b" }));
    assert_eq!(resources.buckets.len(), 1);
    assert_eq!(load(text, &[("Stage", "prod")]).unwrap().buckets.len(), 2);
}

#[test]
fn what_is_missing_or_unknown_is_told_by_name() {
    let text = "Parameters: { P: { Type: String } }\nResources: { B: { Type: AWS::S3::Bucket, Properties: { BucketName: !Ref P } } }";
    let told = |parameters: &[(&str, &str)]| load(text, parameters).map(drop).unwrap_err().to_string();
    assert_eq!(told(&[]), "template: the parameter P has no value");
    assert_eq!(told(&[("Q", "x")]), "template: there is no parameter Q");
    assert!(load("Resources: [", &[]).is_err());
    let loose = "Resources: { B: { Type: AWS::S3::Bucket, Properties: { BucketName: !Ref Nowhere } } }";
    assert_eq!(
        load(loose, &[]).map(drop).unwrap_err().to_string(),
        "template: there is no parameter or resource Nowhere"
    );
}

#[test]
fn the_real_template_gives_all_that_the_boot_needs() {
    let resources = real();

    assert_eq!(resources.role_aliases[0].role_arn, "arn:aws:iam::123456789012:role/recehub-box");
    let bucket = &resources.buckets[0];
    assert_eq!((bucket.name.as_str(), bucket.versioning, bucket.object_lock), ("rx-test", true, true));
    assert_eq!((bucket.encryption.as_deref(), bucket.bucket_key), (Some("aws:kms"), true));
    assert_eq!(resources.topic_rules.len(), 2);
    let http = &resources.topic_rules[0].actions[0]["http"];
    assert_eq!(http["url"], "http://127.0.0.1:8080/iot/events");
    assert_eq!(http["headers"][0]["value"], "s3cret");
    assert_eq!(resources.topic_rules[0].error_action.as_ref().unwrap()["s3"]["bucketName"], "rx-test");
    assert_eq!(resources.destinations[0].confirmation_url, "http://127.0.0.1:8080/iot/events");
    let made = BTreeMap::from([("EventsDestination.Arn".to_owned(), "arn:made".to_owned())]);
    let outputs = resources.outputs(&made).unwrap();
    assert_eq!(outputs["BucketName"], "rx-test");
    assert_eq!(outputs["RoleAlias"], "recehub-box");
    assert_eq!(outputs["BoxPolicyName"], "recehub-box");
    assert_eq!(outputs["BoxRoleName"], "recehub-box");
    assert_eq!(outputs["EventsDestinationArn"], "arn:made");
    assert!(!outputs.contains_key("LoadBalancerName"));
}

#[test]
fn a_box_reaches_its_own_shadows_and_no_other_topic() {
    let document = Document::from_value(&real().iot_policies[0].document).unwrap();
    let attached = Context::new()
        .with("iot:Connection.Thing.ThingName", "tenpo-0001")
        .with("iot:Connection.Thing.IsAttached", "true");
    let ask = |context: &Context, action: &str, resource: &str| {
        let resource = format!("arn:aws:iot:ap-northeast-1:123456789012:{resource}");
        policy::evaluate([&document], &Request { action, resource: &resource, context }).is_allowed()
    };
    let own = "$aws/things/tenpo-0001/shadow/name";

    assert!(ask(&attached, "iot:Connect", "client/tenpo-0001"));
    assert!(ask(&attached, "iot:Publish", &format!("topic/{own}/lan/update")));
    assert!(ask(&attached, "iot:Subscribe", &format!("topicfilter/{own}/status/update/+")));
    assert!(ask(&attached, "iot:Receive", &format!("topic/{own}/lan/update/delta")));
    assert!(ask(&attached, "iot:AssumeRoleWithCertificate", "rolealias/recehub-box"));
    for (action, resource) in [
        ("iot:Connect", "client/tenpo-0002"),
        ("iot:Publish", "topic/$aws/things/tenpo-0002/shadow/name/lan/update"),
        ("iot:Publish", "topic/$aws/things/tenpo-0001/shadow/update"),
        ("iot:Publish", "topic/$aws/things/tenpo-0001/shadow/name/other/update"),
        ("iot:Publish", "topic/anything"),
        ("iot:Subscribe", "topicfilter/#"),
        ("iot:Subscribe", "topicfilter/$aws/things/+/shadow/name/lan/update"),
        ("iot:Receive", "topic/$aws/things/tenpo-0002/shadow/name/lan/update/delta"),
        ("iot:UpdateThingShadow", "thing/tenpo-0001/lan"),
        ("iot:AssumeRoleWithCertificate", "rolealias/other"),
    ] {
        assert!(!ask(&attached, action, resource), "{action} {resource}");
    }
    let loose = Context::new().with("iot:Connection.Thing.IsAttached", "false");
    assert!(!ask(&loose, "iot:Connect", "client/tenpo-0001"));
    assert!(!ask(&loose, "iot:Publish", &format!("topic/{own}/lan/update")));
}

/// What a role of the template may do on the bucket, the bucket's own policy included.
fn on_bucket(
    resources: &Resources,
    role: &str,
    action: &str,
    path: &str,
    extra: &[(&str, &str)],
) -> Decision {
    let role = resources.role(role).unwrap();
    let parse = |value| Document::from_value(value).unwrap();
    let mut documents: Vec<Document> = role.policies.iter().map(parse).collect();
    documents.extend(resources.buckets[0].policy.as_ref().map(parse));
    let known = RoleRef { arn: role.arn.clone(), name: role.name.clone(), policies: Vec::new() };
    let principal = Principal::of_role(&known, "s", "123456789012");
    let mut context = principal.request_context(chrono::DateTime::UNIX_EPOCH, true);
    for (key, value) in extra {
        context.set(key, *value);
    }
    let resource = format!("arn:aws:s3:::rx-test{path}");
    policy::evaluate(&documents, &Request { action, resource: &resource, context: &context })
}

const LOCKED: (&str, &str) = ("s3:object-lock-mode", "COMPLIANCE");

#[test]
fn the_api_puts_and_lists_versions_and_reads_nothing_but_checkpoints() {
    use Decision::{Allow, ExplicitDeny, ImplicitDeny};
    let resources = real();
    for (action, path, extra, expected) in [
        ("s3:PutObject", "/rx/t/1", &[("s3:if-none-match", "*")][..], Allow),
        ("s3:PutObject", "/rx/t/1", &[], ExplicitDeny),
        (
            "s3:PutObject",
            "/rx/t/1",
            &[("s3:if-none-match", "*"), ("aws:SecureTransport", "false")],
            ExplicitDeny,
        ),
        ("s3:PutObject", "/audit/checkpoints/1.json", &[LOCKED], Allow),
        ("s3:PutObject", "/audit/checkpoints/1.json", &[("s3:object-lock-mode", "GOVERNANCE")], ExplicitDeny),
        ("s3:PutObject", "/audit/checkpoints/1.json", &[], ExplicitDeny),
        (
            "s3:PutObject",
            "/audit/checkpoints/1.json",
            &[LOCKED, ("s3:object-lock-remaining-retention-days", "2000")],
            Allow,
        ),
        (
            "s3:PutObject",
            "/audit/checkpoints/1.json",
            &[LOCKED, ("s3:object-lock-remaining-retention-days", "30")],
            ExplicitDeny,
        ),
        ("s3:PutObjectRetention", "/audit/checkpoints/1.json", &[], Allow),
        ("s3:GetObject", "/audit/checkpoints/1.json", &[], Allow),
        ("s3:ListBucket", "", &[("s3:prefix", "audit/checkpoints/")], Allow),
        ("s3:DeleteObject", "/audit/checkpoints/1.json", &[], ImplicitDeny),
        ("s3:PutObject", "/other", &[], ImplicitDeny),
        ("s3:GetObject", "/rx/t/1", &[], ImplicitDeny),
        ("s3:DeleteObject", "/rx/t/1", &[], ImplicitDeny),
        ("s3:ListBucket", "", &[("s3:prefix", "rx/t")], ImplicitDeny),
        ("s3:ListBucketVersions", "", &[("s3:prefix", "rx/t/1")], Allow),
        ("s3:ListBucketVersions", "", &[("s3:prefix", "audit/")], ImplicitDeny),
        ("s3:ListBucketVersions", "", &[], ImplicitDeny),
    ] {
        let decision = on_bucket(&resources, "ApiRole", action, path, extra);
        assert_eq!(decision, expected, "{action} {path} {extra:?}");
    }
}

#[test]
fn who_restores_the_ledger_lists_and_reads_versions_and_writes_nothing() {
    use Decision::{Allow, ExplicitDeny, ImplicitDeny};
    let resources = real();
    for (action, path, extra, expected) in [
        ("s3:ListBucketVersions", "", &[("s3:prefix", "rx/")][..], Allow),
        ("s3:ListBucketVersions", "", &[("s3:prefix", "audit/")], ImplicitDeny),
        ("s3:GetObjectVersion", "/rx/t/1", &[], Allow),
        ("s3:GetObjectVersion", "/rx/t/1", &[("aws:SecureTransport", "false")], ExplicitDeny),
        ("s3:GetObjectVersion", "/events/failed/shadow/1", &[], ImplicitDeny),
        ("s3:PutObject", "/rx/t/1", &[("s3:if-none-match", "*")], ImplicitDeny),
        ("s3:DeleteObjectVersion", "/rx/t/1", &[], ImplicitDeny),
    ] {
        let decision = on_bucket(&resources, "RestoreRole", action, path, extra);
        assert_eq!(decision, expected, "{action} {path} {extra:?}");
    }
}

#[test]
fn a_box_may_do_nothing_on_the_bucket() {
    let resources = real();
    for action in ["s3:PutObject", "s3:GetObject", "s3:ListBucket", "s3:DeleteObject"] {
        let decision = on_bucket(&resources, "BoxRole", action, "/rx/t/1", &[("s3:if-none-match", "*")]);
        assert_eq!(decision, Decision::ExplicitDeny, "{action}");
    }
    let trust = Document::from_value(&resources.role("BoxRole").unwrap().trust).unwrap();
    let assumed = |service: &str| {
        let context = Context::new().with("aws:PrincipalServiceName", service);
        let request = Request { action: "sts:AssumeRole", resource: "", context: &context };
        policy::evaluate([&trust], &request).is_allowed()
    };
    assert!(assumed("credentials.iot.amazonaws.com"));
    assert!(!assumed("ecs-tasks.amazonaws.com"));
}
