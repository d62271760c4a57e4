-- Who did what, and how that was proved. Rows are only ever added; not even the owner may alter them
-- without first switching the triggers off, which is what the checkpoints are there to find.

create table audit_entries (
    entry_id bigint generated always as identity,
    at timestamptz not null,
    actor text not null,
    -- How the actor was known: api_token, slack_user, device_certificate, enrolment_code, system, cli.
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
);

create index audit_entries_by_thing on audit_entries (thing, entry_id);
create index audit_entries_by_change on audit_entries (change_id, entry_id);

create function append_only() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name
        using errcode = 'insufficient_privilege', constraint = tg_table_name || '_append_only';
end $$;

create trigger audit_entries_append_only before update or delete or truncate on audit_entries
    for each statement execute function append_only();
create trigger change_steps_append_only before update or delete or truncate on change_steps
    for each statement execute function append_only();
create trigger observations_append_only before update or delete or truncate on observations
    for each statement execute function append_only();
