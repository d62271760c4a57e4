-- What the application's role may: a table that is append-only by its trigger it may add to and read; to what a
-- partition holds it adds through the parent. The role's name stands in a setting, since a grant takes no parameter.
do $$
declare
    role text := current_setting('recehub.application_role');
    one record;
begin
    execute format('grant usage on schema public to %I', role);
    execute format('grant usage, select on all sequences in schema public to %I', role);
    for one in
        select p.oid::regprocedure as name from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.prosecdef
    loop
        execute format('grant execute on function %s to %I', one.name, role);
    end loop;
    for one in
        select c.oid::regclass as name, c.relispartition as is_partition,
            c.relname in ('_sqlx_migrations', 'audit_partitions') as is_for_reading,
            exists (select from pg_trigger t
                    where t.tgrelid = c.oid and t.tgfoid = 'public.append_only'::regproc) as is_append_only
        from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
    loop
        execute format('revoke all on table %s from %I', one.name, role);
        if one.is_partition or one.is_for_reading then
            execute format('grant select on table %s to %I', one.name, role);
        elsif one.is_append_only then
            execute format('grant select, insert on table %s to %I', one.name, role);
        else
            execute format('grant select, insert, update, delete on table %s to %I', one.name, role);
        end if;
    end loop;
end $$;
