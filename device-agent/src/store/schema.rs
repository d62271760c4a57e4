//! The tables, version by version.

use rusqlite::Connection;

/// What leads from each version of the schema to the next.
const STEPS: [&str; 4] = [FIRST, SECOND, THIRD, FOURTH];
const FIRST: &str = "
create table meta (key text primary key, value) without rowid;
-- What was last seen at each path, so that an unchanged file is not sent again.
create table observed (
    path blob primary key, sha256 blob not null, stamp text not null, settled integer not null
) without rowid;
-- What the cloud has not confirmed yet; small contents here, big ones in a file beside.
create table spool (
    sequence integer primary key, path blob not null, sha256 blob not null, size integer not null,
    observed_at text not null, content blob, file text,
    quarantined text, check ((content is null) != (file is null))
);
create index spool_waiting on spool (sequence) where quarantined is null;
create table receipts (
    sequence integer primary key, upload_id text not null, sha256 blob not null, size integer not null,
    version_id text not null, received_at text not null
);
create table lan_journal (id integer primary key check (id = 1), machine text not null);
create table lan_verdicts (
    number integer primary key autoincrement, change_id text not null unique, verdict text not null
);
";

const SECOND: &str = "
-- Refused: the cloud will never take it. Else what is set aside is torn, and is replaced by the next
-- whole copy.
alter table spool add column refused integer not null default 0;
create index spool_aside on spool (path) where quarantined is not null;
-- Since when nothing stands at the path.
alter table observed add column missing_since text;
";

/// What stood here in the open waits under another name until the spool has sealed it.
const THIRD: &str = "
alter table spool rename to spool_plain;
alter table observed rename to observed_plain;
alter table receipts rename to receipts_plain;
drop index spool_waiting;
drop index spool_aside;
-- Paths and contents are looked up by keyed hashes. The key of those stands in meta, sealed.
create table observed (
    path_key blob primary key, content_key blob not null, stamp text not null, settled integer not null,
    missing_since text
) without rowid;
-- Head: path, hash and the key of the content, sealed; its first bytes name the key it is sealed under.
create table spool (
    sequence integer primary key, path_key blob not null, content_key blob not null, size integer not null,
    observed_at text not null, head blob not null, quarantined text, refused integer not null default 0,
    file text, content blob, check ((content is null) != (file is null))
);
create index spool_waiting on spool (sequence) where quarantined is null;
create index spool_aside on spool (path_key) where quarantined is not null;
-- The bytes of what waits, whoever adds, drops or sets aside an entry.
insert or replace into meta values ('held', 0);
create trigger spool_in after insert on spool when new.quarantined is null begin
    update meta set value = value + new.size where key = 'held';
end;
create trigger spool_out after delete on spool when old.quarantined is null begin
    update meta set value = value - old.size where key = 'held';
end;
create trigger spool_moved after update of quarantined on spool begin
    update meta set value = value + new.size * ((new.quarantined is null) - (old.quarantined is null))
    where key = 'held';
end;
create table receipts (
    sequence integer primary key, upload_id text not null, path_key blob, content_key blob not null,
    size integer not null, version_id text not null, received_at text not null
);
create index receipts_path on receipts (path_key, content_key);
";

const FOURTH: &str = "
-- What became of the LAN's settings, and what ran from then on.
create table lan_history (
    number integer primary key autoincrement, at text not null, clock text not null, what text not null,
    change_id text, code text, detail text, profile text not null
);
-- What somebody in front of the box asks for, until there is a verdict on it.
create table lan_request (
    id integer primary key check (id = 1), change_id text not null, number integer not null
);
";

/// Brings the database to the newest version, a step a transaction.
pub fn upgrade(connection: &Connection) -> rusqlite::Result<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (step, next) in STEPS.iter().zip(1i64..) {
        if version < next {
            connection
                .execute_batch(&format!("begin immediate; {step} pragma user_version = {next}; commit;"))?;
        }
    }
    Ok(())
}
