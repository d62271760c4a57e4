//! The log as a file, a page at a time: CSV for people, JSON Lines for programs.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{Stream, stream};
use serde_json::json;
use sqlx::PgPool;

use super::Entry;
use crate::{
    fleet::actor::Actor,
    store::audit_entries::{self, After, Row},
};

/// How many rows are held at once.
const PAGE: i64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Csv,
    Jsonl,
}

/// Which entries.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub thing: Option<String>,
    pub change_id: Option<String>,
    /// Only rows after this one.
    pub after: i64,
}

impl Format {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "csv" => Some(Self::Csv),
            "jsonl" => Some(Self::Jsonl),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Jsonl => "application/jsonl",
        }
    }
}

const COLUMNS: [&str; 16] = [
    "seq",
    "hash",
    "entryId",
    "at",
    "actor",
    "actorProof",
    "origin",
    "ip",
    "action",
    "thing",
    "pharmacy",
    "before",
    "after",
    "reason",
    "ticket",
    "changeId",
];

/// The log as a file; that it was taken is an entry as well.
pub async fn take(
    db: &PgPool,
    by: &Actor,
    now: DateTime<Utc>,
    format: Format,
    filter: Filter,
) -> sqlx::Result<impl Stream<Item = anyhow::Result<Bytes>> + use<>> {
    let mut entry = Entry::new(now, by, "audit.exported");
    entry.after =
        Some(json!({"format": format.as_str(), "thing": filter.thing, "changeId": filter.change_id,
        "after": filter.after}));
    audit_entries::add(&mut *db.acquire().await?, &entry).await?;
    Ok(pieces(db.clone(), format, filter))
}

/// Every entry that has its place, in the log's order. Nothing is read before the piece before it was taken.
pub fn pieces(db: PgPool, format: Format, filter: Filter) -> impl Stream<Item = anyhow::Result<Bytes>> {
    let beginning = (db, Some(filter), format == Format::Csv);
    stream::try_unfold(beginning, move |(db, filter, header)| async move {
        let Some(mut filter) = filter else {
            return anyhow::Ok(None);
        };
        let (thing, change) = (filter.thing.as_deref(), filter.change_id.as_deref());
        let mut connection = db.acquire().await?;
        let after = After { seq: filter.after, waiting: i64::MAX };
        let rows = audit_entries::list(&mut connection, thing, change, after, PAGE).await?;
        drop(connection);
        let last = rows.last().and_then(|row| row.seq);
        let more = rows.len() >= usize::try_from(PAGE)?;
        let piece = match format {
            Format::Csv => csv(&rows, header)?,
            Format::Jsonl => lines(&rows)?,
        };
        let next = last.filter(|_| more).map(|last| {
            filter.after = last;
            filter
        });
        Ok(Some((Bytes::from(piece), (db, next, false))))
    })
}

fn lines(rows: &[Row]) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    for row in rows {
        let line = json!({"seq": row.seq, "hash": row.hash.as_ref().map(hex::encode), "entryId": row.entry_id,
            "at": row.at, "actor": row.actor, "actorProof": row.actor_proof, "origin": row.origin, "ip": row.ip,
            "action": row.action, "thing": row.thing, "pharmacy": row.pharmacy, "before": row.before,
            "after": row.after, "reason": row.reason, "ticket": row.ticket, "changeId": row.change_id});
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
    }
    Ok(text)
}

fn csv(rows: &[Row], header: bool) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    if header {
        writer.write_record(COLUMNS)?;
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let json =
        |value: &Option<serde_json::Value>| value.as_ref().map(ToString::to_string).unwrap_or_default();
    for row in rows {
        writer.write_record([
            row.seq.map(|seq| seq.to_string()).unwrap_or_default(),
            row.hash.as_ref().map(hex::encode).unwrap_or_default(),
            row.entry_id.to_string(),
            row.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            row.actor.clone(),
            row.actor_proof.clone(),
            row.origin.clone(),
            text(&row.ip),
            row.action.clone(),
            text(&row.thing),
            text(&row.pharmacy),
            json(&row.before),
            json(&row.after),
            text(&row.reason),
            text(&row.ticket),
            text(&row.change_id),
        ])?;
    }
    writer.into_inner().map_err(|error| anyhow::anyhow!("{}", error.error()))
}
