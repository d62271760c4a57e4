-- The log as one chain: entries are added in the transaction of what they tell of, and a leader gives each
-- its place afterwards, with a hash over it and all before it. A row that is altered, taken out or put in is
-- found by computing the hashes anew; that the tail was cut off is found by checkpoints signed elsewhere.

-- ---- Entries, in partitions by number, so that old ones are dropped whole ------------------------------------
alter table audit_entries alter column entry_id drop identity;
create sequence audit_entries_id;
select setval('audit_entries_id', coalesce((select max(entry_id) from audit_entries), 0) + 1, false);

alter table audit_entries rename to audit_entries_1;
alter table audit_entries_1 rename constraint audit_entries_pkey to audit_entries_1_pkey;
alter index audit_entries_by_thing rename to audit_entries_1_by_thing;
alter index audit_entries_by_change rename to audit_entries_1_by_change;

create table audit_entries (
    entry_id bigint not null default nextval('audit_entries_id'),
    at timestamptz not null,
    actor text not null,
    -- How the actor was known: api_token, oidc, slack_user, device_certificate, enrolment_code, system, cli.
    actor_proof text not null,
    -- Through which door: api, slack, device, system, cli.
    origin text not null,
    ip text,
    action text not null,
    -- No foreign keys: an entry outlives whatever it speaks of.
    thing text,
    pharmacy text,
    before jsonb,
    after jsonb,
    reason text,
    ticket text,
    change_id text,
    constraint audit_entries_pkey primary key (entry_id)
) partition by range (entry_id);

create index audit_entries_by_thing on audit_entries (thing, entry_id);
create index audit_entries_by_change on audit_entries (change_id, entry_id);

create trigger audit_entries_append_only before update or delete or truncate on audit_entries
    for each statement execute function append_only();

-- ---- The chain ----------------------------------------------------------------------------------------------
create table audit_chain (
    -- Without a gap, save one that a signed record of a restore names.
    seq bigint not null,
    entry_id bigint not null,
    chained_at timestamptz not null,
    -- sha256 over the hash before, seq, chained_at and the entry.
    hash bytea not null,
    constraint audit_chain_pkey primary key (seq),
    constraint audit_chain_seq_positive check (seq > 0),
    constraint audit_chain_hash_length check (octet_length(hash) = 32)
) partition by range (seq);

create index audit_chain_by_entry on audit_chain (entry_id);

create trigger audit_chain_append_only before update or delete or truncate on audit_chain
    for each statement execute function append_only();

-- Entries without a place yet. Numbers are given before a transaction ends, so that the highest number chained
-- does not tell which are left.
create table audit_pending (
    entry_id bigint not null,
    constraint audit_pending_pkey primary key (entry_id)
);

insert into audit_pending select entry_id from audit_entries_1;

create function audit_entries_await_their_place() returns trigger language plpgsql as $$
begin
    insert into audit_pending select entry_id from added;
    return null;
end $$;

create trigger audit_entries_await_their_place after insert on audit_entries
    referencing new table as added for each statement execute function audit_entries_await_their_place();

-- What was signed and lies in the bucket under a lock, where nobody takes it back.
create table audit_checkpoints (
    seq bigint not null,
    hash bytea not null,
    signed_at timestamptz not null,
    key_id text not null,
    signature bytea not null,
    constraint audit_checkpoints_pkey primary key (seq)
);

create trigger audit_checkpoints_append_only before update or delete or truncate on audit_checkpoints
    for each statement execute function append_only();

-- ---- Partitions: made ahead, dropped when they are old --------------------------------------------------------
-- The application owns no table, so it asks these functions, which know no more than that.
create table audit_partitions (
    parent text not null,
    from_key bigint not null,
    to_key bigint not null,
    name text not null,
    dropped_at timestamptz,
    -- Of the chain's: the highest entry that was in it. Entries up to there may have had a place that is gone.
    last_entry bigint,
    constraint audit_partitions_pkey primary key (parent, from_key),
    constraint audit_partitions_forward check (to_key > from_key)
);

-- Sees to it that both tables have room for so many partitions of so many rows; answers how many it made.
create function audit_partitions_ahead(step bigint, ahead int) returns int
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    log text;
    used bigint;
    upper_end bigint;
    made int := 0;
begin
    if step < 100 or ahead not between 1 and 10 then
        raise exception 'partitions of % rows, % of them, are none that can be meant', step, ahead;
    end if;
    foreach log in array array['audit_entries', 'audit_chain'] loop
        if log = 'audit_entries' then
            select last_value into used from audit_entries_id;
        else
            select coalesce(max(seq), 0) into used from audit_chain;
        end if;
        loop
            select coalesce(max(p.to_key), 1) into upper_end from audit_partitions p
                where p.parent = log;
            exit when upper_end > used + (ahead - 1) * step;
            perform audit_partition_make(log, upper_end, upper_end + step);
            made := made + 1;
        end loop;
    end loop;
    return made;
end $$;

create function audit_partition_make(parent text, from_key bigint, to_key bigint) returns void
    language plpgsql as $$
declare
    name text := parent || '_' || from_key;
begin
    execute format('create table %I partition of %I for values from (%s) to (%s)', name, parent, from_key, to_key);
    execute format('create trigger %I before update or delete or truncate on %I
        for each statement execute function append_only()', name || '_append_only', name);
    insert into audit_partitions (parent, from_key, to_key, name) values (parent, from_key, to_key, name);
end $$;

-- Drops the oldest partition of the chain if a checkpoint of its last row was signed, which is the base that
-- the rest is verified from, and if all of it is older than `before`; then the oldest of the entries that the
-- chain does not refer to any more. Nothing younger than three years goes, whoever asks. Answers what it dropped.
create function audit_partition_drop(before timestamptz) returns text
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    oldest audit_partitions;
    young boolean;
begin
    before := least(before, now() - interval '3 years');
    select * into oldest from audit_partitions p where p.parent = 'audit_chain' and dropped_at is null
        order by from_key limit 1;
    if exists (select from audit_checkpoints where seq = oldest.to_key - 1)
        and exists (select from audit_chain where seq = oldest.to_key) then
        execute format('select exists (select from %I where chained_at >= $1)', oldest.name)
            into young using before;
        if not young then
            return audit_partition_end(oldest);
        end if;
    end if;
    select * into oldest from audit_partitions p where p.parent = 'audit_entries' and dropped_at is null
        order by from_key limit 1;
    if exists (select from audit_partitions p where p.parent = 'audit_entries' and p.from_key = oldest.to_key)
        and not exists (select from audit_chain where entry_id >= oldest.from_key and entry_id < oldest.to_key)
        and not exists (select from audit_pending where entry_id >= oldest.from_key and entry_id < oldest.to_key)
        and (select last_value from audit_entries_id) >= oldest.to_key then
        execute format('select exists (select from %I where at >= $1)', oldest.name) into young using before;
        if not young then
            return audit_partition_end(oldest);
        end if;
    end if;
    return null;
end $$;

create function audit_partition_end(ended audit_partitions) returns text language plpgsql as $$
declare
    highest bigint;
begin
    if ended.parent = 'audit_chain' then
        execute format('select max(entry_id) from %I', ended.name) into highest;
    end if;
    execute format('drop table %I', ended.name);
    update audit_partitions set dropped_at = now(), last_entry = highest
        where parent = ended.parent and from_key = ended.from_key;
    return ended.name;
end $$;

revoke execute on function audit_partitions_ahead, audit_partition_make, audit_partition_drop, audit_partition_end
    from public;

-- What there was becomes the first partition, however much it is.
do $$
declare
    to_key bigint := ((select last_value from audit_entries_id) / 1000000 + 1) * 1000000 + 1;
begin
    execute format('alter table audit_entries attach partition audit_entries_1 for values from (1) to (%s)', to_key);
    insert into audit_partitions (parent, from_key, to_key, name)
        values ('audit_entries', 1, to_key, 'audit_entries_1');
end $$;

select audit_partitions_ahead(1000000, 3);
