-- What operators need in Slack: a second pair of eyes, names as people type them, one page that shows a
-- password once, and messages with a thread.

-- Changes that wait, or waited, for somebody else than whoever asked for them. A change that waits is
-- `scheduled`; once approved it is `queued` like any other, and `lan_changes.approved_by` says by whom.
create table change_approvals (
    change_id text not null,
    wanted_at timestamptz not null,
    approved_at timestamptz,
    constraint change_approvals_pkey primary key (change_id),
    constraint change_approvals_change_fkey foreign key (change_id) references lan_changes (change_id)
);

-- The last change of a box, if it ended without effect: few at any time.
create index lan_changes_failed on lan_changes (seq desc) where state in ('rolled_back', 'refused', 'expired');

-- How many milestones the thread of a change's message tells.
alter table slack_messages add column told int not null default 0;

-- A name as it is looked for: width, case, kana and spaces do not matter, nor what a company is, nor the
-- word for a shop at the end.
create function folded(name text) returns text language sql immutable strict parallel safe as $$
    select regexp_replace(
        translate(lower(normalize(name, NFKC)),
            'ぁあぃいぅうぇえぉおかがきぎくぐけげこごさざしじすずせぜそぞただちぢっつづてでとどなにぬねのはばぱひびぴふぶぷへべぺほぼぽまみむめもゃやゅゆょよらりるれろゎわゐゑをんゔゕゖ',
            'ァアィイゥウェエォオカガキギクグケゲコゴサザシジスズセゼソゾタダチヂッツヅテデトドナニヌネノハバパヒビピフブプヘベペホボポマミムメモャヤュユョヨラリルレロヮワヰヱヲンヴヵヶ'),
        '株式会社|有限会社|合同会社|\((株|有|同)\)|[[:space:]・･、。,.]|店$', '', 'g')
$$;

alter table pharmacies
    add column name_folded text generated always as (folded(name)) stored,
    add column kana_folded text generated always as (folded(kana)) stored;

-- Pages that give a box's share a new password and show it once. The page's address is no secret: it
-- shows a number, and only whoever asked for the page can say that number in Slack.
create table password_pages (
    page_id text not null,
    thing text not null,
    -- The Slack user who asked.
    user_id text not null,
    -- In which the page speaks.
    lang text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    -- The browser that opened it first; no other gets any further.
    browser_hash bytea,
    number int,
    -- How often a wrong number was said.
    wrong int not null default 0,
    confirmed_at timestamptz,
    shown_at timestamptz,
    constraint password_pages_pkey primary key (page_id),
    constraint password_pages_thing_fkey foreign key (thing) references things (name),
    constraint password_pages_opened_whole check ((browser_hash is null) = (number is null)),
    constraint password_pages_in_order check
        ((confirmed_at is null or number is not null) and (shown_at is null or confirmed_at is not null))
);
create index password_pages_by_end on password_pages (expires_at);
