//! What was acknowledged outlives the process, however it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_iotdataplane::primitives::Blob;
use aws_sdk_s3::{
    primitives::{ByteStream, DateTime},
    types::{ObjectLockMode, Tag, Tagging},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::process::Process;
use crate::support::{ADMIN, eventually, http_client};

struct Clients {
    iot: aws_sdk_iot::Client,
    data: aws_sdk_iotdataplane::Client,
    s3: aws_sdk_s3::Client,
}

impl Clients {
    fn of(process: &Process) -> Self {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("ap-northeast-1"))
            .endpoint_url(process.endpoint())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                ADMIN.0, ADMIN.1, None, None, "test",
            )))
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .http_client(http_client())
            .build();
        Self {
            iot: aws_sdk_iot::Client::new(&config),
            data: aws_sdk_iotdataplane::Client::new(&config),
            s3: aws_sdk_s3::Client::new(&config),
        }
    }
}

#[tokio::test]
async fn a_process_that_is_killed_while_it_writes_loses_nothing_that_it_acknowledged() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut process = Process::start();
    let clients = Clients::of(&process);
    let certificate = clients.iot.create_keys_and_certificate().set_as_active(true).send().await.unwrap();
    clients.iot.create_thing().thing_name("one").send().await.unwrap();
    let attach = clients.iot.attach_thing_principal().thing_name("one");
    attach.principal(certificate.certificate_arn().unwrap()).send().await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the process lives by the real time")]
    let until = DateTime::from_secs(chrono::Utc::now().timestamp() + 3600);
    let locked = clients.s3.put_object().bucket("locked").key("locked").body(ByteStream::from_static(b"x"));
    let locked = locked.object_lock_mode(ObjectLockMode::Compliance).object_lock_retain_until_date(until);
    let locked = locked.send().await.unwrap();

    // Writers of objects, of tags over one of them, and of a shadow, each noting what was acknowledged.
    let acknowledged: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
    let version = Arc::new(AtomicI64::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..4_usize {
        let (s3, acknowledged) = (clients.s3.clone(), acknowledged.clone());
        writers.spawn(async move {
            for number in 0.. {
                let key = format!("{writer}/{number}");
                // Some are kept in memory until they are whole, some are not.
                let body = key.repeat(if number % 2 == 0 { 10 } else { 100_000 }).into_bytes();
                let put = s3.put_object().bucket("versioned").key(&key).if_none_match("*");
                if put.body(body.clone().into()).send().await.is_err() {
                    break;
                }
                acknowledged.lock().insert(key, body);
            }
        });
    }
    let (data, written) = (clients.data.clone(), version.clone());
    writers.spawn(async move {
        for number in 0.. {
            let state = json!({"state": {"desired": {"number": number}}}).to_string();
            let update =
                data.update_thing_shadow().thing_name("one").shadow_name("lan").payload(Blob::new(state));
            let Ok(answer) = update.send().await else { break };
            let answer: Value = serde_json::from_slice(answer.payload().unwrap().as_ref()).unwrap();
            written.store(answer["version"].as_i64().unwrap(), Ordering::SeqCst);
        }
    });
    let s3 = clients.s3.clone();
    writers.spawn(async move {
        for number in 0.. {
            let tag = Tag::builder().key("n").value(number.to_string()).build().unwrap();
            let tagging = Tagging::builder().tag_set(tag).build().unwrap();
            if s3.put_object_tagging().bucket("locked").key("locked").tagging(tagging).send().await.is_err() {
                break;
            }
        }
    });
    eventually("enough is written", || async {
        acknowledged.lock().len() > 40 && version.load(Ordering::SeqCst) > 20
    })
    .await;
    process.kill_and_restart();
    while writers.join_next().await.is_some() {}

    let clients = Clients::of(&process);
    let acknowledged = std::mem::take(&mut *acknowledged.lock());
    for (key, body) in &acknowledged {
        let got = clients.s3.get_object().bucket("versioned").key(key).send().await.unwrap();
        assert!(got.body.collect().await.unwrap().into_bytes() == body, "{key}");
    }
    // Of what was under way there is all or nothing.
    let mut pages = clients.s3.list_objects_v2().bucket("versioned").into_paginator().send();
    let mut listed = 0;
    while let Some(page) = pages.next().await {
        for object in page.unwrap().contents() {
            listed += 1;
            let key = object.key().unwrap();
            let got = clients.s3.get_object().bucket("versioned").key(key).send().await.unwrap();
            let body = got.body.collect().await.unwrap().into_bytes();
            assert_eq!(i64::try_from(body.len()).ok(), object.size());
            assert!(body == key.repeat(body.len() / key.len()).as_bytes(), "{key}");
        }
    }
    assert!((acknowledged.len()..=acknowledged.len() + 4).contains(&listed), "{listed}");
    let shadow = clients.data.get_thing_shadow().thing_name("one").shadow_name("lan").send().await.unwrap();
    let shadow: Value = serde_json::from_slice(shadow.payload().unwrap().as_ref()).unwrap();
    let (written, found) = (version.load(Ordering::SeqCst), shadow["version"].as_i64().unwrap());
    assert!(found == written || found == written + 1, "{written} was told, {found} is there");
    assert_eq!(shadow["state"]["desired"]["number"], found - 1);
    let things = clients.iot.list_thing_principals().thing_name("one").send().await.unwrap();
    assert_eq!(things.principals(), [certificate.certificate_arn().unwrap()]);
    let head = clients.s3.head_object().bucket("locked").key("locked").send().await.unwrap();
    assert_eq!(head.object_lock_retain_until_date(), Some(&until));
    let delete = clients.s3.delete_object().bucket("locked").key("locked");
    let delete =
        delete.version_id(locked.version_id().unwrap()).bypass_governance_retention(true).send().await;
    assert_eq!(delete.unwrap_err().raw_response().unwrap().status().as_u16(), 403);
}
