-- The database as the second version made it: names and contents in the open.
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
-- Refused: the cloud will never take it. Else what is set aside is torn, and is replaced by the next
-- whole copy.
alter table spool add column refused integer not null default 0;
create index spool_aside on spool (path) where quarantined is not null;
-- Since when nothing stands at the path.
alter table observed add column missing_since text;
pragma journal_mode = wal;
pragma user_version = 2;
