//! A large fleet, written straight into the database: boxes that stand somewhere, report and say how they are.

use anyhow::Result;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sqlx::{Connection, PgConnection};

pub fn thing(number: usize) -> String {
    format!("bench-{number:05}")
}

/// Where the page after a box begins.
pub fn cursor(number: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("\"{}\"", thing(number)))
}

pub async fn fill(database: &str, boxes: usize) -> Result<()> {
    let mut db = PgConnection::connect(database).await?;
    let last = i32::try_from(boxes)? - 1;
    for statement in [
        "insert into pharmacies (code, name, kana, created_at)
         select 'B-' || i, '薬局' || i, 'ヤッキョク', now() from generate_series(0, $1) i",
        r#"insert into things (name, created_at, reported, reported_version, reported_at, connected, connection_at,
               seen_at, status, status_version, status_at)
         select 'bench-' || lpad(i::text, 5, '0'), now(),
             '{"schema": 1, "agentVersion": "0.1.0", "schemas": [1], "probe": {"share": "required"}, "trial": null,
               "lan": {"mode": "static", "address": "192.168.10.9/24", "gateway": "192.168.10.1",
                       "dns": ["192.168.10.1"]}, "effective": {"address": "192.168.10.9/24", "source": "static"},
               "verdicts": []}'::jsonb, 1, now(), true, now(), now(),
             '{"agentVersion": "0.1.0", "backlog": {"count": 0, "quarantined": 0}, "freeBytes": 1000000000,
               "certificate": {"serial": "01", "ageDays": 10}, "clock": "synced", "alarms": [],
               "at": "2026-11-22T00:00:00Z"}'::jsonb, 1, now()
         from generate_series(0, $1) i"#,
        "insert into assignments (thing, pharmacy_id, from_at)
         select 'bench-' || lpad(i::text, 5, '0'), pharmacy_id, now()
         from generate_series(0, $1) i join pharmacies on code = 'B-' || i",
        "insert into certificates (certificate_id, thing, status, issued_at, confirmed_at)
         select encode(sha256(i::text::bytea), 'hex'), 'bench-' || lpad(i::text, 5, '0'), 'active', now(), now()
         from generate_series(0, $1) i",
    ] {
        sqlx::query(statement).bind(last).execute(&mut db).await?;
    }
    // Only what was filled: of a table that was looked at while it was empty, Postgres goes on to read every row.
    sqlx::query("analyze pharmacies, things, assignments, certificates").execute(&mut db).await?;
    db.close().await?;
    Ok(())
}

/// A session for each client, as if its box had logged in.
pub async fn sessions(database: &str, many: usize) -> Result<()> {
    let mut db = PgConnection::connect(database).await?;
    sqlx::query(
        "insert into sessions (token_hash, thing, certificate_id, created_at, expires_at)
         select sha256(('bench-session-' || i)::bytea), thing, certificate_id, now(), now() + interval '1 hour'
         from generate_series(0, $1) i join certificates on thing = 'bench-' || lpad(i::text, 5, '0')",
    )
    .bind(i32::try_from(many)? - 1)
    .execute(&mut db)
    .await?;
    db.close().await?;
    Ok(())
}
