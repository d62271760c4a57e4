//! IoT Core's registry: things, certificates and the destination of the rules that hint at us.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_iot::{
    Client,
    error::SdkError,
    types::{CertificateStatus, ThingPrincipalType, TopicRuleDestinationStatus},
};
use chrono::{DateTime, Utc};
use device_model::thing_name::ThingName;

/// As many as AWS gives at a time.
const PAGE: i32 = 250;
const BETWEEN_PAGES: Duration = Duration::from_millis(150);
const INDEX: &str = "AWS_Things";
/// As many as the index gives at a time.
const INDEX_PAGE: i32 = 100;

/// A certificate just issued.
#[derive(Debug, Clone)]
pub struct Issued {
    pub certificate_id: String,
    pub pem: String,
}

/// What the registry says of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    pub active: bool,
    /// Every thing that it is attached to.
    pub things: Vec<String>,
}

/// Whether a thing is connected, as the fleet index knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    pub thing: String,
    pub connected: bool,
    /// Since when.
    pub at: DateTime<Utc>,
    pub reason: Option<String>,
}

/// A page of the fleet index: of things that have ever been connected.
#[derive(Debug, Clone, Default)]
pub struct Connectivity {
    pub things: Vec<Indexed>,
    /// None: this was the last page.
    pub next: Option<String>,
}

#[async_trait]
pub trait Things: Send + Sync + 'static {
    /// Makes the thing, or finds that it is there.
    async fn create(&self, thing: &ThingName) -> anyhow::Result<()>;

    /// Issues an active certificate for the request, attached to exactly this thing. None: IoT Core
    /// does not take the request.
    async fn issue(&self, thing: &ThingName, csr: &str, policy: &str) -> anyhow::Result<Option<Issued>>;

    async fn revoke(&self, certificate_id: &str) -> anyhow::Result<()>;

    /// The ids of all certificates that are not active.
    async fn switched_off(&self) -> anyhow::Result<Vec<String>>;

    /// None: there is no such certificate.
    async fn certificate(&self, certificate_id: &str) -> anyhow::Result<Option<Registered>>;

    /// Who is connected, as the fleet index knows it: the page at `after`.
    async fn connectivity(&self, after: Option<&str>) -> anyhow::Result<Connectivity>;

    async fn confirm_destination(&self, token: &str) -> anyhow::Result<()>;

    /// Sees to it that the rules reach us; asks for a new confirmation if they do not. Answers
    /// whether they do.
    async fn enable_destination(&self, arn: &str) -> anyhow::Result<bool>;
}

#[async_trait]
impl Things for Client {
    #[tracing::instrument(name = "aws.iot.create", skip_all, fields(thing.name = %thing))]
    async fn create(&self, thing: &ThingName) -> anyhow::Result<()> {
        match self.create_thing().thing_name(thing.as_str()).send().await {
            Ok(_) => Ok(()),
            // There already, with attributes of its own: that is as good.
            Err(SdkError::ServiceError(error)) if error.err().is_resource_already_exists_exception() => {
                Ok(())
            }
            Err(error) => Err(anyhow::Error::from(error).context("CreateThing")),
        }
    }

    #[tracing::instrument(name = "aws.iot.issue", skip_all, fields(thing.name = %thing))]
    async fn issue(&self, thing: &ThingName, csr: &str, policy: &str) -> anyhow::Result<Option<Issued>> {
        let answer = self
            .create_certificate_from_csr()
            .certificate_signing_request(csr)
            .set_as_active(true)
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(SdkError::ServiceError(error)) if error.err().is_invalid_request_exception() => {
                return Ok(None);
            }
            Err(error) => return Err(anyhow::Error::from(error).context("CreateCertificateFromCsr")),
        };
        let (Some(arn), Some(certificate_id), Some(pem)) =
            (answer.certificate_arn, answer.certificate_id, answer.certificate_pem)
        else {
            anyhow::bail!("CreateCertificateFromCsr did not answer with a certificate");
        };
        if let Err(error) = attach(self, thing, &arn, policy).await {
            // Nobody has seen this certificate: none may be left behind that works half.
            if let Err(error) = self.revoke(&certificate_id).await {
                tracing::error!(error = format!("{error:#}"), "a stray certificate stayed active");
            }
            return Err(error);
        }
        Ok(Some(Issued { certificate_id, pem }))
    }

    #[tracing::instrument(name = "aws.iot.revoke", skip_all)]
    async fn revoke(&self, certificate_id: &str) -> anyhow::Result<()> {
        let update = self.update_certificate().certificate_id(certificate_id);
        match update.new_status(CertificateStatus::Revoked).send().await {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error)) if error.err().is_resource_not_found_exception() => Ok(()),
            Err(error) => Err(anyhow::Error::from(error).context("UpdateCertificate")),
        }
    }

    #[tracing::instrument(name = "aws.iot.switched_off", skip_all)]
    async fn switched_off(&self) -> anyhow::Result<Vec<String>> {
        let mut pages = self.list_certificates().into_paginator().page_size(PAGE).send();
        let mut off = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| anyhow::Error::from(error).context("ListCertificates"))?;
            let listed = page.certificates.unwrap_or_default().into_iter();
            let listed = listed.filter(|it| it.status != Some(CertificateStatus::Active));
            off.extend(listed.filter_map(|it| it.certificate_id));
            // A large fleet has hundreds of pages, and the account takes ten such calls a second.
            tokio::time::sleep(BETWEEN_PAGES).await;
        }
        Ok(off)
    }

    #[tracing::instrument(name = "aws.iot.certificate", skip_all)]
    async fn certificate(&self, certificate_id: &str) -> anyhow::Result<Option<Registered>> {
        let described = match self.describe_certificate().certificate_id(certificate_id).send().await {
            Ok(answer) => answer.certificate_description,
            Err(SdkError::ServiceError(error)) if error.err().is_resource_not_found_exception() => {
                return Ok(None);
            }
            Err(error) => return Err(anyhow::Error::from(error).context("DescribeCertificate")),
        };
        let Some(described) = described else {
            return Ok(None);
        };
        let arn = described.certificate_arn.unwrap_or_default();
        let attached = self.list_principal_things().principal(arn).send().await;
        let attached = attached.map_err(|error| anyhow::Error::from(error).context("ListPrincipalThings"))?;
        Ok(Some(Registered {
            active: described.status == Some(CertificateStatus::Active),
            things: attached.things.unwrap_or_default(),
        }))
    }

    #[tracing::instrument(name = "aws.iot.connectivity", skip_all)]
    async fn connectivity(&self, after: Option<&str>) -> anyhow::Result<Connectivity> {
        let search = self.search_index().index_name(INDEX).query_string("thingName:*");
        let page = search.max_results(INDEX_PAGE).set_next_token(after.map(str::to_owned)).send().await;
        let page = page.map_err(|error| anyhow::Error::from(error).context("SearchIndex"))?;
        let things = page.things.unwrap_or_default().into_iter().filter_map(|found| {
            let connectivity = found.connectivity?;
            Some(Indexed {
                thing: found.thing_name?,
                connected: connectivity.connected?,
                // Left out for a thing that never was connected.
                at: connectivity.timestamp.and_then(DateTime::from_timestamp_millis)?,
                reason: connectivity.disconnect_reason,
            })
        });
        Ok(Connectivity { things: things.collect(), next: page.next_token })
    }

    async fn confirm_destination(&self, token: &str) -> anyhow::Result<()> {
        let confirm = self.confirm_topic_rule_destination().confirmation_token(token);
        confirm.send().await?;
        Ok(())
    }

    async fn enable_destination(&self, arn: &str) -> anyhow::Result<bool> {
        let answer = self.get_topic_rule_destination().arn(arn).send().await;
        let answer = answer.map_err(|error| anyhow::Error::from(error).context("GetTopicRuleDestination"))?;
        let status = answer.topic_rule_destination.and_then(|found| found.status);
        let (next, reached) = match status {
            Some(TopicRuleDestinationStatus::Enabled) => return Ok(true),
            // AWS leaves a destination so when it is confirmed by API.
            Some(TopicRuleDestinationStatus::Disabled) => (TopicRuleDestinationStatus::Enabled, true),
            _ => (TopicRuleDestinationStatus::InProgress, false),
        };
        let update = self.update_topic_rule_destination().arn(arn).status(next).send().await;
        update.map_err(|error| anyhow::Error::from(error).context("UpdateTopicRuleDestination"))?;
        Ok(reached)
    }
}

async fn attach(iot: &Client, thing: &ThingName, arn: &str, policy: &str) -> anyhow::Result<()> {
    let principal = iot.attach_thing_principal().thing_name(thing.as_str()).principal(arn);
    let principal = principal.thing_principal_type(ThingPrincipalType::ExclusiveThing);
    principal.send().await.map_err(|error| anyhow::Error::from(error).context("AttachThingPrincipal"))?;
    let policy = iot.attach_policy().policy_name(policy).target(arn);
    policy.send().await.map_err(|error| anyhow::Error::from(error).context("AttachPolicy"))?;
    Ok(())
}
