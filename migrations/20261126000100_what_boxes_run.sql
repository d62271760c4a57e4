-- The second milestone of an applied change: whether the receipt computer has found the box since. A table
-- of its own, for a closed change does not change.
create table change_sights (
    change_id text not null,
    -- By the cloud's clock; null: not yet.
    confirmed_at timestamptz,
    -- By the box's clock, and how far that can be trusted.
    device_at timestamptz,
    clock text,
    constraint change_sights_pkey primary key (change_id),
    constraint change_sights_change_fkey foreign key (change_id) references lan_changes (change_id),
    constraint change_sights_clock check (clock in ('synced', 'estimated')),
    constraint change_sights_confirmed_whole
        check ((confirmed_at is null) = (device_at is null) and (confirmed_at is null) = (clock is null))
);

-- The change's message says so.
create trigger change_sights_want_a_message after insert or update on change_sights
    for each row execute function change_steps_want_a_message();

alter table things
    -- Since when the box has run what nobody here asked for; null: it runs what it last applied.
    add column drift_since timestamptz,
    -- The wish in its shadow that was not ours, by its hash; null: what stands there is ours.
    add column foreign_desired bytea,
    -- When such a wish was last found.
    add column foreign_desired_at timestamptz,
    add constraint things_foreign_desired_dated check (foreign_desired is null or foreign_desired_at is not null);
