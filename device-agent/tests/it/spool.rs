//! What the spool keeps closed, what it carries over, and how it goes on after its disk has failed it.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use device_agent::{
    capture::{
        complete::{Body, INLINE, Stamp},
        sealed::BrokenSeal,
        spool::{Added, BodyError, Entry, Spool},
    },
    clock::Clock,
    lan::journal::{Found, Journal},
    store::{Store, StoreError},
};
use device_model::upload::{ContentHash, Receipt};
use rusqlite::{Connection, params};
use tempfile::TempDir;

use crate::support::{entries, eventually, read_whole, spool_keys};

const NAME: &str = "山田太郎-処方.csv";
const CONTENT: &[u8] = b"a canary that nobody may see in the open, 0123456789";

/// A share and a state directory without the watching.
struct Desk {
    share: TempDir,
    state: TempDir,
    quota: u64,
}

impl Desk {
    fn new() -> Self {
        Self { share: tempfile::tempdir().unwrap(), state: tempfile::tempdir().unwrap(), quota: u64::MAX }
    }

    async fn open(&self) -> Spool {
        let state = self.state.path();
        Spool::open(Store::open(state).unwrap(), state, spool_keys(state), self.quota).await.unwrap()
    }

    /// Waits until the database of a dropped store is closed.
    async fn closed(&self) {
        eventually("the database is closed", || async {
            (!self.state.path().join("agent.db-wal").exists()).then_some(())
        })
        .await;
    }

    async fn add(&self, spool: &Spool, name: &str, content: &[u8]) -> Added {
        File::create(self.share.path().join(name)).unwrap().write_all(content).unwrap();
        let whole = read_whole(self.share.path(), name.as_bytes(), spool).await;
        spool.add(name.into(), whole, Clock::system().moment(), true).await.unwrap()
    }

    fn database(&self) -> PathBuf {
        self.state.path().join("agent.db")
    }

    /// Everything that stands below the state directory.
    fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut folders = vec![self.state.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { all.extend(fs::read(path).unwrap()) }
            }
        }
        all
    }
}

fn stands_in(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

async fn content(spool: &Spool, sequence: u64) -> Result<Vec<u8>, BrokenSeal> {
    match spool.body(sequence).await {
        Ok(Some(Body::Inline(content))) => Ok(content),
        Ok(Some(Body::File(copy))) => copy.key.open(&fs::read(&copy.path).unwrap()),
        Err(BodyError::Torn(broken)) => Err(broken),
        other => panic!("{other:?}"),
    }
}

fn receipt(entry: &Entry) -> Receipt {
    let thing = "tenpo-0001".parse().unwrap();
    Receipt {
        upload_id: device_model::upload::UploadId::of(&thing, &entry.path, entry.hash),
        thing,
        sha256: entry.hash,
        size: entry.size,
        version_id: "v".to_owned(),
        received_at: Clock::system().now(),
    }
}

fn big() -> Vec<u8> {
    CONTENT.iter().copied().cycle().take(INLINE * 2).collect()
}

#[tokio::test]
async fn neither_names_nor_contents_nor_their_hashes_stand_in_the_open() {
    let desk = Desk::new();
    let spool = desk.open().await;
    desk.add(&spool, NAME, CONTENT).await;
    desk.add(&spool, "big", &big()).await;
    desk.add(&spool, "gone", CONTENT).await;
    let all = entries(&spool).await;
    spool.settle(vec![(3, receipt(&all[2]))]).await.unwrap();

    let bytes = desk.bytes();

    for secret in [NAME.as_bytes(), CONTENT, &ContentHash::of(CONTENT).0, &ContentHash::of(&big()).0] {
        assert!(!stands_in(&bytes, secret));
    }
    assert!(stands_in(&bytes, b"spool_waiting"), "the database itself was looked through");
    assert_eq!(content(&spool, 1).await.unwrap(), CONTENT);
    assert_eq!(content(&spool, 2).await.unwrap(), big());
}

/// Runs on the database as someone would who can write to it and has no key.
async fn tampered(desk: &Desk, spool: Spool, sql: &str) -> Spool {
    drop(spool);
    desk.closed().await;
    Connection::open(desk.database()).unwrap().execute_batch(sql).unwrap();
    desk.open().await
}

#[tokio::test]
async fn an_entry_whose_parts_were_swapped_or_altered_is_set_aside_and_the_rest_goes_on() {
    for sql in [
        "update spool set head = (select head from spool where sequence = 2) where sequence = 1",
        "update spool set size = size + 1 where sequence = 1",
        "update spool set observed_at = '2020-01-01T00:00:00+00:00' where sequence = 1",
        "update spool set path_key = (select path_key from spool where sequence = 2) where sequence = 1",
        "update spool set head = x'00' where sequence = 1",
    ] {
        let desk = Desk::new();
        let spool = desk.open().await;
        desk.add(&spool, "a", b"A").await;
        desk.add(&spool, "b", b"B").await;
        let spool = tampered(&desk, spool, sql).await;

        let sequences: Vec<u64> = entries(&spool).await.iter().map(|entry| entry.sequence).collect();

        assert_eq!(sequences, [2], "{sql}");
        assert_eq!(spool.backlog().await.unwrap().0.quarantined, 1);
    }
}

#[tokio::test]
async fn a_content_that_is_anothers_or_altered_does_not_open() {
    let desk = Desk::new();
    let spool = desk.open().await;
    for name in ["a", "b"] {
        desk.add(&spool, name, name.as_bytes()).await;
        desk.add(&spool, &format!("big-{name}"), &big()).await;
    }
    let swap = "update spool set content = (select content from spool where sequence = 3) where sequence = 1;
                update spool set file = (select file from spool where sequence = 4) where sequence = 2;";
    let spool = tampered(&desk, spool, swap).await;

    for sequence in [1, 2] {
        assert_eq!(content(&spool, sequence).await, Err(BrokenSeal));
    }
    assert_eq!(content(&spool, 3).await.unwrap(), b"b");
}

#[tokio::test]
async fn after_a_rotation_everything_is_sealed_under_the_new_key_and_the_old_one_can_go() {
    let desk = Desk::new();
    let spool = desk.open().await;
    desk.add(&spool, NAME, CONTENT).await;
    desk.add(&spool, "big", &big()).await;
    drop(spool);
    desk.closed().await;
    let agent = |arguments: &[&str]| {
        let told = std::process::Command::new(env!("CARGO_BIN_EXE_device-agent"))
            .args(arguments)
            .env("RECEHUB_THING", "tenpo-0001")
            .env("RECEHUB_STATE_DIR", desk.state.path())
            .output()
            .unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8(told.stdout).unwrap()
    };

    agent(&["spool-key", "rotate"]);
    let too_early = agent(&["spool-key", "prune"]);
    drop(desk.open().await);
    let in_time = agent(&["spool-key", "prune"]);

    assert_eq!((too_early.as_str(), in_time.as_str()), ("keys removed: 0\n", "keys removed: 1\n"));
    let spool = desk.open().await;
    assert_eq!(entries(&spool).await[0].path, NAME.as_bytes());
    assert_eq!(content(&spool, 1).await.unwrap(), CONTENT);
    assert_eq!(content(&spool, 2).await.unwrap(), big());
    assert_eq!(desk.add(&spool, NAME, CONTENT).await, Added::Unchanged);
}

#[tokio::test]
async fn with_a_lost_key_what_waits_is_set_aside_and_the_share_is_read_again() {
    let desk = Desk::new();
    let spool = desk.open().await;
    desk.add(&spool, NAME, CONTENT).await;
    let stamp = Stamp::of(&fs::metadata(desk.share.path().join(NAME)).unwrap());
    let is_unseen = async |spool: &Spool| {
        spool.unseen(vec![(NAME.into(), stamp.clone())]).await.unwrap() == [NAME.as_bytes()]
    };
    assert!(!is_unseen(&spool).await);
    drop(spool);
    desk.closed().await;
    fs::remove_file(desk.state.path().join("spool.key")).unwrap();

    let spool = desk.open().await;

    assert_eq!(entries(&spool).await, []);
    assert_eq!(spool.backlog().await.unwrap().0.quarantined, 1);
    assert!(is_unseen(&spool).await);
    assert_eq!(desk.add(&spool, NAME, CONTENT).await, Added::New { sequence: 2 });
    assert_eq!(content(&spool, 2).await.unwrap(), CONTENT);
}

/// The database as the version before sealing left it, with one entry of each kind.
fn unsealed_database(desk: &Desk) {
    let first = include_str!("unsealed.sql");
    let db = Connection::open(desk.database()).unwrap();
    db.execute_batch(first).unwrap();
    fs::create_dir(desk.state.path().join("spool")).unwrap();
    File::create(desk.state.path().join("spool/copy")).unwrap().write_all(&big()).unwrap();
    let insert = "insert into spool (sequence, path, sha256, size, observed_at, content, file, quarantined)
                  values (?1, ?2, ?3, ?4, '2026-11-22T00:00:00+00:00', ?5, ?6, ?7)";
    let nothing = None::<&[u8]>;
    let hash = |content: &[u8]| ContentHash::of(content).0;
    db.execute(insert, params![4, NAME.as_bytes(), hash(CONTENT), CONTENT.len(), CONTENT, nothing, nothing])
        .unwrap();
    db.execute(insert, params![5, b"big", hash(&big()), big().len(), nothing, "copy", nothing]).unwrap();
    db.execute(insert, params![6, b"lost", hash(&big()), big().len(), nothing, "lost", nothing]).unwrap();
    db.execute(insert, params![7, b"no", hash(b"no"), 2, b"no", nothing, "422"]).unwrap();
    db.execute("insert into meta values ('sequence', 7)", []).unwrap();
    for path in [NAME.as_bytes(), b"lost"] {
        db.execute("insert into observed values (?1, ?2, 'stamp', 1, null)", params![path, hash(CONTENT)])
            .unwrap();
    }
    db.execute("insert into receipts values (1, 'id', ?1, 1, 'v', '2026-11-22T00:00:00Z')", [hash(CONTENT)])
        .unwrap();
}

#[tokio::test]
async fn what_an_earlier_version_left_in_the_open_is_carried_over_and_sealed() {
    let desk = Desk::new();
    unsealed_database(&desk);
    assert!(stands_in(&desk.bytes(), CONTENT));

    let spool = desk.open().await;

    let bytes = desk.bytes();
    assert!(!stands_in(&bytes, NAME.as_bytes()) && !stands_in(&bytes, CONTENT));
    let waiting: Vec<(u64, Vec<u8>)> =
        entries(&spool).await.into_iter().map(|entry| (entry.sequence, entry.path)).collect();
    assert_eq!(waiting, [(4, NAME.as_bytes().to_vec()), (5, b"big".to_vec())]);
    assert_eq!(content(&spool, 4).await.unwrap(), CONTENT);
    assert_eq!(content(&spool, 5).await.unwrap(), big());
    assert_eq!(spool.backlog().await.unwrap().0.quarantined, 1);
    assert_eq!(desk.add(&spool, NAME, CONTENT).await, Added::Unchanged);
    // Its copy was gone: the share is read again.
    assert_eq!(desk.add(&spool, "lost", CONTENT).await, Added::New { sequence: 8 });
    let db = Connection::open(desk.database()).unwrap();
    let receipts: i64 = db.query_row("select count(*) from receipts", [], |row| row.get(0)).unwrap();
    assert_eq!(receipts, 1);
}

#[tokio::test]
async fn beyond_its_quota_the_spool_takes_nothing_until_something_was_sent() {
    let desk = Desk { quota: 1_000_000, ..Desk::new() };
    let spool = desk.open().await;
    let part = vec![7; 400_000];
    for name in ["a", "b"] {
        assert!(matches!(desk.add(&spool, name, &part).await, Added::New { .. }));
    }

    assert!(!spool.quota().has_room_for(400_000) && spool.quota().has_room_for(200_000));
    assert_eq!(desk.add(&spool, "c", &part).await, Added::Full);
    assert!(spool.quota().is_full());
    assert_eq!(fs::read_dir(spool.folder()).unwrap().count(), 2);
    let stamp = Stamp::of(&fs::metadata(desk.share.path().join("c")).unwrap());
    assert_eq!(spool.unseen(vec![("c".into(), stamp)]).await.unwrap(), [b"c"]);
    let all = entries(&spool).await;
    spool.settle(vec![(1, receipt(&all[0]))]).await.unwrap();

    assert_eq!(desk.add(&spool, "c", &part).await, Added::New { sequence: 3 });
    drop(spool);
    desk.closed().await;
    assert!(!desk.open().await.quota().has_room_for(400_000));
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

#[tokio::test]
async fn a_database_that_cannot_be_read_is_set_aside_and_a_fresh_one_begins() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("a torn header", |path| overwrite(path, 0, &[0xa5; 64])),
        ("a page of garbage", |path| overwrite(path, 4096 * 3, &[0xa5; 4096])),
        ("half of it", |path| {
            let file = File::options().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2 / 4096 * 4096).unwrap();
        }),
        ("nothing left", |path| File::options().write(true).open(path).unwrap().set_len(0).unwrap()),
    ];
    for (what, damage) in damages {
        let desk = Desk::new();
        let spool = desk.open().await;
        for number in 0..50 {
            desk.add(&spool, &number.to_string(), &[number; 2000]).await;
        }
        drop(spool);
        desk.closed().await;
        damage(&desk.database());

        let store = Store::open(desk.state.path()).unwrap();
        let was_replaced = store.was_replaced();
        let journal = Journal(store.clone()).read().await;
        let spool =
            Spool::open(store, desk.state.path(), spool_keys(desk.state.path()), u64::MAX).await.unwrap();

        assert!(was_replaced, "{what}");
        assert!(matches!(journal.unwrap(), Found::Corrupt(_)), "the LAN's journal went with it: {what}");
        assert_eq!(entries(&spool).await, [], "{what}");
        assert_eq!(desk.add(&spool, "0", &[0; 2000]).await, Added::New { sequence: 1 });
        spool.raise_sequence(50).await.unwrap();
        assert_eq!(entries(&spool).await[0].sequence, 51);
        assert!(desk.state.path().join("agent.db.aside-1").exists(), "{what}");
        drop(spool);
        desk.closed().await;
        assert!(!Store::open(desk.state.path()).unwrap().was_replaced(), "{what}");
    }
}

#[tokio::test]
async fn of_databases_that_were_set_aside_only_the_newest_stay() {
    let desk = Desk::new();
    for _ in 0..6 {
        drop(desk.open().await);
        desk.closed().await;
        overwrite(&desk.database(), 0, &[0xa5; 64]);
    }

    drop(desk.open().await);

    let names = fs::read_dir(desk.state.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let aside = names.filter(|name| name.to_string_lossy().contains("aside")).count();
    assert_eq!(aside, 3);
}

#[tokio::test]
async fn a_database_found_corrupt_while_it_is_used_is_replaced_at_the_next_start() {
    let desk = Desk::new();
    let spool = desk.open().await;
    // More than SQLite keeps in memory.
    for number in 0..100 {
        desk.add(&spool, &number.to_string(), &vec![number; 40_000]).await;
    }
    drop(spool);
    desk.closed().await;
    let store = Store::open(desk.state.path()).unwrap();
    let pages = fs::metadata(desk.database()).unwrap().len() / 4096;
    for page in 2..pages {
        overwrite(&desk.database(), page * 4096, &[0xa5; 4096]);
    }

    let count = "select sum(length(hex(content))) from spool";
    let counted = store.run(move |db| db.query_row(count, [], |row| row.get::<_, i64>(0))).await;

    assert!(matches!(counted, Err(StoreError::Corrupt(_))), "{counted:?}");
    eventually("it is known", || async {
        tokio::time::timeout(std::time::Duration::from_millis(1), store.broken()).await.ok()
    })
    .await;
    drop(store);
    assert!(Store::open(desk.state.path()).unwrap().was_replaced());
}
