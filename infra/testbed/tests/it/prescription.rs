//! A file that the receipt computer saved is in the cloud: whole, once, and without anyone asking.

use std::{
    io::Write,
    os::unix::{ffi::OsStrExt, fs::symlink},
};

use anyhow::Context;
use serde_json::Value;
use testbed::{boxes::RecehubBox, crowd, wait::until};

use crate::support::{
    BOUND, Bucket, bed, box_client::BoxClient, box_status, database_text, folder_bytes, holds, save, uploads,
};

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
    let arrived = |answer: Value| {
        let items = answer["items"].as_array().context("no items")?;
        let sizes: Vec<u64> = items.iter().filter_map(|item| item["size"].as_u64()).collect();
        Ok([0, 4, 9].iter().all(|size| sizes.contains(size)).then_some(()))
    };
    let what = "the good, the empty and the oddly named one arrive";
    bed.api.until(what, BOUND, &format!("/v1/uploads?thing={thing}"), arrived).await.unwrap();
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
async fn a_box_whose_clock_is_wrong_still_uploads_hears_its_settings_and_tells_the_right_time() {
    let mut bed = bed(1).await;
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    let days_to = |year| {
        let then = chrono::NaiveDate::from_ymd_opt(year, 1, 2).unwrap();
        format!("{:+}d", (then - now.date_naive()).num_days())
    };
    let offsets = ["-3h".to_owned(), "+3h".to_owned(), days_to(1970), days_to(2036)];
    for (count, offset) in (1..).zip(offsets) {
        let one = &mut bed.boxes[0];
        one.stop_agent().await.unwrap();
        // Nor does it know the time from before.
        for file in ["agent.db", "agent.db-wal", "agent.db-shm"] {
            drop(std::fs::remove_file(one.home.join("state").join(file)));
        }
        let connections = connections(one);
        let program = one.agent_program().clone().env("FAKETIME_DONT_FAKE_MONOTONIC", 1);
        one.start_agent_as(&program.in_time(&offset).unwrap()).unwrap();
        save(one, &format!("clock{offset}.csv"), &vec![b'x'; 10 * count]).await;

        let thing = bed.boxes[0].thing.clone();
        let items = uploads(&bed, &thing, count).await;
        until(&format!("{offset}: the box is connected over MQTT"), BOUND, || async {
            Ok((self::connections(&bed.boxes[0]) > connections).then_some(()))
        })
        .await
        .unwrap();

        let item = items.iter().find(|item| item["size"] == 10 * count).unwrap();
        let observed: chrono::DateTime<chrono::Utc> = item["observedAt"].as_str().unwrap().parse().unwrap();
        let since = observed - now;
        assert!((0..300).contains(&since.num_seconds()), "{offset}: seen {since} after the test began");
        assert_eq!(item["clock"], "synced", "{offset}");
    }
    bed.stop().await.unwrap();
}

/// How often the box's agents said that they are connected over MQTT.
fn connections(one: &RecehubBox) -> usize {
    std::fs::read_to_string(one.agent_log()).unwrap_or_default().matches("connected over MQTT").count()
}

async fn current_content(bucket: &Bucket, items: &[serde_json::Value]) -> Vec<u8> {
    let current: Vec<_> = items.iter().filter(|item| item["current"] == true).collect();
    assert_eq!(current.len(), 1, "one content of a path is current");
    bucket.content(current[0]["objectKey"].as_str().unwrap()).await
}

/// Far fewer bytes than the benchmark's, for a test: `cargo xtask bench api memory` sends 64 times 50 MB.
#[tokio::test]
async fn sixty_four_large_prescriptions_at_once_are_never_held_whole() {
    const MANY: usize = 64;
    const SIZE: usize = 2 * 1024 * 1024;
    let mut bed = bed(1).await;
    bed.boxes[0].stop_agent().await.unwrap();
    let client = BoxClient::of(&bed, &bed.boxes[0]);
    let (thing, token) = (client.thing.clone(), client.log_in().await.unwrap());
    let api = bed.processes().into_iter().find(|(name, _)| name == "fleet-api").unwrap().1;
    let (before, _) = crowd::memory(api).unwrap();

    crowd::upload(&bed, MANY, SIZE, |_| (thing.clone(), token.clone())).await.unwrap();

    let (_, most) = crowd::memory(api).unwrap();
    let grown = most.saturating_sub(before);
    println!("{before} bytes before, {most} at most");
    assert!(grown < (MANY * SIZE / 2) as u64, "{before} bytes before, {most} at most");
    assert_eq!(Bucket::of(&bed).keys().await.len(), MANY);
    bed.stop().await.unwrap();
}
