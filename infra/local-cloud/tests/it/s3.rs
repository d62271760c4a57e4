//! S3, driven by the real SDK.

use std::time::Duration;

use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::{
        ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, Delete, MetadataDirective,
        ObjectIdentifier, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
    },
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

use crate::endpoint::{BUCKET, Endpoint, LOCKED};

fn code<T: std::fmt::Debug, E: ProvideErrorMetadata>(result: Result<T, E>) -> String {
    result.unwrap_err().code().unwrap_or("(no code)").to_owned()
}

fn sha256(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(bytes))
}

async fn read(s3: &Client, bucket: &str, key: &str) -> Vec<u8> {
    let got = s3.get_object().bucket(bucket).key(key).send().await.unwrap();
    got.body.collect().await.unwrap().into_bytes().to_vec()
}

/// Every file under the folders that hold bytes.
fn files(endpoint: &Endpoint) -> usize {
    fn count(path: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
    }
    count(&endpoint.path().join("s3/objects")) + count(&endpoint.path().join("s3/draft"))
}

#[tokio::test]
async fn an_object_comes_back_as_it_was_put_also_after_a_restart() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let put = s3
        .put_object()
        .bucket(LOCKED)
        .key("a b/処方箋+%.txt")
        .metadata("path", "sealed")
        .content_type("text/plain")
        .body(ByteStream::from_static(b"hello"))
        .send()
        .await
        .unwrap();
    assert_eq!(put.server_side_encryption().unwrap().as_str(), "aws:kms");
    assert_eq!((put.ssekms_key_id(), put.bucket_key_enabled()), (Some("a-key"), Some(true)));

    let endpoint = endpoint.restart().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let got = s3.get_object().bucket(LOCKED).key("a b/処方箋+%.txt").send().await.unwrap();

    assert_eq!(got.e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    assert_eq!(got.version_id(), put.version_id());
    assert_eq!(got.content_type(), Some("text/plain"));
    assert_eq!(got.metadata().unwrap()["path"], "sealed");
    assert_eq!(got.body.collect().await.unwrap().into_bytes(), "hello");
    let head = s3.head_object().bucket(LOCKED).key("a b/処方箋+%.txt").send().await.unwrap();
    assert_eq!(head.content_length(), Some(5));
    assert!(
        s3.head_object()
            .bucket(LOCKED)
            .key("none")
            .send()
            .await
            .unwrap_err()
            .into_service_error()
            .is_not_found()
    );
    assert_eq!(code(s3.get_object().bucket(LOCKED).key("none").send().await), "NoSuchKey");
    assert_eq!(code(s3.get_object().bucket("no-bucket").key("a").send().await), "NoSuchBucket");
}

#[tokio::test]
async fn of_many_racing_conditional_puts_exactly_one_wins() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    for round in 0..5 {
        let puts = (0..16).map(|n| {
            let s3 = s3.clone();
            async move {
                let body = ByteStream::from(format!("writer {n}").into_bytes());
                let key = format!("once/{round}");
                s3.put_object().bucket(LOCKED).key(key).if_none_match("*").body(body).send().await
            }
        });
        let results = futures::future::join_all(puts).await;

        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        for lost in results.into_iter().filter(Result::is_err) {
            assert_eq!(code(lost), "PreconditionFailed");
        }
    }
    let versions = s3.list_object_versions().bucket(LOCKED).prefix("once/").send().await.unwrap();
    assert_eq!(versions.versions().len(), 5);
    assert_eq!(files(&endpoint), 5);
}

#[tokio::test]
async fn a_body_that_is_not_what_its_checksum_says_never_becomes_an_object() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let put = || s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"hello"));

    assert_eq!(code(put().checksum_sha256(sha256(b"other")).send().await), "BadDigest");
    assert_eq!(code(put().content_md5(BASE64_STANDARD.encode([0; 16])).send().await), "BadDigest");
    assert_eq!(code(put().content_md5("short").send().await), "InvalidDigest");
    assert_eq!(code(put().checksum_sha256("short").send().await), "InvalidRequest");

    assert_eq!(code(s3.get_object().bucket(BUCKET).key("k").send().await), "NoSuchKey");
    assert_eq!(files(&endpoint), 0);
    let good = put().checksum_sha256(sha256(b"hello")).send().await.unwrap();
    assert_eq!(good.checksum_sha256(), Some(sha256(b"hello").as_str()));
    let got =
        s3.get_object().bucket(BUCKET).key("k").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(got.checksum_sha256(), Some(sha256(b"hello").as_str()));
}

#[tokio::test]
async fn a_body_signed_for_other_bytes_is_refused() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let url = s3
        .put_object()
        .bucket(BUCKET)
        .key("k")
        .presigned(PresigningConfig::expires_in(Duration::from_mins(1)).unwrap())
        .await
        .unwrap();
    let http = reqwest::Client::new();

    // The body's hash is claimed, and the body is another one.
    let claimed = hex::encode(Sha256::digest(b"other"));
    let put = http.put(url.uri()).header("x-amz-content-sha256", claimed).body("hello").send().await.unwrap();

    assert_eq!(put.status(), 400);
    assert!(put.text().await.unwrap().contains("XAmzContentSHA256Mismatch"));
    assert_eq!(files(&endpoint), 0);
}

#[tokio::test]
async fn a_large_streamed_body_with_a_trailing_checksum_arrives_whole() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let path = endpoint.path().join("large");
    let bytes: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), &bytes).unwrap();

    for algorithm in [ChecksumAlgorithm::Sha256, ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc64Nvme] {
        let body = ByteStream::from_path(&path).await.unwrap();
        let put = s3.put_object().bucket(BUCKET).key("large").checksum_algorithm(algorithm).body(body);
        put.send().await.unwrap();
    }

    assert!(read(&s3, BUCKET, "large").await == bytes);
    // In a bucket without versions the newest replaced the others.
    assert_eq!(files(&endpoint), 1);
}

#[tokio::test]
async fn ranges_and_conditions_of_a_get_are_kept() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let put = s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"0123456789"));
    let etag = put.send().await.unwrap().e_tag().unwrap().to_owned();
    for (range, expected, of) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
    ] {
        let got = s3.get_object().bucket(BUCKET).key("k").range(range).send().await.unwrap();
        assert_eq!(got.content_range(), Some(of));
        assert_eq!(got.body.collect().await.unwrap().into_bytes(), expected);
    }
    let get = || s3.get_object().bucket(BUCKET).key("k");
    assert_eq!(code(get().range("bytes=10-").send().await), "InvalidRange");
    assert_eq!(code(get().if_match("\"other\"").send().await), "PreconditionFailed");
    assert!(get().if_match(&etag).send().await.is_ok());
    let unchanged = get().if_none_match(&etag).send().await.unwrap_err();
    assert_eq!(unchanged.raw_response().unwrap().status().as_u16(), 304);
}

#[tokio::test]
async fn a_versioned_bucket_keeps_what_was_there_before() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let mut ids = Vec::new();
    for text in ["one", "two"] {
        let body = ByteStream::from(text.as_bytes().to_vec());
        let put = s3.put_object().bucket(LOCKED).key("k").body(body).send().await.unwrap();
        ids.push(put.version_id().unwrap().to_owned());
    }
    let old = s3.get_object().bucket(LOCKED).key("k").version_id(&ids[0]).send().await.unwrap();
    assert_eq!(old.body.collect().await.unwrap().into_bytes(), "one");

    let hidden = s3.delete_object().bucket(LOCKED).key("k").send().await.unwrap();

    assert_eq!(hidden.delete_marker(), Some(true));
    assert_eq!(code(s3.get_object().bucket(LOCKED).key("k").send().await), "NoSuchKey");
    let listed = s3.list_object_versions().bucket(LOCKED).prefix("k").send().await.unwrap();
    let seen: Vec<_> = listed.versions().iter().map(|v| (v.version_id().unwrap(), v.is_latest())).collect();
    assert_eq!(seen, [(ids[1].as_str(), Some(false)), (ids[0].as_str(), Some(false))]);
    assert_eq!(listed.delete_markers()[0].is_latest(), Some(true));
    assert_eq!(s3.list_objects_v2().bucket(LOCKED).send().await.unwrap().key_count(), Some(0));
    // A key behind a marker is free for a conditional put.
    let body = ByteStream::from_static(b"three");
    s3.put_object().bucket(LOCKED).key("k").if_none_match("*").body(body).send().await.unwrap();
    let marker = hidden.version_id().unwrap();
    s3.delete_object().bucket(LOCKED).key("k").version_id(marker).send().await.unwrap();
    s3.delete_object().bucket(LOCKED).key("k").version_id(&ids[0]).send().await.unwrap();
    assert_eq!(
        code(s3.get_object().bucket(LOCKED).key("k").version_id(&ids[0]).send().await),
        "NoSuchVersion"
    );
    assert_eq!(read(&s3, LOCKED, "k").await, b"three");
    assert_eq!(files(&endpoint), 2);
}

#[tokio::test]
async fn listings_fold_prefixes_and_go_on_where_a_page_ended() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let keys = ["a", "b/1", "b/2", "b/c/3", "c", "d/4", "é"];
    for key in keys {
        s3.put_object().bucket(BUCKET).key(key).body(ByteStream::from_static(b"x")).send().await.unwrap();
    }
    let mut pages = s3.list_objects_v2().bucket(BUCKET).max_keys(2).into_paginator().send();
    let mut seen = Vec::new();
    while let Some(page) = pages.next().await {
        seen.extend(page.unwrap().contents().iter().map(|object| object.key().unwrap().to_owned()));
    }
    assert_eq!(seen, keys);

    let mut pages = s3.list_objects_v2().bucket(BUCKET).delimiter("/").max_keys(1).into_paginator().send();
    let mut seen = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        seen.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
        seen.extend(page.common_prefixes().iter().map(|one| one.prefix().unwrap().to_owned()));
    }
    assert_eq!(seen, ["a", "b/", "c", "d/", "é"]);
    let below = s3
        .list_objects_v2()
        .bucket(BUCKET)
        .prefix("b/")
        .delimiter("/")
        .start_after("b/1")
        .send()
        .await
        .unwrap();
    assert_eq!(below.contents().iter().map(|object| object.key().unwrap()).collect::<Vec<_>>(), ["b/2"]);
    assert_eq!(below.common_prefixes()[0].prefix(), Some("b/c/"));

    let (mut marker, mut seen) = (None, Vec::new());
    for _ in 0..keys.len() {
        let asked = s3.list_objects().bucket(BUCKET).delimiter("/").max_keys(1).set_marker(marker);
        let page = asked.send().await.unwrap();
        seen.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
        seen.extend(page.common_prefixes().iter().map(|one| one.prefix().unwrap().to_owned()));
        if page.is_truncated() != Some(true) {
            break;
        }
        marker = page.next_marker().map(str::to_owned);
    }
    assert_eq!(seen, ["a", "b/", "c", "d/", "é"]);
}

/// Every version and marker of the locked bucket, newest first, page by page; `between` is called after each page.
async fn versions(
    s3: &Client,
    most: i32,
    mut between: impl AsyncFnMut(&[(String, String)]),
) -> Vec<(String, String)> {
    let (mut key, mut version, mut seen) = (None, None, Vec::new());
    loop {
        let asked = s3.list_object_versions().bucket(LOCKED).max_keys(most);
        let page = asked.set_key_marker(key).set_version_id_marker(version).send().await.unwrap();
        let objects = page.versions().iter().map(|it| (it.key(), it.version_id()));
        let markers = page.delete_markers().iter().map(|it| (it.key(), it.version_id()));
        let page_has: Vec<_> = objects
            .chain(markers)
            .map(|(key, id)| (key.unwrap().to_owned(), id.unwrap().to_owned()))
            .collect();
        assert!(page_has.len() <= usize::try_from(most).unwrap());
        between(&page_has).await;
        seen.extend(page_has);
        if page.is_truncated() != Some(true) {
            return seen;
        }
        key = page.next_key_marker().map(str::to_owned);
        version = page.next_version_id_marker().map(str::to_owned);
    }
}

#[tokio::test]
async fn versions_are_listed_page_by_page_also_while_they_are_deleted() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let mut put = Vec::new();
    for key in ["v", "v", "w", "v", "x"] {
        let sent = s3.put_object().bucket(LOCKED).key(key).body(ByteStream::from_static(b"x")).send();
        put.push((key.to_owned(), sent.await.unwrap().version_id().unwrap().to_owned()));
    }
    let marker = s3.delete_object().bucket(LOCKED).key("v").send().await.unwrap();
    put.push(("v".to_owned(), marker.version_id().unwrap().to_owned()));
    let expected: Vec<_> = [5, 3, 1, 0, 2, 4].map(|at: usize| put[at].clone()).into();

    assert_eq!(versions(&s3, 1, async |_| ()).await, expected);
    let mut all = versions(&s3, 4, async |_| ()).await;
    all.sort();
    put.sort();
    assert_eq!(all, put);

    let purged = versions(&s3, 1, async |page| {
        for (key, id) in page {
            s3.delete_object().bucket(LOCKED).key(key).version_id(id).send().await.unwrap();
        }
    });
    assert_eq!(purged.await, expected, "none is passed over because the one before it is gone");
    assert_eq!(versions(&s3, 1, async |_| ()).await, []);
}

#[tokio::test]
async fn a_multipart_upload_becomes_one_object() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let begun = s3.create_multipart_upload().bucket(LOCKED).key("m").metadata("a", "b").content_type("x/y");
    let id = begun
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .send()
        .await
        .unwrap()
        .upload_id()
        .unwrap()
        .to_owned();
    let parts = [vec![1_u8; 5 * 1024 * 1024], vec![2_u8; 1_000]];
    let mut done = Vec::new();
    for (number, part) in (1..).zip(&parts) {
        let put = s3.upload_part().bucket(LOCKED).key("m").upload_id(&id).part_number(number);
        let put =
            put.checksum_algorithm(ChecksumAlgorithm::Sha256).body(part.clone().into()).send().await.unwrap();
        done.push(
            CompletedPart::builder()
                .part_number(number)
                .e_tag(put.e_tag().unwrap())
                .checksum_sha256(put.checksum_sha256().unwrap())
                .build(),
        );
    }
    let listed = s3.list_parts().bucket(LOCKED).key("m").upload_id(&id).send().await.unwrap();
    assert_eq!(listed.parts().len(), 2);
    let complete = |parts: Vec<CompletedPart>| {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        s3.complete_multipart_upload().bucket(LOCKED).key("m").upload_id(&id).multipart_upload(parts).send()
    };
    assert_eq!(code(complete(vec![done[1].clone(), done[0].clone()]).await), "InvalidPartOrder");

    let completed = complete(done.clone()).await.unwrap();

    assert!(completed.e_tag().unwrap().ends_with("-2\""));
    assert!(completed.checksum_sha256().unwrap().ends_with("-2"));
    assert!(read(&s3, LOCKED, "m").await == parts.concat());
    let head = s3.head_object().bucket(LOCKED).key("m").send().await.unwrap();
    assert_eq!((head.content_type(), head.metadata().unwrap()["a"].as_str()), (Some("x/y"), "b"));
    assert_eq!((head.ssekms_key_id(), head.bucket_key_enabled()), (Some("a-key"), Some(true)));
    assert_eq!(code(complete(done).await), "NoSuchUpload");
    let written = s3.create_multipart_upload().bucket(LOCKED).key("m").send().await.unwrap();
    let part =
        s3.upload_part().bucket(LOCKED).key("m").upload_id(written.upload_id().unwrap()).part_number(1);
    let part = part.body(parts[1].clone().into()).send().await.unwrap();
    let part = CompletedPart::builder().part_number(1).e_tag(part.e_tag().unwrap()).build();
    let again =
        s3.complete_multipart_upload().bucket(LOCKED).key("m").upload_id(written.upload_id().unwrap());
    let again =
        again.multipart_upload(CompletedMultipartUpload::builder().parts(part).build()).if_none_match("*");
    assert_eq!(code(again.send().await), "PreconditionFailed");
    let abort = s3.abort_multipart_upload().bucket(LOCKED).key("m").upload_id(written.upload_id().unwrap());
    abort.send().await.unwrap();
    assert_eq!(files(&endpoint), 1);

    let id = s3
        .create_multipart_upload()
        .bucket(LOCKED)
        .key("n")
        .send()
        .await
        .unwrap()
        .upload_id()
        .unwrap()
        .to_owned();
    s3.upload_part()
        .bucket(LOCKED)
        .key("n")
        .upload_id(&id)
        .part_number(1)
        .body(parts[1].clone().into())
        .send()
        .await
        .unwrap();
    s3.abort_multipart_upload().bucket(LOCKED).key("n").upload_id(&id).send().await.unwrap();
    assert_eq!(files(&endpoint), 1);
}

#[tokio::test]
async fn a_copy_has_the_bytes_and_the_metadata_or_new_ones() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let body = ByteStream::from_static(b"hello");
    s3.put_object().bucket(BUCKET).key("a b").metadata("x", "1").body(body).send().await.unwrap();

    s3.copy_object().bucket(LOCKED).key("copy").copy_source("plain/a%20b").send().await.unwrap();
    let replaced = s3.copy_object().bucket(LOCKED).key("new").copy_source("plain/a%20b");
    replaced.metadata_directive(MetadataDirective::Replace).metadata("x", "2").send().await.unwrap();

    assert_eq!(read(&s3, LOCKED, "copy").await, b"hello");
    let meta = async |key| {
        s3.head_object().bucket(LOCKED).key(key).send().await.unwrap().metadata().unwrap()["x"].clone()
    };
    assert_eq!((meta("copy").await, meta("new").await), ("1".to_owned(), "2".to_owned()));
}

#[tokio::test]
async fn what_is_locked_cannot_be_deleted_before_its_time() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let until = |days| {
        aws_sdk_s3::primitives::DateTime::from_secs(
            (endpoint.now() + chrono::Duration::days(days)).timestamp(),
        )
    };
    let put = s3.put_object().bucket(LOCKED).key("k").object_lock_mode(ObjectLockMode::Compliance);
    let put =
        put.object_lock_retain_until_date(until(2)).body(ByteStream::from_static(b"x")).send().await.unwrap();
    let delete = || s3.delete_object().bucket(LOCKED).key("k").version_id(put.version_id().unwrap()).send();
    let retain = |days| {
        let retention = ObjectLockRetention::builder()
            .mode(ObjectLockRetentionMode::Compliance)
            .retain_until_date(until(days));
        s3.put_object_retention().bucket(LOCKED).key("k").retention(retention.build()).send()
    };

    assert_eq!(code(delete().await), "AccessDenied");
    assert_eq!(code(retain(1).await), "AccessDenied");
    let governance = ObjectLockRetention::builder()
        .mode(ObjectLockRetentionMode::Governance)
        .retain_until_date(until(9))
        .build();
    let weaker = s3.put_object_retention().bucket(LOCKED).key("k").retention(governance);
    assert_eq!(code(weaker.bypass_governance_retention(true).send().await), "AccessDenied");
    retain(3).await.unwrap();
    let kept = s3.get_object_retention().bucket(LOCKED).key("k").send().await.unwrap();
    assert_eq!(kept.retention().unwrap().retain_until_date(), Some(&until(3)));
    // A marker may always be laid over it.
    s3.delete_object().bucket(LOCKED).key("k").send().await.unwrap();
    endpoint.advance(chrono::Duration::days(4));
    delete().await.unwrap();
    let refused = s3.put_object().bucket(BUCKET).key("k").object_lock_mode(ObjectLockMode::Compliance);
    assert_eq!(
        code(
            refused.object_lock_retain_until_date(until(9)).body(ByteStream::from_static(b"x")).send().await
        ),
        "InvalidRequest"
    );
}

#[tokio::test]
async fn what_is_locked_stays_locked_over_a_restart_whoever_asks() {
    let endpoint = Endpoint::start().await;
    let until =
        aws_sdk_s3::primitives::DateTime::from_secs((endpoint.now() + chrono::Duration::days(2)).timestamp());
    let put = endpoint.s3(Endpoint::admin()).put_object().bucket(LOCKED).key("k");
    let put = put.object_lock_mode(ObjectLockMode::Compliance).object_lock_retain_until_date(until);
    let put = put.body(ByteStream::from_static(b"x")).send().await.unwrap();
    let id = put.version_id().unwrap();

    let endpoint = endpoint.restart().await;

    let s3 = endpoint.s3(Endpoint::admin());
    let delete = s3.delete_object().bucket(LOCKED).key("k").version_id(id);
    assert_eq!(code(delete.bypass_governance_retention(true).send().await), "AccessDenied");
    let one = ObjectIdentifier::builder().key("k").version_id(id).build().unwrap();
    let many = s3.delete_objects().bucket(LOCKED).bypass_governance_retention(true);
    let gone = many.delete(Delete::builder().objects(one).build().unwrap()).send().await.unwrap();
    assert_eq!((gone.deleted().len(), gone.errors()[0].code()), (0, Some("AccessDenied")));
    let head = s3.head_object().bucket(LOCKED).key("k").send().await.unwrap();
    assert_eq!(head.object_lock_mode(), Some(&ObjectLockMode::Compliance));
    assert_eq!(head.object_lock_retain_until_date(), Some(&until));
}

#[tokio::test]
async fn only_who_may_bypass_a_governance_retention_does() {
    let endpoint = Endpoint::start().await;
    let (admin, holder) = (
        endpoint.s3(Endpoint::admin()),
        endpoint.s3(endpoint.session("Deleter", &[], chrono::Duration::hours(1))),
    );
    let until =
        aws_sdk_s3::primitives::DateTime::from_secs((endpoint.now() + chrono::Duration::days(2)).timestamp());
    let put = admin.put_object().bucket(LOCKED).key("k").object_lock_mode(ObjectLockMode::Governance);
    let put = put.object_lock_retain_until_date(until).body(ByteStream::from_static(b"x"));
    let put = put.send().await.unwrap();
    let delete = |s3: &Client| {
        let one = ObjectIdentifier::builder().key("k").version_id(put.version_id().unwrap()).build().unwrap();
        let many = s3.delete_objects().bucket(LOCKED).bypass_governance_retention(true);
        many.delete(Delete::builder().objects(one).build().unwrap()).send()
    };

    let refused = delete(&holder).await.unwrap();
    assert_eq!((refused.deleted().len(), refused.errors()[0].code()), (0, Some("AccessDenied")));
    let one = holder.delete_object().bucket(LOCKED).key("k").version_id(put.version_id().unwrap());
    assert_eq!(code(one.bypass_governance_retention(true).send().await), "AccessDenied");

    assert_eq!(delete(&admin).await.unwrap().deleted().len(), 1);
}

#[tokio::test]
async fn policies_of_identity_and_bucket_decide_together() {
    let endpoint = Endpoint::start().await;
    let thing = [("credentials-iot:ThingName", "t1")];
    let s3 = endpoint.s3(endpoint.session("Writer", &thing, chrono::Duration::hours(1)));
    let put =
        |bucket: &str, key: &str| s3.put_object().bucket(bucket).key(key).body(ByteStream::from_static(b"x"));

    put(LOCKED, "once/1").if_none_match("*").send().await.unwrap();
    assert_eq!(code(put(LOCKED, "once/2").send().await), "AccessDenied");
    assert_eq!(code(put(LOCKED, "other").if_none_match("*").send().await), "AccessDenied");
    assert_eq!(code(s3.get_object().bucket(LOCKED).key("once/1").send().await), "AccessDenied");
    // Whoever may not list is not told that a key is missing.
    assert_eq!(code(s3.get_object().bucket(LOCKED).key("once/none").send().await), "AccessDenied");
    let versions = s3.list_object_versions().bucket(LOCKED).prefix("once/1").send().await.unwrap();
    assert_eq!(versions.versions().len(), 1);
    assert_eq!(code(s3.list_object_versions().bucket(LOCKED).prefix("on").send().await), "AccessDenied");
    assert_eq!(code(s3.list_objects_v2().bucket(LOCKED).send().await), "AccessDenied");
    put(BUCKET, "things/t1/x").send().await.unwrap();
    assert_eq!(code(put(BUCKET, "things/t2/x").send().await), "AccessDenied");
    let copy = s3.copy_object().bucket(BUCKET).key("things/t1/y").copy_source("locked/once/1");
    assert_eq!(code(copy.send().await), "AccessDenied");
    let one = |key: &str| ObjectIdentifier::builder().key(key).build().unwrap();
    let delete = Delete::builder().objects(one("things/t1/x")).objects(one("things/t2/x")).build().unwrap();
    let gone = s3.delete_objects().bucket(BUCKET).delete(delete).send().await.unwrap();
    assert_eq!(gone.deleted()[0].key(), Some("things/t1/x"));
    assert_eq!(gone.errors()[0].code(), Some("AccessDenied"));
    // The bucket's Deny binds the administrator as well.
    let admin = endpoint.s3(Endpoint::admin());
    let refused = admin.put_object().bucket(LOCKED).key("once/9").body(ByteStream::from_static(b"x"));
    assert_eq!(code(refused.send().await), "AccessDenied");
}

#[tokio::test]
async fn who_does_not_sign_rightly_is_refused_by_name() {
    let endpoint = Endpoint::start().await;
    let key = |id: &str, secret: &str, token: Option<String>| {
        aws_credential_types::Credentials::new(id, secret, token, None, "test")
    };
    let ask =
        async |credentials| code(endpoint.s3(credentials).list_objects_v2().bucket(BUCKET).send().await);
    let session = endpoint.session("Writer", &[], chrono::Duration::seconds(30));
    let (id, secret) = (session.access_key_id().to_owned(), session.secret_access_key().to_owned());

    assert_eq!(ask(key("AKIDADMIN", "other", None)).await, "SignatureDoesNotMatch");
    assert_eq!(ask(key("AKIDNOBODY", "x", None)).await, "InvalidAccessKeyId");
    assert_eq!(ask(key(&id, &secret, None)).await, "InvalidToken");
    assert_eq!(ask(key(&id, &secret, Some("other".to_owned()))).await, "InvalidToken");
    assert_eq!(reqwest::get(format!("{}/plain/k", endpoint.url)).await.unwrap().status(), 403);
    endpoint.advance(chrono::Duration::seconds(40));
    assert_eq!(ask(session).await, "ExpiredToken");
}

#[tokio::test]
async fn a_presigned_url_works_for_what_it_was_signed_for() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let hour = || PresigningConfig::expires_in(Duration::from_hours(1)).unwrap();
    let put = s3.put_object().bucket(BUCKET).key("a b").presigned(hour()).await.unwrap();
    let get = s3.get_object().bucket(BUCKET).key("a b").presigned(hour()).await.unwrap();
    let http = reqwest::Client::new();

    assert_eq!(http.put(put.uri()).body("hello").send().await.unwrap().status(), 200);
    assert_eq!(http.get(get.uri()).send().await.unwrap().text().await.unwrap(), "hello");

    assert_eq!(http.get(get.uri().replace("a%20b", "other")).send().await.unwrap().status(), 403);
    assert_eq!(http.get(put.uri()).send().await.unwrap().status(), 403);
    #[expect(clippy::disallowed_methods, reason = "URLs are signed by the real time")]
    let past = std::time::SystemTime::from(chrono::Utc::now() - chrono::Duration::minutes(2));
    let over =
        PresigningConfig::builder().start_time(past).expires_in(Duration::from_mins(1)).build().unwrap();
    let over = s3.get_object().bucket(BUCKET).key("a b").presigned(over).await.unwrap();
    assert_eq!(http.get(over.uri()).send().await.unwrap().status(), 403);
    let loose = http.put(put.uri()).header("x-amz-storage-class", "STANDARD").body("x").send().await.unwrap();
    assert_eq!(loose.status(), 403);
}

#[tokio::test]
async fn buckets_are_seen() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let buckets = s3.list_buckets().send().await.unwrap();
    assert_eq!(buckets.buckets().iter().map(|one| one.name().unwrap()).collect::<Vec<_>>(), [LOCKED, BUCKET]);
    s3.head_bucket().bucket(BUCKET).send().await.unwrap();
    assert!(
        s3.head_bucket().bucket("no-bucket").send().await.unwrap_err().into_service_error().is_not_found()
    );
    let lock = s3.get_object_lock_configuration().bucket(LOCKED).send().await.unwrap();
    assert!(lock.object_lock_configuration().is_some());
    assert!(s3.get_bucket_versioning().bucket(LOCKED).send().await.unwrap().status().is_some());
}
