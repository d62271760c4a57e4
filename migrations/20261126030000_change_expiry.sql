-- A change that its box never takes up is taken back at this time; none: it waits for ever, as what
-- undoes another change does.
alter table lan_changes add column expires_at timestamptz;
create index lan_changes_expiring on lan_changes (expires_at) where closed_at is null and withdrawing is null;
