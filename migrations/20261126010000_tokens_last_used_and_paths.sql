alter table api_tokens
    -- Whether the token lets in to the original paths of prescriptions, which name patients. A scope of its
    -- own: admin does not hold it.
    add column paths boolean not null default false,
    -- To the minute, so that reading does not become writing.
    add column last_used_at timestamptz;
