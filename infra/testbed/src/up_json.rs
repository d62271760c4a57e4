//! `up.json`: where everything is, so that anyone's client can be pointed at the running system.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{Testbed, boxes::RecehubBox};

/// The contract of the file; the field names are what others' clients read.
pub fn describe(bed: &Testbed) -> Result<Value> {
    let cloud = &bed.cloud;
    let boxes: Vec<Value> = bed.boxes.iter().map(describe_box).collect::<Result<_>>()?;
    Ok(json!({
        "fleetApi": bed.fleet_api,
        "apiToken": bed.api_token,
        "postgres": bed.database_url(),
        "serverId": bed.secrets.server_id,
        "stsHost": cloud.sts_host(),
        "stsRegion": cloud.region,
        "slack": {
            "url": bed.slack.url,
            "signingSecret": bed.secrets.slack_signing_secret,
            "teamId": bed.slack.team_id,
            "appId": bed.slack.app_id,
            "channelId": bed.slack.channel_id,
            "users": bed.slack.users,
        },
        "aws": {
            "endpoint": cloud.endpoint,
            "region": cloud.region,
            "accessKeyId": bed.secrets.admin_key.id,
            "secretAccessKey": bed.secrets.admin_key.secret,
            "bucket": cloud.output("BucketName")?,
            "iot": {
                "mqttHost": cloud.mqtt_host,
                "mqttPort": cloud.mqtt_port,
                "credentialProvider": cloud.credential_provider,
                "roleAlias": cloud.output("RoleAlias")?,
                "caFile": cloud.ca_file,
            },
        },
        "boxes": boxes,
    }))
}

fn describe_box(one: &RecehubBox) -> Result<Value> {
    let agent = one.agent.as_ref().map(crate::process::Process::pid).transpose()?;
    Ok(json!({
        "thing": one.thing,
        "pharmacy": one.pharmacy,
        "certificateFile": one.certificate_file(),
        "keyFile": one.key_file(),
        "agentPid": agent,
        "share": {
            "host": "127.0.0.1",
            "port": one.share.port,
            "name": one.share.name,
            "user": one.share.user,
            "password": one.share.password,
            "folder": one.share.folder,
        },
    }))
}
