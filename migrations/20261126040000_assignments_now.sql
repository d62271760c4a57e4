-- Where a box stands now is asked with every upload, every entry of the audit log and every row of a list.
create unique index assignments_now on assignments (thing) where to_at is null;
