//! A file that the receipt computer saved is in the cloud: whole, once, and without anyone asking.

use std::{
    io::Write,
    os::unix::{ffi::OsStrExt, fs::symlink},
};

use testbed::wait::until;

use crate::support::{BOUND, Bucket, bed, box_status, database_text, folder_bytes, holds, save, uploads};

#[tokio::test]
async fn a_saved_file_is_in_s3_with_a_ledger_row_and_a_receipt() {
    let bed = bed(1).await;
    let bucket = Bucket::of(&bed);
    let one = &bed.boxes[0];
    let content: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();

    save(one, "処方1.csv", &content).await;

    let upload = uploads(&bed, &one.thing, 1).await.remove(0);
    let key = upload["objectKey"].as_str().unwrap();
    assert_eq!(bucket.keys().await, [key]);
    assert_eq!(bucket.content(key).await, content);
    assert_eq!(key, format!("rx/{}/{}", one.thing, upload["uploadId"].as_str().unwrap()));
    assert_eq!(upload["size"], content.len());
    assert_eq!(upload["pharmacy"], one.pharmacy.as_str());
    assert_eq!(upload["current"], true);
    until("the box has its receipt", BOUND, || async {
        let status = box_status(one).await?;
        Ok((status["backlog"]["count"] == 0 && status["lastReceiptAt"].is_string()).then_some(()))
    })
    .await
    .unwrap();
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn content_is_stored_once_and_the_newest_observation_is_current() {
    let bed = bed(1).await;
    let bucket = Bucket::of(&bed);
    let one = &bed.boxes[0];
    let (a, b) = (b"content a".as_slice(), b"content b".as_slice());

    save(one, "rx.csv", a).await;
    uploads(&bed, &one.thing, 1).await;
    save(one, "rx.csv", a).await;
    save(one, "rx.csv", b).await;
    let both = uploads(&bed, &one.thing, 2).await;
    assert_eq!(current_content(&bucket, &both).await, b);
    save(one, "rx.csv", a).await;

    until("the first content is current again", BOUND, || async {
        let items = uploads(&bed, &one.thing, 2).await;
        Ok((current_content(&bucket, &items).await == a).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(bucket.keys().await.len(), 2);
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn odd_files_neither_stop_the_box_nor_leave_the_share() {
    let mut bed = bed(1).await;
    let bucket = Bucket::of(&bed);
    let folder = bed.boxes[0].share.folder.clone();

    symlink("/etc/hostname", folder.join("link.csv")).unwrap();
    std::fs::create_dir(folder.join("folder.csv")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(folder.join("fifo.csv")).status().unwrap();
    assert!(fifo.success());
    std::fs::File::create(folder.join("vanishes.csv"))
        .and_then(|mut file| file.write_all(b"vanishes"))
        .unwrap();
    std::fs::remove_file(folder.join("vanishes.csv")).unwrap();
    let not_utf8 = folder.join(std::ffi::OsStr::from_bytes(b"\x8f\x88\x95\xfb.csv"));
    std::fs::File::create(not_utf8).and_then(|mut file| file.write_all(b"not utf-8")).unwrap();
    std::fs::File::create(folder.join("empty.csv")).unwrap();
    save(&bed.boxes[0], "good.csv", b"good").await;

    // The vanished one may have been read before it went, or not at all.
    let thing = bed.boxes[0].thing.clone();
    until("the good, the empty and the oddly named one arrive", BOUND, || async {
        let items = bed.api.get(&format!("/v1/uploads?thing={thing}")).await?["items"].clone();
        let sizes: Vec<u64> = items.as_array().unwrap().iter().filter_map(|i| i["size"].as_u64()).collect();
        Ok([0, 4, 9].iter().all(|size| sizes.contains(size)).then_some(()))
    })
    .await
    .unwrap();
    for key in bucket.keys().await {
        let content = bucket.content(&key).await;
        let known = [&b""[..], b"good", b"not utf-8", b"vanishes"].contains(&content.as_slice());
        assert!(known, "something else was sent");
    }
    bed.ensure_alive().unwrap();
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn neither_name_nor_content_is_seen_on_the_way() {
    let bed = bed(1).await;
    let bucket = Bucket::of(&bed);
    let one = &bed.boxes[0];
    let (name, content) = ("kanariya-hanako.csv", b"kanariya-no-shohou".as_slice());

    save(one, name, content).await;
    let upload = uploads(&bed, &one.thing, 1).await.remove(0);

    let key = upload["objectKey"].as_str().unwrap();
    assert_eq!(bucket.content(key).await, content, "the canary did not fly at all");
    let metadata = bucket.metadata(key).await;
    assert!(!metadata.contains("hanako") && !key.contains("hanako"));
    assert!(!upload.to_string().contains("hanako"));
    let database = database_text(&bed).await;
    let logs = folder_bytes(&bed.folder.join("log"));
    assert!(logs.len() > 1000, "the logs are not where they are looked for");
    // A path may be written down as text, as base64 or as hexadecimal.
    for trace in [&b"kanariya"[..], b"a2FuYXJpeWE", b"6b616e6172697961"] {
        assert!(!holds(&logs, trace), "a log tells of a prescription");
        assert!(!holds(database.as_bytes(), trace), "the database tells of a prescription");
    }
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn a_box_whose_clock_is_three_hours_off_still_uploads() {
    let mut bed = bed(1).await;
    for (offset, size) in [("-3h", 10), ("+3h", 20)] {
        let one = &mut bed.boxes[0];
        one.stop_agent().await.unwrap();
        let program = one.agent_program().clone().behind("faketime", &["-f", offset]);
        one.start_agent_as(&program).unwrap();
        save(one, &format!("clock{offset}.csv"), &vec![b'x'; size]).await;
        let count = if offset == "-3h" { 1 } else { 2 };

        let thing = bed.boxes[0].thing.clone();
        let items = uploads(&bed, &thing, count).await;

        assert!(items.iter().any(|item| item["size"] == size), "{offset}: its upload did not arrive");
    }
    bed.stop().await.unwrap();
}

async fn current_content(bucket: &Bucket, items: &[serde_json::Value]) -> Vec<u8> {
    let current: Vec<_> = items.iter().filter(|item| item["current"] == true).collect();
    assert_eq!(current.len(), 1, "one content of a path is current");
    bucket.content(current[0]["objectKey"].as_str().unwrap()).await
}
