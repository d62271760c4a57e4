//! Reads the CloudFormation template that the account boots from.
//!
//! Only the resources this cloud has are resolved; the others (load balancers, databases) may refer to parameters
//! that have no value here.

mod references;
mod resolve;
mod resources;
mod yaml;

use std::collections::BTreeMap;

pub use resources::{Bucket, Destination, IotPolicy, Role, RoleAlias, TopicRule};

use resolve::Resolver;

/// What the template's pseudo parameters stand for.
#[derive(Debug, Clone)]
pub struct Pseudo {
    pub account_id: String,
    pub region: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template: {0}")]
pub struct TemplateError(pub String);

pub struct Template;

/// What the template asks for, with every reference resolved.
#[derive(Debug, Clone)]
pub struct Resources {
    pub iot_policies: Vec<IotPolicy>,
    pub role_aliases: Vec<RoleAlias>,
    pub roles: Vec<Role>,
    pub buckets: Vec<Bucket>,
    pub topic_rules: Vec<TopicRule>,
    pub destinations: Vec<Destination>,
    resolver: Resolver,
}

impl Template {
    /// Reads a template whose parameters are given or have defaults.
    pub fn load(
        text: &str,
        parameters: &BTreeMap<String, String>,
        pseudo: &Pseudo,
    ) -> Result<Resources, TemplateError> {
        let template = yaml::parse(text)?;
        let resolver = Resolver::new(template, parameters, pseudo)?;
        Resources::read(resolver)
    }
}

impl Resources {
    /// The template's Outputs. `attributes` has what was made at boot, by `LogicalId.Attribute` or, for a Ref,
    /// `LogicalId`; an output of a resource that this cloud does not have is left out.
    pub fn outputs(
        &self,
        attributes: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, TemplateError> {
        self.resolver.outputs(attributes)
    }

    /// A role by the logical id it has in the template.
    pub fn role(&self, logical_id: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.logical_id == logical_id)
    }
}
