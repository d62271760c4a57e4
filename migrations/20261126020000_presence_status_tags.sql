alter table things
    -- Whether AWS IoT Core has a connection of it; null: it has never told. A disconnect is believed only
    -- once it has lasted for a while: see `store/presence.rs`.
    add column connected boolean,
    -- What orders the events of connections: they come doubled and out of order. Null version: read from the
    -- fleet index, which knows none.
    add column connection_version bigint,
    add column connection_session text,
    add column connection_at timestamptz,
    -- Why the last connection ended, kept while the next one stands.
    add column disconnected_at timestamptz,
    add column disconnect_reason text,
    -- When anything was last heard of it.
    add column seen_at timestamptz,
    -- The reported side of the shadow `status`, as last read.
    add column status jsonb,
    add column status_version bigint,
    add column status_at timestamptz,
    -- When it was last looked whether there is a newer one.
    add column status_read_at timestamptz,
    -- What people sort boxes by.
    add column tags text[] not null default '{}',
    add constraint things_connection_dated check (connected is null or connection_at is not null),
    add constraint things_status_whole
        check ((status is null) = (status_version is null) and (status is null) = (status_at is null)),
    add constraint things_tags_bounded check (cardinality(tags) <= 20);

create index things_by_tag on things using gin (tags);
create index things_offline on things (name) where connected is distinct from true;
