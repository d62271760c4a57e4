-- What the Slack app has acknowledged and not done yet, and the one message of each change.
-- Leases go by this database's clock, the one clock that all replicas share.

create table slack_jobs (
    job_id bigint generated always as identity,
    -- Names the request: a replay of it meets this row and adds nothing.
    key text not null,
    -- Null once it is done: an address to answer at need not be kept.
    job jsonb,
    created_at timestamptz not null default now(),
    -- When it may be taken: put off by a lease while somebody works on it, and after a failure.
    run_at timestamptz not null default now(),
    attempts int not null default 0,
    done_at timestamptz,
    constraint slack_jobs_pkey primary key (job_id),
    constraint slack_jobs_key_unique unique (key),
    constraint slack_jobs_done_is_empty check ((done_at is null) = (job is not null))
);

create index slack_jobs_due on slack_jobs (run_at) where done_at is null;
create index slack_jobs_done on slack_jobs (done_at) where done_at is not null;

create table slack_messages (
    change_id text not null,
    -- Where it stands; null until it was posted.
    channel_id text,
    ts text,
    -- One more with each step of the change.
    wanted bigint not null default 1,
    shown bigint not null default 0,
    wanted_at timestamptz not null default now(),
    -- Put off by a lease, by the pause between two edits, and after a failure.
    not_before timestamptz not null default now(),
    -- How often in a row it was taken and not shown.
    attempts int not null default 0,
    constraint slack_messages_pkey primary key (change_id),
    constraint slack_messages_change_fkey foreign key (change_id) references lan_changes (change_id),
    constraint slack_messages_place_whole check ((channel_id is null) = (ts is null))
);

create index slack_messages_due on slack_messages (not_before) where wanted > shown;

-- In the step's own transaction, whoever made the change: a step without its message cannot be.
create function change_steps_want_a_message() returns trigger language plpgsql as $$
begin
    insert into slack_messages (change_id) values (new.change_id)
    on conflict on constraint slack_messages_pkey
        do update set wanted = slack_messages.wanted + 1, wanted_at = now();
    return null;
end $$;

create trigger change_steps_want_a_message after insert on change_steps
    for each row execute function change_steps_want_a_message();
