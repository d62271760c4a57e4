-- The ledger of prescriptions. The file itself is in S3 and is never read back through here; its
-- path names patients, so it stands sealed, and a keyed hash stands for it where paths are compared.

create table uploads (
    upload_id text not null,
    thing text not null,
    -- Where the box stood when the file came in.
    pharmacy_id bigint,
    sha256 text not null,
    size bigint not null,
    version_id text not null,
    object_key text not null,
    path_sealed bytea not null,
    path_key bytea not null,
    received_at timestamptz not null,
    constraint uploads_pkey primary key (upload_id),
    constraint uploads_thing_fkey foreign key (thing) references things (name),
    constraint uploads_pharmacy_fkey foreign key (pharmacy_id) references pharmacies (pharmacy_id),
    constraint uploads_id_form check (upload_id ~ '^[0-9a-f]{64}$'),
    constraint uploads_sha256_form check (sha256 ~ '^[0-9a-f]{64}$'),
    constraint uploads_size_positive check (size >= 0)
);

create index uploads_by_thing on uploads (thing, received_at desc, upload_id desc);
create index uploads_by_pharmacy on uploads (pharmacy_id, received_at desc, upload_id desc);
create index uploads_by_time on uploads (received_at desc, upload_id desc);

-- An observation is not an object: a path that goes back to earlier content is one more row here and
-- none there. Append-only.
create table observations (
    observation_id bigint generated always as identity,
    upload_id text not null,
    thing text not null,
    path_key bytea not null,
    sequence bigint not null,
    observed_at timestamptz not null,
    received_at timestamptz not null,
    constraint observations_pkey primary key (observation_id),
    constraint observations_upload_fkey foreign key (upload_id) references uploads (upload_id),
    -- The same report sent twice, because the receipt was lost, is one observation.
    constraint observations_once unique (upload_id, sequence),
    constraint observations_sequence_positive check (sequence >= 0)
);

-- What is current at a path is what its highest sequence saw.
create index observations_by_path on observations (thing, path_key, sequence desc);
create index observations_by_sequence on observations (thing, sequence desc);
