//! What `Ref` and `GetAtt` give for parameters, pseudo parameters and the kinds of resource known here.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{
    TemplateError,
    resolve::{Resolver, STACK, fault, text_of},
};

impl Resolver {
    pub fn reference(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        let value = match name {
            "AWS::NoValue" => return Ok(None),
            "AWS::AccountId" => self.account_id.clone(),
            "AWS::Region" => self.region.clone(),
            "AWS::Partition" => "aws".to_owned(),
            "AWS::URLSuffix" => "amazonaws.com".to_owned(),
            "AWS::StackName" => STACK.to_owned(),
            "AWS::StackId" => self.arn("cloudformation", true, &format!("stack/{STACK}/0")),
            _ => {
                if let Some(value) = self.parameters.get(name) {
                    return Ok(Some(value.clone()));
                }
                if self.template["Parameters"].get(name).is_some() {
                    return fault(format!("the parameter {name} has no value"));
                }
                self.identifier(name)?
            }
        };
        Ok(Some(value.into()))
    }

    /// What `Ref` gives for a resource.
    fn identifier(&self, id: &str) -> Result<String, TemplateError> {
        if let Some(made) = self.attributes.get(id) {
            return Ok(made.clone());
        }
        let (kind, properties) = self.resource(id)?;
        let name = |property: &str| self.name(id, &properties, property);
        match kind.as_str() {
            "AWS::S3::Bucket" => name("BucketName"),
            "AWS::IAM::Role" => name("RoleName"),
            "AWS::IoT::Policy" => name("PolicyName"),
            "AWS::IoT::RoleAlias" => name("RoleAlias"),
            "AWS::IoT::TopicRule" => name("RuleName"),
            "AWS::Logs::LogGroup" => name("LogGroupName"),
            "AWS::IAM::ManagedPolicy" | "AWS::IoT::TopicRuleDestination" => self.attribute(id, "Arn"),
            "AWS::KMS::Key" => Ok(uuid_of(id)),
            _ => fault(format!("{id} is a {kind}, which is not known here")),
        }
    }

    pub fn attribute(&self, id: &str, attribute: &str) -> Result<String, TemplateError> {
        if let Some(made) = self.attributes.get(&format!("{id}.{attribute}")) {
            return Ok(made.clone());
        }
        let (kind, properties) = self.resource(id)?;
        let name = |property: &str| self.name(id, &properties, property);
        Ok(match (kind.as_str(), attribute) {
            ("AWS::S3::Bucket", "Arn") => format!("arn:aws:s3:::{}", name("BucketName")?),
            ("AWS::IAM::Role", "Arn") => {
                let path = self.property(&properties, "Path")?.map_or("/".to_owned(), |path| text_of(&path));
                self.arn("iam", false, &format!("role{path}{}", name("RoleName")?))
            }
            ("AWS::IAM::ManagedPolicy", "Arn") => {
                self.arn("iam", false, &format!("policy/{}", name("ManagedPolicyName")?))
            }
            ("AWS::IoT::Policy", "Arn") => self.arn("iot", true, &format!("policy/{}", name("PolicyName")?)),
            ("AWS::IoT::RoleAlias", "RoleAliasArn") => {
                self.arn("iot", true, &format!("rolealias/{}", name("RoleAlias")?))
            }
            ("AWS::IoT::TopicRule", "Arn") => self.arn("iot", true, &format!("rule/{}", name("RuleName")?)),
            ("AWS::IoT::TopicRuleDestination", "Arn") => {
                self.arn("iot", true, &format!("ruledestination/http/{}", uuid_of(id)))
            }
            ("AWS::KMS::Key", "Arn") => self.arn("kms", true, &format!("key/{}", uuid_of(id))),
            ("AWS::Logs::LogGroup", "Arn") => {
                self.arn("logs", true, &format!("log-group:{}:*", name("LogGroupName")?))
            }
            _ => return fault(format!("{id}.{attribute} of a {kind} is not known here")),
        })
    }

    fn resource(&self, id: &str) -> Result<(String, Map<String, Value>), TemplateError> {
        let Some(resource) = self.template["Resources"].get(id) else {
            return fault(format!("there is no parameter or resource {id}"));
        };
        let kind = resource.get("Type").map(text_of).unwrap_or_default();
        Ok((kind, resource.get("Properties").and_then(Value::as_object).cloned().unwrap_or_default()))
    }
}

/// The same made-up identifier for the same resource at each start.
fn uuid_of(id: &str) -> String {
    let hash = hex::encode(Sha256::digest(id.as_bytes()));
    format!("{}-{}-4{}-8{}-{}", &hash[..8], &hash[8..12], &hash[13..16], &hash[17..20], &hash[20..32])
}
