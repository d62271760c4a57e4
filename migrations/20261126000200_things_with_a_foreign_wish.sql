-- The dispatcher looks for these at every pass; on most days there are none.
create index things_with_a_foreign_desired on things (name) where foreign_desired is not null;
