-- Two clients with one certificate throw each other out, again and again: a box whose certificate was copied.
alter table things
    -- The connection that was last thrown out by another one of the same name, and when.
    add column takeover_session text,
    add column takeover_at timestamptz,
    -- When two were last seen to throw each other out.
    add column duplicate_client_at timestamptz,
    add constraint things_takeover_whole check ((takeover_session is null) = (takeover_at is null));
