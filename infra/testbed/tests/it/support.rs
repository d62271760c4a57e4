//! What the stories have in common: looking into S3, Postgres, the logs and Slack.

pub mod box_client;
pub mod browser;
pub mod slack;
pub mod sql_gate;

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use aws_sdk_s3::config::Credentials;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use testbed::{
    Testbed, aws,
    boxes::RecehubBox,
    lab::{self, Lab, case},
};

/// Long enough for a machine under load; nothing waits for it to pass.
pub const BOUND: Duration = Duration::from_mins(3);

/// One TLS provider for the whole process, as in each of our programs' main.
pub fn tls_provider() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
}

/// A running system with so many boxes.
pub async fn bed(boxes: usize) -> Testbed {
    tls_provider();
    Testbed::for_test(boxes).await.unwrap()
}

/// Pharmacies in network namespaces. Without root there is no way to make them: said, and in CI, where
/// a test that shows nothing is a failure, refused.
pub async fn lab(pharmacies: usize) -> Option<Lab> {
    tls_provider();
    if !lab::is_possible() {
        assert!(std::env::var_os("CI").is_none(), "CI has to run the lab's tests as root");
        println!("SKIPPED: only root can make network namespaces");
        return None;
    }
    Some(Lab::for_test(pharmacies).await.unwrap())
}

/// S3 as the account's administrator sees it.
pub struct Bucket {
    s3: aws_sdk_s3::Client,
    name: String,
}

impl Bucket {
    pub fn of(bed: &Testbed) -> Self {
        let name = bed.cloud.output("BucketName").unwrap().to_owned();
        Self { s3: aws::s3_as_admin(bed), name }
    }

    pub async fn keys(&self) -> Vec<String> {
        let page = self.s3.list_objects_v2().bucket(&self.name).prefix("rx/").send().await.unwrap();
        page.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }

    pub async fn content(&self, key: &str) -> Vec<u8> {
        let object = self.s3.get_object().bucket(&self.name).key(key).send().await.unwrap();
        object.body.collect().await.unwrap().to_vec()
    }

    /// Tries to put an object with somebody's credentials.
    pub async fn put_as(&self, bed: &Testbed, who: &Credentials, key: &str, content: &[u8]) -> Result<()> {
        let s3 = aws::s3(bed, who.clone());
        let body = content.to_vec().into();
        let put = s3.put_object().bucket(&self.name).key(key).if_none_match("*").body(body).send().await;
        Ok(put.map(drop)?)
    }

    /// The object's metadata, as text to search in.
    pub async fn metadata(&self, key: &str) -> String {
        let head = self.s3.head_object().bucket(&self.name).key(key).send().await.unwrap();
        format!("{:?}", head.metadata())
    }
}

/// Waits until a box has told its settings: then a form has something to show, and what it shows stays so.
pub async fn has_reported(bed: &Testbed, thing: &str) {
    let path = format!("/v1/devices/{thing}/lan");
    let reported = |lan: Value| Ok((lan["reported"] != Value::Null).then_some(()));
    bed.api.until("the box has reported", BOUND, &path, reported).await.unwrap();
}

/// Waits until a box is known to be there.
pub async fn is_online(bed: &Testbed, thing: &str) {
    let online = |device: Value| Ok((device["online"] == true).then_some(()));
    bed.api.until("the box is online", BOUND, &format!("/v1/devices/{thing}"), online).await.unwrap();
}

/// The uploads of a box, once there are `count` of them.
pub async fn uploads(bed: &Testbed, thing: &str, count: usize) -> Vec<Value> {
    let what = format!("{count} uploads of {thing}");
    let all = |answer: Value| {
        let items = answer["items"].as_array().context("no items")?.clone();
        Ok((items.len() >= count).then_some(items))
    };
    let items = bed.api.until(&what, BOUND, &format!("/v1/uploads?thing={thing}"), all).await.unwrap();
    assert_eq!(items.len(), count, "more uploads than expected");
    items
}

/// A change, once it has come to an end.
pub async fn ended(bed: &Testbed, change: &str) -> Value {
    case::ended(&bed.api, change, BOUND).await.unwrap()
}

/// A change, once it is in a state or beyond it.
pub async fn reaches(bed: &Testbed, change: &str, state: &str) -> Value {
    let what = format!("change {change} reaches {state}");
    let there = |story: Value| {
        let steps = story["timeline"].as_array().context("no timeline")?;
        Ok(steps.iter().any(|step| step["state"] == state).then_some(story))
    };
    bed.api.until(&what, BOUND, &format!("/v1/changes/{change}"), there).await.unwrap()
}

/// The states that a change went through.
pub fn states(story: &Value) -> Vec<&str> {
    story["timeline"].as_array().unwrap().iter().filter_map(|step| step["state"].as_str()).collect()
}

/// Saves a file on the share as the receipt computer does: by SMB.
pub async fn save(one: &RecehubBox, name: &str, content: &[u8]) {
    let mut local = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut local, content).unwrap();
    let command = format!("put {} \"{name}\"", local.path().display());
    one.share.client(&command).output().await.unwrap();
}

/// What the box says of itself.
pub async fn box_status(one: &RecehubBox) -> Result<Value> {
    let text = one.agent_program().clone().arg("status").arg("--json").output().await?;
    Ok(serde_json::from_str(&text)?)
}

/// Everything that stands in the database, as text. The application may not look into partitions made meanwhile.
pub async fn database_text(bed: &Testbed) -> String {
    let mut db = PgConnection::connect(&bed.superuser_url()).await.unwrap();
    let tables: Vec<String> =
        sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
            .fetch_all(&mut db)
            .await
            .unwrap();
    assert!(tables.iter().any(|table| table == "uploads"), "the ledger is not where it is looked for");
    let mut text = String::new();
    for table in tables {
        let statement = format!("select coalesce(string_agg(t::text, ' '), '') from \"{table}\" t");
        let rows: String =
            sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_one(&mut db).await.unwrap();
        text.push_str(&rows);
    }
    text
}

/// Everything in a folder's files, as bytes.
pub fn folder_bytes(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        bytes.extend(if path.is_dir() { folder_bytes(&path) } else { fs::read(&path).unwrap() });
    }
    bytes
}

pub fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
