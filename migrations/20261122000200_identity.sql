-- Who a box is, and who may call the API. No secret stands here in plain: codes, nonces and tokens
-- are random and long, so their sha256 is enough.

create table certificates (
    -- AWS IoT's own id of it.
    certificate_id text not null,
    thing text not null,
    status text not null,
    -- X25519, vouched for by the certificate's key at enrolment: share passwords are sealed to it.
    sealing_key bytea,
    issued_at timestamptz not null,
    -- When AWS IoT was last asked live whether it is ACTIVE and attached to this thing only.
    confirmed_at timestamptz,
    revoked_at timestamptz,
    -- When AWS IoT took the revocation; until then it is told again, ever more slowly.
    told_aws_at timestamptz,
    tell_attempts int not null default 0,
    tell_at timestamptz,
    constraint certificates_pkey primary key (certificate_id),
    constraint certificates_thing_fkey foreign key (thing) references things (name),
    constraint certificates_id_form check (certificate_id ~ '^[0-9a-f]{64}$'),
    constraint certificates_status check (status in ('active', 'revoked')),
    constraint certificates_revoked_at check ((status = 'revoked') = (revoked_at is not null)),
    constraint certificates_told_is_revoked check (told_aws_at is null or status = 'revoked'),
    constraint certificates_sealing_key_length check (octet_length(sealing_key) = 32)
);

create index certificates_by_thing on certificates (thing, issued_at desc);

create index certificates_untold on certificates (tell_at) where status = 'revoked' and told_aws_at is null;

create table enrolment_codes (
    code_hash bytea not null,
    thing text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    -- The keys that it was used for, hashed, and what it brought: for whoever asks what became of a code.
    keys_hash bytea,
    certificate_id text,
    certificate_pem text,
    constraint enrolment_codes_pkey primary key (code_hash),
    constraint enrolment_codes_thing_fkey foreign key (thing) references things (name),
    constraint enrolment_codes_certificate_fkey foreign key (certificate_id) references certificates (certificate_id),
    constraint enrolment_codes_used_whole check ((used_at is null) = (keys_hash is null)
        and (used_at is null) = (certificate_id is null) and (used_at is null) = (certificate_pem is null))
);

create index enrolment_codes_by_thing on enrolment_codes (thing);

-- No reference to things: whoever asks for a nonce has not proved anything yet, and a box that does
-- not exist must look like one that does.
create table nonces (
    nonce_hash bytea not null,
    thing text not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    constraint nonces_pkey primary key (nonce_hash)
);

create index nonces_by_expiry on nonces (expires_at);

create table sessions (
    token_hash bytea not null,
    thing text not null,
    certificate_id text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    constraint sessions_pkey primary key (token_hash),
    constraint sessions_thing_fkey foreign key (thing) references things (name),
    constraint sessions_certificate_fkey foreign key (certificate_id) references certificates (certificate_id)
);

create index sessions_by_certificate on sessions (certificate_id) where ended_at is null;
create index sessions_by_expiry on sessions (expires_at);

create table api_tokens (
    token_id bigint generated always as identity,
    name text not null,
    token_hash bytea not null,
    scope text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    constraint api_tokens_pkey primary key (token_id),
    constraint api_tokens_name_unique unique (name),
    constraint api_tokens_hash_unique unique (token_hash),
    constraint api_tokens_scope check (scope in ('read', 'change', 'admin'))
);

-- Token buckets that all replicas draw from, since AWS counts per account.
create table budgets (
    name text not null,
    tokens double precision not null,
    refilled_at timestamptz not null,
    constraint budgets_pkey primary key (name)
);
