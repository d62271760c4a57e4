//! The resources this cloud has, typed.

use serde_json::{Map, Value};

use super::{
    Resources, TemplateError,
    resolve::{Resolver, text_of},
};

#[derive(Debug, Clone)]
pub struct IotPolicy {
    pub name: String,
    pub document: Value,
}

#[derive(Debug, Clone)]
pub struct RoleAlias {
    pub alias: String,
    pub role_arn: String,
    pub duration_seconds: u32,
}

#[derive(Debug, Clone)]
pub struct Role {
    pub logical_id: String,
    pub name: String,
    pub arn: String,
    /// Inline ones and those of the template that are attached to it.
    pub policies: Vec<Value>,
    pub trust: Value,
    pub max_session_seconds: u32,
}

#[derive(Debug, Clone)]
pub struct Bucket {
    pub name: String,
    pub policy: Option<Value>,
    pub versioning: bool,
    pub object_lock: bool,
    /// The default retention of new objects: mode and days.
    pub retention: Option<(String, u32)>,
    /// `aws:kms` or `AES256`
    pub encryption: Option<String>,
    pub kms_key: Option<String>,
    pub bucket_key: bool,
}

/// `actions` and `error_action` are in the shape of the IoT API (camelCase).
#[derive(Debug, Clone)]
pub struct TopicRule {
    pub name: String,
    pub sql: String,
    pub sql_version: Option<String>,
    pub disabled: bool,
    pub actions: Vec<Value>,
    pub error_action: Option<Value>,
}

#[derive(Debug, Clone)]
pub struct Destination {
    pub logical_id: String,
    pub confirmation_url: String,
    /// The ARN foreseen for it; the same at each start.
    pub arn: String,
}

/// A resource's properties, with the resolver they are read by.
struct Properties<'a> {
    resolver: &'a Resolver,
    id: String,
    map: Map<String, Value>,
}

impl Properties<'_> {
    fn get(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        self.resolver.property(&self.map, name)
    }

    fn need(&self, name: &str) -> Result<Value, TemplateError> {
        self.get(name)?.ok_or_else(|| TemplateError(format!("{} has no {name}", self.id)))
    }

    fn name(&self, property: &str) -> Result<String, TemplateError> {
        self.resolver.name(&self.id, &self.map, property)
    }

    fn attribute(&self, name: &str) -> Result<String, TemplateError> {
        let value = self.resolver.resolve(&serde_json::json!({ "Fn::GetAtt": [self.id, name] }))?;
        Ok(text_of(&value.unwrap_or_default()))
    }
}

impl Resources {
    pub(super) fn read(resolver: Resolver) -> Result<Self, TemplateError> {
        Ok(Self {
            iot_policies: each(&resolver, "AWS::IoT::Policy", |of| {
                Ok(IotPolicy { name: of.name("PolicyName")?, document: of.need("PolicyDocument")? })
            })?,
            role_aliases: each(&resolver, "AWS::IoT::RoleAlias", |of| {
                Ok(RoleAlias {
                    alias: of.name("RoleAlias")?,
                    role_arn: text_of(&of.need("RoleArn")?),
                    duration_seconds: number(of.get("CredentialDurationSeconds")?, 3600),
                })
            })?,
            roles: roles(&resolver)?,
            buckets: buckets(&resolver)?,
            topic_rules: each(&resolver, "AWS::IoT::TopicRule", |of| topic_rule(&of))?,
            destinations: each(&resolver, "AWS::IoT::TopicRuleDestination", |of| {
                let http = of.need("HttpUrlProperties")?;
                Ok(Destination {
                    confirmation_url: http.get("ConfirmationUrl").map(text_of).unwrap_or_default(),
                    arn: of.attribute("Arn")?,
                    logical_id: of.id,
                })
            })?,
            resolver,
        })
    }
}

fn each<T>(
    resolver: &Resolver,
    kind: &str,
    read: impl Fn(Properties<'_>) -> Result<T, TemplateError>,
) -> Result<Vec<T>, TemplateError> {
    resolver.of_type(kind)?.into_iter().map(|(id, map)| read(Properties { resolver, id, map })).collect()
}

fn roles(resolver: &Resolver) -> Result<Vec<Role>, TemplateError> {
    // Policies that stand as resources of their own: the roles they name, and what they say.
    let mut attached: Vec<(String, Value)> = Vec::new();
    for kind in ["AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"] {
        for (mut roles, managed, document) in each(resolver, kind, |of| {
            let managed = if kind == "AWS::IAM::ManagedPolicy" { Some(of.attribute("Arn")?) } else { None };
            let roles = list(of.get("Roles")?).into_iter().chain(of.get("RoleName")?);
            Ok((roles.map(|role| text_of(&role)).collect::<Vec<_>>(), managed, of.need("PolicyDocument")?))
        })? {
            roles.extend(managed);
            attached.extend(roles.into_iter().map(|role| (role, document.clone())));
        }
    }
    each(resolver, "AWS::IAM::Role", |of| {
        let name = of.name("RoleName")?;
        let managed: Vec<String> = list(of.get("ManagedPolicyArns")?).iter().map(text_of).collect();
        let inline =
            list(of.get("Policies")?).into_iter().filter_map(|policy| policy.get("PolicyDocument").cloned());
        let others = attached.iter().filter(|(to, _)| *to == name || managed.contains(to));
        Ok(Role {
            arn: of.attribute("Arn")?,
            policies: inline.chain(others.map(|(_, document)| document.clone())).collect(),
            trust: of.need("AssumeRolePolicyDocument")?,
            max_session_seconds: number(of.get("MaxSessionDuration")?, 3600),
            name,
            logical_id: of.id,
        })
    })
}

fn buckets(resolver: &Resolver) -> Result<Vec<Bucket>, TemplateError> {
    let policies = each(resolver, "AWS::S3::BucketPolicy", |of| {
        Ok((text_of(&of.need("Bucket")?), of.need("PolicyDocument")?))
    })?;
    each(resolver, "AWS::S3::Bucket", |of| {
        let name = of.name("BucketName")?;
        let at =
            |property: &str, path: &str| Ok(of.get(property)?.and_then(|value| value.pointer(path).cloned()));
        let default = at("ObjectLockConfiguration", "/Rule/DefaultRetention")?;
        let retention = default.and_then(|rule| {
            let days = match (rule.get("Days"), rule.get("Years")) {
                (Some(days), _) => number(Some(days.clone()), 0),
                (None, years) => number(years.cloned(), 0) * 365,
            };
            Some((text_of(rule.get("Mode")?), days))
        });
        let encryption = at("BucketEncryption", "/ServerSideEncryptionConfiguration/0")?.unwrap_or_default();
        let of_encryption = |name: &str| encryption["ServerSideEncryptionByDefault"].get(name).map(text_of);
        let object_lock = flag(of.get("ObjectLockEnabled")?);
        Ok(Bucket {
            policy: policies.iter().find(|(bucket, _)| *bucket == name).map(|(_, document)| document.clone()),
            versioning: object_lock
                || at("VersioningConfiguration", "/Status")?.is_some_and(|status| status == "Enabled"),
            object_lock,
            retention,
            encryption: of_encryption("SSEAlgorithm"),
            kms_key: of_encryption("KMSMasterKeyID"),
            bucket_key: flag(encryption.get("BucketKeyEnabled").cloned()),
            name,
        })
    })
}

fn topic_rule(of: &Properties<'_>) -> Result<TopicRule, TemplateError> {
    let payload = of.need("TopicRulePayload")?;
    let text = |name: &str| payload.get(name).map(text_of);
    Ok(TopicRule {
        name: of.name("RuleName")?,
        sql: text("Sql").ok_or_else(|| TemplateError(format!("{} has no Sql", of.id)))?,
        sql_version: text("AwsIotSqlVersion"),
        disabled: flag(payload.get("RuleDisabled").cloned()),
        actions: list(payload.get("Actions").cloned()).into_iter().map(camel_case).collect(),
        error_action: payload.get("ErrorAction").cloned().map(camel_case),
    })
}

/// The API's member names begin with a small letter where CloudFormation's begin with a capital.
fn camel_case(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(camel_case).collect(),
        Value::Object(map) => {
            let small = |key: String| {
                let mut letters = key.chars();
                letters.next().map(|first| format!("{}{}", first.to_ascii_lowercase(), letters.as_str()))
            };
            map.into_iter().filter_map(|(key, value)| Some((small(key)?, camel_case(value)))).collect()
        }
        plain => plain,
    }
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
        None => Vec::new(),
    }
}

fn number(value: Option<Value>, otherwise: u32) -> u32 {
    value.and_then(|value| text_of(&value).parse().ok()).unwrap_or(otherwise)
}

fn flag(value: Option<Value>) -> bool {
    value.is_some_and(|value| text_of(&value).eq_ignore_ascii_case("true"))
}
