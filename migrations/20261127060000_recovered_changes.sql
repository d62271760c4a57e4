-- A changeId in a box's shadow that nobody here knows becomes a change as well: lost with a database that was
-- restored, or somebody else's. Of one that is closed the shadow may tell the verdict only, and not what it asked for.
alter table lan_changes add column recovered boolean not null default false;
alter table lan_changes alter column after drop not null;
-- What a box may have from us, and whatever somebody asked us for, is known.
alter table lan_changes add constraint lan_changes_after_known
    check (after is not null or recovered and handed_over_at is null);

-- Nothing can be shown of a change of which nobody knows what it asked for.
create or replace function change_steps_want_a_message() returns trigger language plpgsql as $$
begin
    if exists (select from lan_changes where change_id = new.change_id and after is null) then
        return null;
    end if;
    insert into slack_messages (change_id) values (new.change_id)
    on conflict on constraint slack_messages_pkey
        do update set wanted = slack_messages.wanted + 1, wanted_at = now();
    return null;
end $$;

-- Whether a change was lost is asked of these few among millions.
create index audit_entries_restored on audit_entries (entry_id) where action = 'audit.restored';
