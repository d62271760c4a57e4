//! What else stands on a share, and what else is done to it: strange names, what is no file, too much of
//! everything, files that change under the reader.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use device_agent::{
    capture::{complete, patterns::Patterns, scope::Scope},
    clock::Clock,
};
use device_model::upload::{ContentHash, MAX_PATH_BYTES};
use rustix::fs::{CWD, FileType, Mode};

use crate::{
    capture::{Share, put},
    support::{NEVER, entries, eventually, light_folder},
};

const CAP: u64 = 1024 * 1024;
const SOON: Duration = Duration::from_millis(20);

/// Paths, and the sha256 of what stands there.
type Tree = BTreeSet<(Vec<u8>, [u8; 32])>;

fn deep(folder: &str) -> String {
    format!("{folder}/{}", ["d".repeat(200).as_str(); 5].join("/"))
}

/// Files that must be captured under these very names.
fn honest(root: &Path, folder: &str) -> Tree {
    let deep = deep(folder);
    fs::create_dir_all(root.join(&deep)).unwrap();
    let longest = format!("{deep}/{}", "f".repeat(MAX_PATH_BYTES - deep.len() - 1));
    put(&root.join(format!("{longest}f")), b"one byte too long");
    let names = [
        "処方.csv",
        "が.csv",
        "か\u{3099}.csv",
        &"x".repeat(255),
        &"処".repeat(85),
        "new\nline.csv",
        "back\\slash.csv",
        "two..dots",
        "%2e%2e%2f.csv",
        "-rf",
        " ",
    ];
    let names = names.iter().map(|name| format!("{folder}/{name}").into_bytes());
    let not_text = [folder.as_bytes(), b"/\x8f\x88\x95\xfb.csv"].concat();
    let mut tree = Tree::new();
    for (number, name) in names.chain([longest.into_bytes(), not_text]).enumerate() {
        // The first one is empty.
        let content = vec![b'c'; number];
        put(&root.join(OsStr::from_bytes(&name)), &content);
        tree.insert((name, ContentHash::of(&content).0));
    }
    tree
}

/// Nothing of this is ever captured.
fn strange(root: &Path, folder: &str) {
    let at = |name: &str| root.join(folder).join(name);
    let mode = Mode::RUSR | Mode::WUSR;
    put(&at("~$excluded"), b"x");
    symlink("/etc/passwd", at("absolute-link")).unwrap();
    symlink("../../../../../../etc/passwd", at("link-out")).unwrap();
    symlink("-rf", at("link-to-a-neighbour")).unwrap();
    symlink(".", at("loop")).unwrap();
    symlink("/etc", at("folder-out")).unwrap();
    rustix::fs::mknodat(CWD, at("fifo"), FileType::Fifo, mode, 0).unwrap();
    drop(UnixListener::bind(at("socket")).unwrap());
    if rustix::process::geteuid().is_root() {
        let null = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(CWD, at("device"), FileType::CharacterDevice, mode, null).unwrap();
        fs::rename(at("device"), at("moved-device")).unwrap();
    }
    fs::rename(at("fifo"), at("moved-fifo")).unwrap();
    fs::rename(at("absolute-link"), at("moved-link")).unwrap();
    fs::rename(at("socket"), at("moved-socket")).unwrap();
    fs::create_dir(at("folder.csv")).unwrap();
    File::create(at("one-byte-too-big")).unwrap().set_len(CAP + 1).unwrap();
    File::create(at("huge")).unwrap().set_len(64 * CAP).unwrap();
}

async fn captured(share: &Share) -> Tree {
    entries(&share.spool).await.into_iter().map(|entry| (entry.path, entry.hash.0)).collect()
}

async fn all_captured(share: &Share, expected: &Tree) {
    eventually("all is captured", || async { captured(share).await.is_superset(expected).then_some(()) })
        .await;
}

#[tokio::test]
async fn of_a_hostile_tree_exactly_the_files_are_captured_under_their_very_names() {
    static EXPECTED: std::sync::Mutex<Tree> = std::sync::Mutex::new(Tree::new());
    let share = Share::changed(
        NEVER,
        |root| {
            EXPECTED.lock().unwrap().extend(honest(root, "early"));
            strange(root, "early");
        },
        |capture| capture.scope = Arc::new(Scope { max_file_bytes: CAP, ..Scope::default() }),
    )
    .await;
    let mut expected = EXPECTED.lock().unwrap().clone();
    all_captured(&share, &expected).await;
    let [excluded, too_big, too_long] =
        [&share.health.excluded, &share.health.too_big, &share.health.too_long];
    let counted = [excluded, too_big, too_long].map(|count| count.load(Ordering::Relaxed));

    // From here on the kernel tells of each file by itself.
    let watched = format!("{}/watched", deep("late"));
    fs::create_dir_all(share.path(&deep("late"))).unwrap();
    share.write(&watched, b"");
    expected.insert((watched.into_bytes(), ContentHash::of(b"").0));
    all_captured(&share, &expected).await;
    expected.extend(honest(share.folder.path(), "late"));
    strange(share.folder.path(), "late");

    share.write("last.csv", b"last");
    expected.insert((b"last.csv".to_vec(), ContentHash::of(b"last").0));
    all_captured(&share, &expected).await;
    share.settle().await;
    let mut seen = captured(&share).await;
    seen.retain(|(path, _)| !path.starts_with(b"settle-"));
    assert_eq!(seen, expected);
    assert_eq!(counted, [1, 2, 1]);
}

#[test]
fn a_file_that_is_rewritten_while_it_is_read_is_never_taken_half() {
    device_agent::capture::lease::ignore_lease_signals();
    let share = light_folder();
    let path = share.path().join("f");
    let contents = [vec![b'a'; 3 * complete::INLINE], vec![b'b'; 2 * complete::INLINE]];
    put(&path, &contents[0]);
    let draft = share.path().join("draft");
    let (stop, reads) = (AtomicBool::new(false), AtomicUsize::new(0));

    let (mut whole, mut not_whole) = (Vec::new(), 0);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for (round, content) in contents.iter().cycle().enumerate() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // In place, and by a rename; then two reads in peace.
                put(&path, content);
                put(&draft, content);
                fs::rename(&draft, &path).unwrap();
                let seen = reads.load(Ordering::Relaxed);
                while reads.load(Ordering::Relaxed) < seen + 3 && !stop.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                // The next write begins somewhere in a read.
                (0..round % 64 * 20_000).for_each(|_| std::hint::spin_loop());
            }
        });
        let patience = Instant::now() + Duration::from_mins(1);
        while reads.load(Ordering::Relaxed) < 300 || (not_whole == 0 && Instant::now() < patience) {
            match complete::read(share.path(), b"f", share.path()) {
                Ok(read) => {
                    complete::discard(&read.body);
                    whole.push(read.hash);
                }
                Err(_) => not_whole += 1,
            }
            reads.fetch_add(1, Ordering::Relaxed);
        }
        stop.store(true, Ordering::Relaxed);
    });

    let hashes = contents.map(|content| ContentHash::of(&content));
    assert!(whole.iter().all(|hash| hashes.contains(hash)));
    assert!(!whole.is_empty() && not_whole > 0, "{} and {not_whole}", whole.len());
}

#[tokio::test]
async fn when_the_kernel_drops_events_everything_is_looked_at() {
    let share = Share::watched(NEVER).await;
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let most: usize = most.trim().parse().unwrap();

    let looks = || share.health.looks.load(Ordering::Relaxed);
    eventually("the first look is over", || async { (looks() == 1).then_some(()) }).await;

    // No word of the kernel is heard before the next await.
    for _ in 0..=most / 2 {
        for name in ["a.csv", "b.csv"] {
            File::options().create(true).append(true).open(share.path(name)).unwrap();
        }
    }
    share.write("dropped.csv", b"dropped");

    share.captured(b"dropped.csv", b"dropped").await;
    assert_eq!(looks(), 2);
}

#[tokio::test]
async fn thousands_of_files_at_the_start_are_captured_once_each() {
    const FILES: usize = 3_000;
    let name = |number: usize| format!("{}/{number}.csv", number % 7);
    let share = Share::changed(
        NEVER,
        |root| {
            (0..7).for_each(|folder| fs::create_dir(root.join(folder.to_string())).unwrap());
            (0..FILES).for_each(|number| put(&root.join(name(number)), number.to_string().as_bytes()));
        },
        |capture| {
            capture.most_waiting = 1_000;
            // They stand there since yesterday.
            capture.clock = Clock::reading(|| Clock::system().local() + TimeDelta::days(1));
        },
    )
    .await;

    eventually("all are captured", || async {
        let (backlog, _) = share.spool.backlog().await.unwrap();
        (backlog.count >= 3_000).then_some(())
    })
    .await;

    let expected: Tree = (0..FILES)
        .map(|number| (name(number).into_bytes(), ContentHash::of(number.to_string().as_bytes()).0))
        .collect();
    assert_eq!(captured(&share).await, expected);
    assert_eq!(entries(&share.spool).await.len(), FILES);
}

#[tokio::test]
async fn a_data_file_counts_once_its_trigger_is_there() {
    let share = Share::changed(
        NEVER,
        |root| {
            put(&root.join("complete.csv"), b"complete");
            put(&root.join("complete.idx"), b"");
            put(&root.join("alone.csv"), b"alone");
        },
        |capture| {
            let trigger = Some("*.csv=*.idx".parse().unwrap());
            capture.scope = Arc::new(Scope { trigger, ..Scope::default() });
        },
    )
    .await;
    share.captured(b"complete.csv", b"complete").await;
    share.captured(b"complete.idx", b"").await;
    share.write("late.csv", b"late");
    share.write("other.txt", b"other");
    share.captured(b"other.txt", b"other").await;
    let before = share.settle().await;

    share.write("late.idx", b"idx");
    share.write("ALONE.IDX", b"of another stem");

    share.captured(b"late.csv", b"late").await;
    share.captured(b"late.idx", b"idx").await;
    share.captured(b"ALONE.IDX", b"of another stem").await;
    let paths = |entries: Vec<_>| -> BTreeSet<Vec<u8>> {
        entries.into_iter().map(|entry: device_agent::capture::spool::Entry| entry.path).collect()
    };
    let names =
        |names: &[&str]| -> BTreeSet<Vec<u8>> { names.iter().map(|name| name.as_bytes().to_vec()).collect() };
    assert_eq!(paths(before), names(&["complete.csv", "complete.idx", "other.txt"]));
    let after = names(&["complete.csv", "complete.idx", "other.txt", "late.csv", "late.idx", "ALONE.IDX"]);
    assert_eq!(paths(share.settle().await), after);
}

#[tokio::test]
async fn only_what_is_included_is_captured_in_whatever_folder() {
    let share = Share::changed(
        NEVER,
        |root| {
            fs::create_dir(root.join("2026")).unwrap();
            for name in ["2026/a.csv", "2026/a.txt", "a.CSV"] {
                put(&root.join(name), b"x");
            }
        },
        |capture| {
            let include = Some(Patterns::read("*.csv"));
            capture.scope = Arc::new(Scope { include, ..Scope::default() });
        },
    )
    .await;
    for name in [&b"a.CSV"[..], b"2026/a.csv"] {
        share.captured(name, b"x").await;
    }
    share.write("late.txt", b"x");
    share.write("late.csv", b"x");

    share.captured(b"late.csv", b"x").await;
    assert_eq!(entries(&share.spool).await.len(), 3);
    assert_eq!(share.health.excluded.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_share_that_goes_away_is_told_of_and_is_captured_when_it_is_back() {
    let share = Share::watched(SOON).await;
    let away = share.folder.path().with_extension("away");
    let unreadable = async |expected: bool| {
        eventually("the share's state is noticed", || async {
            (share.health.share_unreadable.load(Ordering::Relaxed) == expected).then_some(())
        })
        .await;
    };

    fs::rename(share.folder.path(), &away).unwrap();
    unreadable(true).await;
    put(&away.join("meanwhile.csv"), b"meanwhile");
    fs::rename(&away, share.folder.path()).unwrap();
    unreadable(false).await;

    share.captured(b"meanwhile.csv", b"meanwhile").await;
    fs::remove_dir_all(share.folder.path()).unwrap();
    unreadable(true).await;
    fs::create_dir(share.folder.path()).unwrap();
    unreadable(false).await;
    share.write("again.csv", b"again");
    share.captured(b"again.csv", b"again").await;
}

#[tokio::test]
async fn of_more_new_folders_than_are_looked_at_at_once_none_is_missed() {
    let share = Share::watched(NEVER).await;

    for folder in 0..200 {
        fs::create_dir_all(share.path(&format!("{folder}/below"))).unwrap();
        share.write(&format!("{folder}/below/a.csv"), b"a");
    }

    for folder in 0..200 {
        share.captured(format!("{folder}/below/a.csv").as_bytes(), b"a").await;
    }
}
