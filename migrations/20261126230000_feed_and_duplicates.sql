-- What consumers of the bucket and of changes follow: one row a receipt and a step of a change, in the
-- transaction of what it tells of. A row becomes visible when its transaction ends, so rows do not come in
-- the order of their numbers; whoever reads up to the oldest transaction that is still open, in the order of
-- transactions, misses none. Swept after some days: a follower, not a store.
create table feed (
    transaction xid8 not null default pg_current_xact_id(),
    feed_id bigint generated always as identity,
    at timestamptz not null default now(),
    kind text not null,
    thing text not null,
    -- A receipt's: the observation.
    upload_id text,
    sequence bigint,
    -- A step's.
    change_id text,
    state text,
    constraint feed_pkey primary key (transaction, feed_id),
    constraint feed_kind check (kind in ('receipt', 'change')),
    constraint feed_whole check ((kind = 'receipt') = (upload_id is not null and sequence is not null)
        and (kind = 'change') = (change_id is not null and state is not null))
);

create index feed_by_time on feed (at);

create function observations_feed() returns trigger language plpgsql as $$
begin
    insert into feed (kind, thing, upload_id, sequence) values ('receipt', new.thing, new.upload_id, new.sequence);
    return null;
end $$;

create trigger observations_feed after insert on observations
    for each row execute function observations_feed();

create function change_steps_feed() returns trigger language plpgsql as $$
begin
    insert into feed (kind, thing, change_id, state)
        select 'change', thing, change_id, new.state from lan_changes where change_id = new.change_id;
    return null;
end $$;

create trigger change_steps_feed after insert on change_steps
    for each row execute function change_steps_feed();

-- The same content from two boxes of one pharmacy: which one came first.
create index uploads_by_content on uploads (pharmacy_id, sha256, received_at);
