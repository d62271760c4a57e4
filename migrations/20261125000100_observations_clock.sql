-- How far `observed_at` can be trusted. Null: the box did not say, as older agents do.
alter table observations add column clock text
    constraint observations_clock_known check (clock in ('synced', 'estimated'));
