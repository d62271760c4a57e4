-- The ledger under the audit log's seal, and in partitions by id: a unique key must hold the partition key, so
-- by month the id could not be unique. Copying takes a lock on the table for as long as it lasts.

alter table observations drop constraint observations_upload_fkey;
alter table uploads rename to uploads_whole;
alter table uploads_whole drop constraint uploads_pkey;
alter table uploads_whole drop constraint uploads_thing_fkey;
alter table uploads_whole drop constraint uploads_pharmacy_fkey;
alter table uploads_whole drop constraint uploads_id_form;
alter table uploads_whole drop constraint uploads_sha256_form;
alter table uploads_whole drop constraint uploads_size_positive;
drop index uploads_by_thing, uploads_by_pharmacy, uploads_by_time, uploads_by_content;

create table uploads (
    upload_id text not null,
    thing text not null,
    -- Where the box stood when the file came in.
    pharmacy_id bigint,
    sha256 text not null,
    size bigint not null,
    version_id text not null,
    object_key text not null,
    path_sealed bytea not null,
    path_key bytea not null,
    received_at timestamptz not null,
    constraint uploads_pkey primary key (upload_id),
    constraint uploads_thing_fkey foreign key (thing) references things (name),
    constraint uploads_pharmacy_fkey foreign key (pharmacy_id) references pharmacies (pharmacy_id),
    constraint uploads_id_form check (upload_id ~ '^[0-9a-f]{64}$'),
    constraint uploads_sha256_form check (sha256 ~ '^[0-9a-f]{64}$'),
    constraint uploads_size_positive check (size >= 0)
) partition by hash (upload_id);

create table uploads_0 partition of uploads for values with (modulus 8, remainder 0);
create table uploads_1 partition of uploads for values with (modulus 8, remainder 1);
create table uploads_2 partition of uploads for values with (modulus 8, remainder 2);
create table uploads_3 partition of uploads for values with (modulus 8, remainder 3);
create table uploads_4 partition of uploads for values with (modulus 8, remainder 4);
create table uploads_5 partition of uploads for values with (modulus 8, remainder 5);
create table uploads_6 partition of uploads for values with (modulus 8, remainder 6);
create table uploads_7 partition of uploads for values with (modulus 8, remainder 7);

insert into uploads (upload_id, thing, pharmacy_id, sha256, size, version_id, object_key, path_sealed, path_key, received_at)
    select upload_id, thing, pharmacy_id, sha256, size, version_id, object_key, path_sealed, path_key, received_at
    from uploads_whole;
drop table uploads_whole;

create index uploads_by_thing on uploads (thing, received_at desc, upload_id desc);
create index uploads_by_pharmacy on uploads (pharmacy_id, received_at desc, upload_id desc);
create index uploads_by_time on uploads (received_at desc, upload_id desc);
create index uploads_by_content on uploads (pharmacy_id, sha256, received_at);
alter table observations
    add constraint observations_upload_fkey foreign key (upload_id) references uploads (upload_id);

-- Uploads without a seal yet.
create table uploads_unsealed (
    upload_id text not null,
    constraint uploads_unsealed_pkey primary key (upload_id)
);

insert into uploads_unsealed select upload_id from uploads;

create function uploads_await_their_seal() returns trigger language plpgsql as $$
begin
    insert into uploads_unsealed select upload_id from added on conflict on constraint uploads_unsealed_pkey do nothing;
    return null;
end $$;

create trigger uploads_await_their_seal after insert on uploads
    referencing new table as added for each statement execute function uploads_await_their_seal();

-- The leaves of each batch's Merkle tree; its root stands in the entry of that number.
create table upload_seals (
    entry_id bigint not null,
    position int not null,
    upload_id text not null,
    leaf bytea not null,
    constraint upload_seals_pkey primary key (entry_id, position),
    constraint upload_seals_leaf_length check (octet_length(leaf) = 32)
);

create index upload_seals_by_upload on upload_seals (upload_id, entry_id desc);

create trigger upload_seals_append_only before update or truncate on upload_seals
    for each statement execute function append_only();

-- ---- Retention ----------------------------------------------------------------------------------------------
-- Rows go only through the function below, which says so; nobody else has the right to delete them, and whoever
-- owns the tables could switch the triggers off as well.
create trigger upload_seals_kept before delete on upload_seals for each statement
    when (current_setting('recehub.forgetting', true) is distinct from 'yes') execute function append_only();
drop trigger observations_append_only on observations;
create trigger observations_append_only before update or truncate on observations
    for each statement execute function append_only();
create trigger observations_kept before delete on observations for each statement
    when (current_setting('recehub.forgetting', true) is distinct from 'yes') execute function append_only();

-- Takes at most so many uploads out of the ledger that were received before then, and seals of batches whose
-- entry is gone. Nothing younger than three years goes, whoever asks. Answers how many uploads it took.
create function ledger_forget(before timestamptz, at_most int) returns int
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    old text[];
begin
    before := least(before, now() - interval '3 years');
    at_most := least(at_most, 1000);
    perform set_config('recehub.forgetting', 'yes', true);
    select array_agg(upload_id) into old from (
        select upload_id from uploads where received_at < before
        order by received_at, upload_id limit at_most) oldest;
    delete from observations where upload_id = any(old);
    delete from uploads_unsealed where upload_id = any(old);
    delete from uploads where upload_id = any(old);
    delete from upload_seals where (entry_id, position) in (
        select entry_id, position from upload_seals
        where entry_id < (select min(from_key) from audit_partitions
                          where parent = 'audit_entries' and dropped_at is null)
        order by entry_id, position limit at_most);
    perform set_config('recehub.forgetting', '', true);
    return coalesce(array_length(old, 1), 0);
end $$;

revoke execute on function ledger_forget from public;
