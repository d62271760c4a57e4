//! The named shadows of a thing: `lan`, where wishes travel to the box and its answers come back, and
//! `status`, where it says how it is.

use async_trait::async_trait;
use aws_sdk_iotdataplane::{Client, error::SdkError, primitives::Blob};
use device_model::{
    shadow::{LAN_SHADOW, STATUS_SHADOW},
    thing_name::ThingName,
};
use serde_json::{Value, json};

/// Both sides of a shadow as they stood at a version.
#[derive(Debug, Clone, PartialEq)]
pub struct Shadow {
    pub version: i64,
    /// An empty object where the side is absent.
    pub desired: Value,
    pub reported: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The version that holds the write.
    At(i64),
    /// Somebody wrote in between: read again.
    Conflict,
}

#[async_trait]
pub trait Shadows: Send + Sync + 'static {
    /// None: there is no such shadow yet.
    async fn read(&self, thing: &ThingName) -> anyhow::Result<Option<Shadow>>;

    /// How the box says it is, its reported side; None: it has not said anything yet.
    async fn read_status(&self, thing: &ThingName) -> anyhow::Result<Option<Shadow>>;

    /// Merges `patch` into the desired side, if the shadow still is at `version`.
    async fn write_desired(
        &self,
        thing: &ThingName,
        patch: &Value,
        version: Option<i64>,
    ) -> anyhow::Result<Written>;
}

#[async_trait]
impl Shadows for Client {
    #[tracing::instrument(name = "aws.shadow.read", skip_all, fields(thing.name = %thing))]
    async fn read(&self, thing: &ThingName) -> anyhow::Result<Option<Shadow>> {
        read(self, thing, LAN_SHADOW).await
    }

    #[tracing::instrument(name = "aws.shadow.read_status", skip_all, fields(thing.name = %thing))]
    async fn read_status(&self, thing: &ThingName) -> anyhow::Result<Option<Shadow>> {
        read(self, thing, STATUS_SHADOW).await
    }

    #[tracing::instrument(name = "aws.shadow.write_desired", skip_all, fields(thing.name = %thing))]
    async fn write_desired(
        &self,
        thing: &ThingName,
        patch: &Value,
        version: Option<i64>,
    ) -> anyhow::Result<Written> {
        let mut document = json!({"state": {"desired": patch}});
        if let Some(version) = version {
            document["version"] = json!(version);
        }
        let answer = self
            .update_thing_shadow()
            .thing_name(thing.as_str())
            .shadow_name(LAN_SHADOW)
            .payload(Blob::new(document.to_string()))
            .send()
            .await;
        match answer {
            Ok(answer) => {
                let payload = answer.payload.unwrap_or_else(|| Blob::new(""));
                let document: Value = serde_json::from_slice(payload.as_ref())?;
                Ok(Written::At(version_of(&document)?))
            }
            Err(SdkError::ServiceError(error)) if error.err().is_conflict_exception() => {
                Ok(Written::Conflict)
            }
            Err(error) => Err(anyhow::Error::from(error).context("UpdateThingShadow")),
        }
    }
}

async fn read(client: &Client, thing: &ThingName, name: &str) -> anyhow::Result<Option<Shadow>> {
    let answer = client.get_thing_shadow().thing_name(thing.as_str()).shadow_name(name).send().await;
    let payload = match answer {
        Ok(answer) => answer.payload.unwrap_or_else(|| Blob::new("")),
        Err(SdkError::ServiceError(error)) if error.err().is_resource_not_found_exception() => {
            return Ok(None);
        }
        Err(error) => return Err(anyhow::Error::from(error).context("GetThingShadow")),
    };
    let document: Value = serde_json::from_slice(payload.as_ref())?;
    let side = |name: &str| match &document["state"][name] {
        Value::Null => json!({}),
        side => side.clone(),
    };
    Ok(Some(Shadow { version: version_of(&document)?, desired: side("desired"), reported: side("reported") }))
}

fn version_of(document: &Value) -> anyhow::Result<i64> {
    let version = document["version"].as_i64();
    version.ok_or_else(|| anyhow::anyhow!("the shadow's document has no version"))
}
