//! No statement of the real template is wider than it must be: every policy in it is read, wherever it stands.

use serde_yaml_ng::Value;

const REAL: &str = include_str!("../../../aws/recehub.yaml");

/// Actions that know no resource (AWS's Service Authorization Reference, "Resource types" empty).
const WITHOUT_RESOURCE: &[&str] = &[
    "iot:AttachThingPrincipal",
    "iot:CreateCertificateFromCsr",
    "iot:DetachThingPrincipal",
    "iot:ListCertificates",
    "iot:ListPrincipalThings",
    "iot:ListThings",
];
/// All that anything but the account's own administrators may ever be allowed. A new action is a decision.
const ALLOWED: &[&str] = &[
    "iot:AssumeRoleWithCertificate",
    "iot:AttachPolicy",
    "iot:AttachThingPrincipal",
    "iot:ConfirmTopicRuleDestination",
    "iot:Connect",
    "iot:CreateCertificateFromCsr",
    "iot:CreateThing",
    "iot:DeleteThingShadow",
    "iot:DescribeCertificate",
    "iot:DescribeThing",
    "iot:DetachPolicy",
    "iot:DetachThingPrincipal",
    "iot:GetThingShadow",
    "iot:GetTopicRuleDestination",
    "iot:ListCertificates",
    "iot:ListPrincipalThings",
    "iot:ListThingPrincipals",
    "iot:ListThings",
    "iot:Publish",
    "iot:Receive",
    "iot:SearchIndex",
    "iot:Subscribe",
    "iot:UpdateCertificate",
    "iot:UpdateThing",
    "iot:UpdateThingShadow",
    "iot:UpdateTopicRuleDestination",
    "kms:GenerateDataKey",
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:PutObject",
    "s3:PutObjectRetention",
    "secretsmanager:GetSecretValue",
    "sts:AssumeRole",
];
/// ECS needs it to start a task: pull the image, write logs.
const MANAGED: &str = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";
const ACCOUNT: &str = "arn:aws:iam::${AWS::AccountId}:root";
/// The one role that a person takes on, and the one that reads what lies in the bucket: metadata, for it cannot decrypt.
const RESTORE: &str = "RestoreRole/";
/// All that the API reads of the bucket: hashes and signatures, no prescription.
const CHECKPOINTS: &str = "${PrescriptionBucket.Arn}/audit/checkpoints/*";
/// A key without an administrator could never be changed again.
const KEY_POLICY: &str = "PrescriptionKey/Properties/KeyPolicy";

/// A statement and the path at which it stands.
struct Statement {
    at: String,
    value: Value,
}

impl Statement {
    fn list(&self, element: &str) -> Vec<String> {
        match self.value.get(element) {
            None => Vec::new(),
            Some(Value::Sequence(items)) => items.iter().map(text).collect(),
            Some(one) => vec![text(one)],
        }
    }

    fn allows(&self) -> bool {
        self.value["Effect"] == "Allow"
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |what: String| faults.push(format!("{}: {what}", self.at));
        if !self.allows() {
            return faults;
        }
        let (actions, resources) = (self.list("Action"), self.list("Resource"));
        if actions.is_empty() {
            fault("it allows all but some actions".to_owned());
        }
        for element in ["NotAction", "NotResource", "NotPrincipal"] {
            if self.value.get(element).is_some() {
                fault(format!("it has {element}"));
            }
        }
        let administrators = text(&self.value["Principal"]["AWS"]);
        if self.at.starts_with(KEY_POLICY) {
            if administrators != ACCOUNT {
                fault(format!("the key is administered by {administrators}"));
            }
            return faults;
        }
        for action in &actions {
            if !ALLOWED.contains(&action.as_str()) {
                fault(format!("it allows {action}"));
            }
        }
        let trust = self.at.contains("/AssumeRolePolicyDocument");
        if trust {
            let services: Vec<_> = self.value["Principal"].as_mapping().into_iter().flatten().collect();
            let one_service = matches!(services[..], [(kind, who)] if kind == "Service" && who.is_string());
            let person = self.at.starts_with(RESTORE)
                && services.len() == 1
                && administrators == ACCOUNT
                && self.value["Condition"]["Bool"]["aws:MultiFactorAuthPresent"] == "true";
            if !(one_service || person) || actions != ["sts:AssumeRole"] {
                fault("it trusts more than one service".to_owned());
            }
            return faults;
        }
        if self.value.get("Principal").is_some() {
            fault("a resource policy allows something: only identities' policies do".to_owned());
        }
        if resources.is_empty() {
            fault("it names no resource".to_owned());
        }
        for resource in &resources {
            let bare = !actions.iter().all(|action| WITHOUT_RESOURCE.contains(&action.as_str()));
            if is_everything(resource) && bare {
                fault(format!("{actions:?} on {resource}"));
            }
        }
        faults
    }
}

/// `*`, or an ARN whose own part is nothing but wildcards, or that leaves service, region or account open.
fn is_everything(resource: &str) -> bool {
    let resource = without_variables(resource);
    let parts: Vec<&str> = resource.splitn(6, ':').collect();
    let [arn, _, rest @ .., own] = &parts[..] else {
        return resource.contains('*') && !resource.contains('/');
    };
    *arn != "arn"
        || own.chars().all(|c| matches!(c, '*' | '?' | '/'))
        || rest.iter().any(|part| part.contains('*'))
}

/// `${AWS::Region}` has colons of its own; what it stands for has none.
fn without_variables(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        plain = plain + before + "x";
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    plain + rest
}

/// What a scalar says, a short function's argument included.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Tagged(tagged) => text(&tagged.value),
        other => format!("{other:?}"),
    }
}

fn collect(at: &str, value: &Value, statements: &mut Vec<Statement>) {
    match value {
        Value::Mapping(map) => {
            if map.contains_key("Effect") {
                statements.push(Statement { at: at.to_owned(), value: value.clone() });
            }
            for (key, inner) in map {
                collect(format!("{at}/{}", text(key)).trim_start_matches('/'), inner, statements);
            }
        }
        Value::Sequence(items) => {
            for (number, inner) in items.iter().enumerate() {
                collect(&format!("{at}/{number}"), inner, statements);
            }
        }
        Value::Tagged(tagged) => collect(at, &tagged.value, statements),
        _ => {}
    }
}

fn statements(template: &str) -> Vec<Statement> {
    let template: Value = serde_yaml_ng::from_str(template).unwrap();
    let mut statements = Vec::new();
    collect("", &template["Resources"], &mut statements);
    statements
}

fn faults(template: &str) -> Vec<String> {
    let statements = statements(template);
    let mut faults: Vec<String> = statements.iter().flat_map(Statement::faults).collect();
    let of = |resource: &str| {
        let start = format!("{resource}/Properties/Policies/");
        statements.iter().filter(move |statement| statement.at.starts_with(&start))
    };
    let box_role: Vec<&Statement> = of("BoxRole").collect();
    if box_role.iter().any(|statement| statement.allows()) {
        faults.push("BoxRole allows something".to_owned());
    }
    let denies = |statement: &&Statement| {
        statement.list("Action") == ["s3:*"]
            && statement.list("Resource") == ["*"]
            && statement.value.get("Condition").is_none()
    };
    if !box_role.iter().any(denies) {
        faults.push("BoxRole does not deny s3:*".to_owned());
    }
    for statement in statements.iter().filter(|it| it.allows() && !it.at.starts_with(KEY_POLICY)) {
        for action in statement.list("Action") {
            let reads = action.starts_with("s3:Get")
                && !statement.at.starts_with(RESTORE)
                && !(action == "s3:GetObject" && statement.list("Resource") == [CHECKPOINTS]);
            let writes = action.starts_with("s3:Put") && statement.at.starts_with(RESTORE);
            if reads || writes || action.starts_with("s3:Delete") || action == "kms:Decrypt" {
                faults.push(format!("{} allows {action}", statement.at));
            }
        }
    }
    faults.extend(bucket_faults(&statements));
    faults.extend(managed_faults(template));
    faults
}

/// The bucket refuses what is not over TLS, and writes of prescriptions that could replace one.
fn bucket_faults(statements: &[Statement]) -> Vec<String> {
    let denied = |actions: &str, resources: &[&str], condition: &str| {
        let condition: Value = serde_yaml_ng::from_str(condition).unwrap();
        statements.iter().any(|statement| {
            statement.at.starts_with("PrescriptionBucketPolicy/")
                && !statement.allows()
                && statement.value["Principal"] == "*"
                && statement.list("Action") == [actions]
                && statement.list("Resource") == resources
                && statement.value["Condition"] == condition
        })
    };
    let whole = ["PrescriptionBucket.Arn", "${PrescriptionBucket.Arn}/*"];
    let mut faults = Vec::new();
    if !denied("s3:*", &whole, r#"Bool: { "aws:SecureTransport": "false" }"#) {
        faults.push("the bucket takes what is not over TLS".to_owned());
    }
    let once = r#""Null": { "s3:if-none-match": "true" }"#;
    if !denied("s3:PutObject", &["${PrescriptionBucket.Arn}/rx/*"], once) {
        faults.push("a prescription may be written twice".to_owned());
    }
    let locked = r#"StringNotEquals: { "s3:object-lock-mode": COMPLIANCE }"#;
    if !denied("s3:PutObject", &[CHECKPOINTS], locked) {
        faults.push("a checkpoint may be put without a lock".to_owned());
    }
    let long = r#"NumericLessThan: { "s3:object-lock-remaining-retention-days": "1095" }"#;
    if !denied("s3:PutObject", &[CHECKPOINTS], long) {
        faults.push("a checkpoint may be locked for a short time only".to_owned());
    }
    faults
}

fn managed_faults(template: &str) -> Vec<String> {
    let template: Value = serde_yaml_ng::from_str(template).unwrap();
    let mut faults = Vec::new();
    for (name, resource) in template["Resources"].as_mapping().unwrap() {
        for policy in resource["Properties"]["ManagedPolicyArns"].as_sequence().into_iter().flatten() {
            if text(policy) != MANAGED || text(name) != "ApiStartRole" {
                faults.push(format!("{} has {}", text(name), text(policy)));
            }
        }
    }
    faults
}

#[test]
fn no_statement_is_wider_than_it_must_be() {
    let found = statements(REAL);
    assert!(found.len() >= 25, "only {} statements were found", found.len());

    assert_eq!(faults(REAL), Vec::<String>::new());
}

#[test]
fn whatever_is_widened_is_noticed() {
    for (from, to, told) in [
        ("Action: [iot:Publish, iot:Receive]", "Action: [iot:Publish, \"iot:*\"]", "it allows iot:*"),
        ("Action: iot:Connect", "Action: \"*\"", "it allows *"),
        ("Action: iot:Connect", "NotAction: iot:Connect", "it allows all but some actions"),
        (
            "                Action: iot:SearchIndex\n                Resource: !Sub \"arn:aws:iot:${AWS::Region}:${AWS::AccountId}:index/AWS_Things\"",
            "                Action: iot:SearchIndex\n                Resource: \"*\"",
            "[\"iot:SearchIndex\"] on *",
        ),
        (
            "${AWS::AccountId}:client/${!iot:Connection.Thing.ThingName}",
            "${AWS::AccountId}:*",
            "[\"iot:Connect\"] on ",
        ),
        ("${AWS::AccountId}:index/AWS_Things", "*:index/AWS_Things", "[\"iot:SearchIndex\"] on "),
        (
            "                  - iot:ListThings\n",
            "                  - iot:ListThings\n                  - iot:DeleteThing\n",
            "it allows iot:DeleteThing",
        ),
        (
            "                  - iot:ListThings\n",
            "                  - iot:ListThings\n                  - iot:DescribeThing\n",
            "on *",
        ),
        (
            "              - Effect: Deny\n                Action: \"s3:*\"",
            "              - Effect: Allow\n                Action: s3:PutObject",
            "BoxRole allows something",
        ),
        (
            "                Action: \"s3:*\"\n                Resource: \"*\"",
            "                Action: s3:PutObject\n                Resource: \"*\"",
            "BoxRole does not deny s3:*",
        ),
        (
            "                Action: s3:GetObject\n                Resource: !Sub \"${PrescriptionBucket.Arn}/audit/checkpoints/*\"",
            "                Action: s3:GetObject\n                Resource: !Sub \"${PrescriptionBucket.Arn}/*\"",
            "ApiRole/Properties/Policies/0/PolicyDocument/Statement/2 allows s3:GetObject",
        ),
        ("\"1095\"", "\"1\"", "for a short time only"),
        (
            "Action: kms:GenerateDataKey",
            "Action: [kms:GenerateDataKey, kms:Decrypt]",
            "it allows kms:Decrypt",
        ),
        (
            "Principal: { Service: credentials.iot.amazonaws.com }",
            "Principal: { AWS: \"*\" }",
            "it trusts more than one service",
        ),
        (
            "\"aws:SecureTransport\": \"false\"",
            "\"aws:SecureTransport\": \"true\"",
            "the bucket takes what is not over TLS",
        ),
        (
            "\"s3:if-none-match\": \"true\"",
            "\"s3:if-none-match\": \"false\"",
            "a prescription may be written twice",
        ),
        (
            "Sid: PrescriptionsAreWrittenOnce\n            Effect: Deny",
            "Sid: PrescriptionsAreWrittenOnce\n            Effect: Allow",
            "a resource policy allows something",
        ),
        ("\"s3:object-lock-mode\": COMPLIANCE", "\"s3:object-lock-mode\": GOVERNANCE", "without a lock"),
        (
            "\"aws:MultiFactorAuthPresent\": \"true\"",
            "\"aws:MultiFactorAuthPresent\": \"false\"",
            "it trusts more than one service",
        ),
        (
            "Action: s3:GetObjectVersion",
            "Action: [s3:GetObjectVersion, kms:Decrypt]",
            "RestoreRole/Properties/Policies/0/PolicyDocument/Statement/1 allows kms:Decrypt",
        ),
        ("Action: s3:GetObjectVersion", "Action: s3:PutObject", "allows s3:PutObject"),
        ("iam::${AWS::AccountId}:root", "iam::*:root", "the key is administered by"),
        ("AmazonECSTaskExecutionRolePolicy", "AdministratorAccess", "ApiStartRole has "),
    ] {
        let widened = REAL.replacen(from, to, 1);
        assert_ne!(widened, REAL, "{from} is not in the template");

        let faults = faults(&widened);

        assert!(faults.iter().any(|fault| fault.contains(told)), "{to}: {faults:#?}");
    }
}
