//! What became of the LAN's settings on this box, and what ran from then on: told on the spot, and gone
//! back to.

use chrono::{DateTime, Utc};
use device_model::outcome::Verdict;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::lan::{
    journal::{Stamp, to_json},
    state::Profile,
};

/// More is forgotten.
const KEPT: i64 = 200;

/// Something that happened to the settings.
#[derive(Debug)]
pub struct Event {
    pub number: i64,
    pub at: DateTime<Utc>,
    /// `synced` or `estimated`.
    pub clock: String,
    /// A verdict; or `found`, as the first that was known; or `changed_on_site`.
    pub what: String,
    pub change_id: Option<String>,
    pub code: Option<String>,
    pub detail: Option<String>,
    /// What ran from then on.
    pub profile: Profile,
}

/// Adds what happened, unless nothing did.
pub(super) fn remember(
    db: &Connection,
    current: &Profile,
    verdict: Option<&Verdict>,
    stamp: Stamp,
) -> rusqlite::Result<()> {
    let profile = to_json(current)?;
    let mut last = db.prepare_cached("select profile from lan_history order by number desc limit 1")?;
    let before: Option<String> = last.query_row([], |row| row.get(0)).optional()?;
    let what = match (verdict, before) {
        (Some(verdict), _) => verdict.verdict.as_str(),
        (None, None) => "found",
        (None, Some(before)) if before != profile => "changed_on_site",
        (None, Some(_)) => return Ok(()),
    };
    let change = verdict.map(|verdict| verdict.change_id.as_str());
    let code = verdict.and_then(|verdict| verdict.code.as_deref());
    let detail = verdict.and_then(|verdict| verdict.detail.as_deref());
    db.execute(
        "insert into lan_history (at, clock, what, change_id, code, detail, profile)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![stamp.at.to_rfc3339(), stamp.clock.as_str(), what, change, code, detail, profile],
    )?;
    db.execute("delete from lan_history where number <= (select max(number) from lan_history) - ?1", [KEPT])
        .map(drop)
}

/// All that is kept, newest first; without what this agent cannot read.
pub fn events(db: &Connection) -> rusqlite::Result<Vec<Event>> {
    let mut rows = db.prepare("select * from lan_history order by number desc")?;
    let events = rows.query_map([], read)?;
    events.filter_map(Result::transpose).collect()
}

/// The event of that number.
pub fn event(db: &Connection, number: i64) -> rusqlite::Result<Option<Event>> {
    let mut rows = db.prepare("select * from lan_history where number = ?1")?;
    Ok(rows.query_row([number], read).optional()?.flatten())
}

fn read(row: &Row) -> rusqlite::Result<Option<Event>> {
    let (at, profile): (String, String) = (row.get("at")?, row.get("profile")?);
    let (Ok(at), Ok(profile)) = (at.parse(), serde_json::from_str(&profile)) else {
        return Ok(None);
    };
    Ok(Some(Event {
        number: row.get("number")?,
        at,
        clock: row.get("clock")?,
        what: row.get("what")?,
        change_id: row.get("change_id")?,
        code: row.get("code")?,
        detail: row.get("detail")?,
        profile,
    }))
}
