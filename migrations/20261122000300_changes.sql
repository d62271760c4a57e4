-- A change is a row first; a dispatcher carries it into the box's shadow, and the box's verdict
-- closes it. What must never happen to its story is kept from happening here.

create table lan_changes (
    change_id text not null,
    -- The order in which changes were asked for: clocks of two replicas may disagree.
    seq bigint generated always as identity,
    thing text not null,
    -- Where the box stood when it was asked for.
    pharmacy_id bigint,
    state text not null,
    -- Set on a change that was sent and is to be taken back; the box's verdict still closes it.
    withdrawing text,
    -- Settings before and after: {lan, share, probe, window}. A share password only in its sealed form.
    before jsonb,
    after jsonb not null,
    requested_by text not null,
    approved_by text,
    reason text not null,
    ticket text,
    -- The change that this one takes back or takes the place of.
    replaces text,
    -- The shadow's version that carries it. A superseding change has one while it still waits as
    -- `queued` for the verdict on the change before it.
    shadow_version bigint,
    -- Set before the shadow is written: from here on a box may have it, whatever became of the write.
    handed_over_at timestamptz,
    idempotency_key text,
    request_hash bytea,
    requested_at timestamptz not null,
    closed_at timestamptz,
    -- The dispatcher's own: when to try again after a failure.
    attempts int not null default 0,
    next_attempt_at timestamptz not null,
    constraint lan_changes_pkey primary key (change_id),
    constraint lan_changes_seq_unique unique (seq),
    constraint lan_changes_thing_fkey foreign key (thing) references things (name),
    constraint lan_changes_pharmacy_fkey foreign key (pharmacy_id) references pharmacies (pharmacy_id),
    constraint lan_changes_replaces_fkey foreign key (replaces) references lan_changes (change_id),
    constraint lan_changes_id_form check (change_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    constraint lan_changes_state check (state in ('scheduled', 'queued', 'sent', 'trying', 'applied',
        'rolled_back', 'refused', 'superseded', 'cancelled', 'expired')),
    constraint lan_changes_withdrawing check (withdrawing in ('cancel', 'expire', 'supersede')),
    constraint lan_changes_closed check
        ((state in ('scheduled', 'queued', 'sent', 'trying')) = (closed_at is null)),
    constraint lan_changes_sent_has_version check (state <> 'sent' or shadow_version is not null),
    constraint lan_changes_version_was_handed_over check (shadow_version is null or handed_over_at is not null),
    constraint lan_changes_reason_given check (reason <> ''),
    constraint lan_changes_idempotency_unique unique (requested_by, idempotency_key),
    constraint lan_changes_idempotency_whole check ((idempotency_key is null) = (request_hash is null))
);

-- A box tries one change at a time.
create unique index lan_changes_one_on_the_way on lan_changes (thing) where state in ('sent', 'trying');
-- What the dispatcher and the collector look for; stays small, since closed changes are not in it.
create index lan_changes_open on lan_changes (thing, seq) where closed_at is null;
create index lan_changes_by_thing on lan_changes (thing, seq desc);

create function lan_changes_terminal_stays() returns trigger language plpgsql as $$
begin
    raise exception 'change % is closed: its story does not change', old.change_id
        using errcode = 'check_violation', constraint = 'lan_changes_terminal_stays';
end $$;

create trigger lan_changes_terminal_stays before update on lan_changes
    for each row when (old.closed_at is not null) execute function lan_changes_terminal_stays();

-- The timeline, append-only: what became of a change, by the cloud's clock and, for the box's own
-- steps, by the box's too.
create table change_steps (
    step_id bigint generated always as identity,
    change_id text not null,
    state text not null,
    at timestamptz not null,
    device_at timestamptz,
    clock text,
    code text,
    detail text,
    constraint change_steps_pkey primary key (step_id),
    constraint change_steps_change_fkey foreign key (change_id) references lan_changes (change_id),
    -- A state is entered once: collecting the same report twice adds nothing.
    constraint change_steps_once unique (change_id, state),
    constraint change_steps_clock check (clock in ('synced', 'estimated'))
);
