//! S3 beside putting and getting: copied parts, uploads under way, tags, attributes, what a crash leaves.

use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart, ObjectAttributes, Tag, Tagging, TaggingDirective},
};

use crate::endpoint::{BUCKET, Endpoint, LOCKED};

fn code<T: std::fmt::Debug, E: ProvideErrorMetadata>(result: Result<T, E>) -> String {
    result.unwrap_err().code().unwrap_or("(no code)").to_owned()
}

async fn put(s3: &Client, bucket: &str, key: &str, body: Vec<u8>) {
    s3.put_object().bucket(bucket).key(key).body(ByteStream::from(body)).send().await.unwrap();
}

async fn begin(s3: &Client, bucket: &str, key: &str) -> String {
    let begun = s3.create_multipart_upload().bucket(bucket).key(key).send().await.unwrap();
    begun.upload_id().unwrap().to_owned()
}

#[tokio::test]
async fn parts_are_copied_whole_or_by_range_from_who_may_be_read() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let source: Vec<u8> = (0..6 * 1024 * 1024_u32).map(|at| at.to_le_bytes()[1]).collect();
    put(&s3, BUCKET, "source", source.clone()).await;
    put(&s3, LOCKED, "tail", b"0123456789".to_vec()).await;
    let id = begin(&s3, BUCKET, "joined").await;
    let copy = |number: i32, from: &str| {
        s3.upload_part_copy()
            .bucket(BUCKET)
            .key("joined")
            .upload_id(&id)
            .part_number(number)
            .copy_source(from)
    };

    let first = copy(1, "plain/source").send().await.unwrap();
    let second = copy(2, "locked/tail").copy_source_range("bytes=2-5").send().await.unwrap();
    assert!(second.copy_source_version_id().is_some());
    assert_eq!(code(copy(3, "plain/none").send().await), "NoSuchKey");
    assert_eq!(code(copy(3, "locked/tail").copy_source_range("bytes=2-10").send().await), "InvalidArgument");
    assert_eq!(code(copy(10_001, "locked/tail").send().await), "InvalidArgument");
    let part = |number: i32, etag: Option<&str>| {
        CompletedPart::builder().part_number(number).e_tag(etag.unwrap()).build()
    };
    let parts = CompletedMultipartUpload::builder()
        .parts(part(1, first.copy_part_result().unwrap().e_tag()))
        .parts(part(2, second.copy_part_result().unwrap().e_tag()))
        .build();
    let done = s3.complete_multipart_upload().bucket(BUCKET).key("joined").upload_id(&id);
    done.multipart_upload(parts).send().await.unwrap();

    let joined = s3.get_object().bucket(BUCKET).key("joined").send().await.unwrap();
    assert_eq!(joined.body.collect().await.unwrap().into_bytes(), [source.as_slice(), b"2345"].concat());
    let thing = [("credentials-iot:ThingName", "t1")];
    let writer = endpoint.s3(endpoint.session("Writer", &thing, chrono::Duration::hours(1)));
    let id = begin(&writer, BUCKET, "things/t1/x").await;
    let stolen = writer.upload_part_copy().bucket(BUCKET).key("things/t1/x").upload_id(&id).part_number(1);
    assert_eq!(code(stolen.copy_source("locked/tail").send().await), "AccessDenied");
}

#[tokio::test]
async fn uploads_under_way_are_listed_page_by_page_and_folded() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    for key in ["a", "b/1", "b/2", "c", "c"] {
        begin(&s3, BUCKET, key).await;
    }
    begin(&s3, LOCKED, "elsewhere").await;

    let (mut keys, mut marker) = (Vec::new(), (None, None));
    loop {
        let list = s3.list_multipart_uploads().bucket(BUCKET).max_uploads(2);
        let page =
            list.set_key_marker(marker.0.take()).set_upload_id_marker(marker.1.take()).send().await.unwrap();
        assert!(page.uploads().len() <= 2);
        keys.extend(page.uploads().iter().map(|upload| upload.key().unwrap().to_owned()));
        if page.is_truncated() != Some(true) {
            break;
        }
        marker = (page.next_key_marker().map(str::to_owned), page.next_upload_id_marker().map(str::to_owned));
    }
    assert_eq!(keys, ["a", "b/1", "b/2", "c", "c"]);

    let folded = s3.list_multipart_uploads().bucket(BUCKET).delimiter("/").send().await.unwrap();
    assert_eq!(folded.common_prefixes()[0].prefix(), Some("b/"));
    assert_eq!(folded.uploads().len(), 3);
    let under = s3.list_multipart_uploads().bucket(BUCKET).prefix("b/").send().await.unwrap();
    assert_eq!(under.uploads().len(), 2);
    let upload = &under.uploads()[0];
    let abort = s3.abort_multipart_upload().bucket(BUCKET).key("b/1");
    abort.upload_id(upload.upload_id().unwrap()).send().await.unwrap();
    let under = s3.list_multipart_uploads().bucket(BUCKET).prefix("b/").send().await.unwrap();
    assert_eq!(under.uploads().len(), 1);
}

#[tokio::test]
async fn tags_are_kept_with_their_version_and_copied_along() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    let sent = s3.put_object().bucket(BUCKET).key("k").tagging("a=1&b=%E5%87%A6");
    sent.body(ByteStream::from_static(b"x")).send().await.unwrap();
    let tags = async |key: &str| -> Vec<(String, String)> {
        let got = s3.get_object_tagging().bucket(BUCKET).key(key).send().await.unwrap();
        got.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };

    assert_eq!(tags("k").await, pairs(&[("a", "1"), ("b", "処")]));
    let got = s3.get_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(got.tag_count(), Some(2));
    s3.copy_object().bucket(BUCKET).key("same").copy_source("plain/k").send().await.unwrap();
    assert_eq!(tags("same").await, tags("k").await);
    let replaced = s3.copy_object().bucket(BUCKET).key("new").copy_source("plain/k").tagging("c=3");
    replaced.tagging_directive(TaggingDirective::Replace).send().await.unwrap();
    assert_eq!(tags("new").await, pairs(&[("c", "3")]));

    let tag = |key: &str| Tag::builder().key(key).value("v").build().unwrap();
    let retag = |tags: Vec<Tag>| {
        let tagging = Tagging::builder().set_tag_set(Some(tags)).build().unwrap();
        s3.put_object_tagging().bucket(BUCKET).key("k").tagging(tagging).send()
    };
    retag(vec![tag("z")]).await.unwrap();
    assert_eq!(tags("k").await, pairs(&[("z", "v")]));
    assert_eq!(code(retag(vec![tag("z"), tag("z")]).await), "InvalidTag");
    assert_eq!(code(retag((0..11).map(|number| tag(&number.to_string())).collect()).await), "BadRequest");
    s3.delete_object_tagging().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(tags("k").await, []);
    assert_eq!(code(s3.get_object_tagging().bucket(BUCKET).key("none").send().await), "NoSuchKey");
    let thing = [("credentials-iot:ThingName", "t1")];
    let writer = endpoint.s3(endpoint.session("Writer", &thing, chrono::Duration::hours(1)));
    assert_eq!(code(writer.get_object_tagging().bucket(BUCKET).key("k").send().await), "AccessDenied");
}

#[tokio::test]
async fn attributes_tell_what_was_asked_for() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    put(&s3, LOCKED, "k", b"hello".to_vec()).await;

    let all = s3.get_object_attributes().bucket(LOCKED).key("k");
    let all = all
        .object_attributes(ObjectAttributes::Etag)
        .object_attributes(ObjectAttributes::ObjectSize)
        .object_attributes(ObjectAttributes::StorageClass)
        .object_attributes(ObjectAttributes::Checksum)
        .send()
        .await
        .unwrap();
    assert_eq!(all.e_tag().unwrap().trim_matches('"'), "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(all.object_size(), Some(5));
    assert_eq!(all.storage_class().unwrap().as_str(), "STANDARD");
    assert!(all.checksum().is_some() && all.version_id().is_some() && all.object_parts().is_none());
    let one = s3.get_object_attributes().bucket(LOCKED).key("k");
    let one = one.object_attributes(ObjectAttributes::ObjectSize).send().await.unwrap();
    assert_eq!((one.e_tag(), one.object_size()), (None, Some(5)));
    let none = s3.get_object_attributes().bucket(LOCKED).key("none");
    assert_eq!(code(none.object_attributes(ObjectAttributes::Etag).send().await), "NoSuchKey");
}

#[tokio::test]
async fn what_a_crash_left_behind_is_swept_and_no_object_with_it() {
    let endpoint = Endpoint::start().await;
    let s3 = endpoint.s3(Endpoint::admin());
    put(&s3, BUCKET, "kept", b"kept".to_vec()).await;
    let id = begin(&s3, BUCKET, "under-way").await;
    let part = s3.upload_part().bucket(BUCKET).key("under-way").upload_id(&id).part_number(1);
    let part = part.body(ByteStream::from_static(b"part")).send().await.unwrap();
    // A crash between the rename of the bytes and the row that makes them an object.
    let stray = endpoint.path().join("s3/objects/00").join("0".repeat(32));
    std::fs::copy(endpoint.path().join("s3/index.sqlite3"), &stray).unwrap();

    let endpoint = endpoint.restart().await;

    assert!(!stray.exists());
    let s3 = endpoint.s3(Endpoint::admin());
    let kept = s3.get_object().bucket(BUCKET).key("kept").send().await.unwrap();
    assert_eq!(kept.body.collect().await.unwrap().into_bytes(), "kept");
    let parts = CompletedPart::builder().part_number(1).e_tag(part.e_tag().unwrap()).build();
    let parts = CompletedMultipartUpload::builder().parts(parts).build();
    let done = s3.complete_multipart_upload().bucket(BUCKET).key("under-way").upload_id(&id);
    done.multipart_upload(parts).send().await.unwrap();
}
