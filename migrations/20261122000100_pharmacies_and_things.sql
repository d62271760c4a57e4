-- Boxes are replaced and moved every week, so a box and the pharmacy it stands in are two rows, and
-- a third says from when to when the one stood in the other.

-- An exclusion over a text and a range needs equality for text in a GiST index.
create extension if not exists btree_gist;

create table pharmacies (
    pharmacy_id bigint generated always as identity,
    -- What people call it in a command or a filter; may be corrected, so nothing refers to it by this.
    code text not null,
    name text not null,
    kana text,
    customer_number text,
    phone text,
    opening_hours text,
    receipt_computer_vendor text,
    created_at timestamptz not null,
    constraint pharmacies_pkey primary key (pharmacy_id),
    constraint pharmacies_code_unique unique (code),
    constraint pharmacies_code_form check (code ~ '^[A-Za-z0-9_-]{1,64}$'),
    constraint pharmacies_name_given check (name <> '')
);

create table things (
    name text not null,
    created_at timestamptz not null,
    -- The box's reported side of the shadow `lan`, as last read, and the shadow's version then.
    -- A cache: the shadow is the source, and an older version never overwrites a newer one.
    reported jsonb,
    reported_version bigint,
    reported_at timestamptz,
    -- When its shadow was last read for no particular reason.
    reconciled_at timestamptz,
    -- Until then one dispatcher has the thing to itself, by this database's clock.
    dispatched_until timestamptz,
    constraint things_pkey primary key (name),
    constraint things_name_form check (name ~ '^[A-Za-z0-9_-]{1,128}$'),
    constraint things_reported_whole check ((reported is null) = (reported_version is null) and (reported is null) = (reported_at is null))
);

create table assignments (
    assignment_id bigint generated always as identity,
    thing text not null,
    pharmacy_id bigint not null,
    from_at timestamptz not null,
    to_at timestamptz,
    constraint assignments_pkey primary key (assignment_id),
    constraint assignments_thing_fkey foreign key (thing) references things (name),
    constraint assignments_pharmacy_fkey foreign key (pharmacy_id) references pharmacies (pharmacy_id),
    constraint assignments_forward check (to_at is null or to_at > from_at),
    -- A box stands in one place at a time.
    constraint assignments_never_overlap exclude using gist (thing with =, tstzrange(from_at, to_at) with &&)
);

create index assignments_by_pharmacy on assignments (pharmacy_id, from_at desc);
create index things_by_reconciliation on things (reconciled_at nulls first);
