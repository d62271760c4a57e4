//! What is hashed of an entry: every field, each with its length before it, so that no two entries that
//! differ anywhere give the same bytes.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::store::audit_chain::Told;

pub type Hash = [u8; 32];

/// What stands before the first entry.
pub const BEGINNING: Hash = [0; 32];

/// The chain's hash at `seq`: over the one before it, its place, when it got that, and the entry.
pub fn link(previous: &Hash, seq: i64, chained_at: DateTime<Utc>, entry: &Told) -> Hash {
    let mut fields = Fields::of("recehub audit entry v1");
    fields.bytes(previous).number(seq).time(chained_at).number(entry.entry_id).time(entry.at);
    for text in [&entry.actor, &entry.actor_proof, &entry.origin, &entry.action] {
        fields.text(Some(text));
    }
    for text in [
        &entry.ip,
        &entry.thing,
        &entry.pharmacy,
        &entry.before,
        &entry.after,
        &entry.reason,
        &entry.ticket,
        &entry.change_id,
    ] {
        fields.text(text.as_deref());
    }
    fields.hash()
}

/// Fields in their order, told apart by their lengths.
pub struct Fields(Sha256);

impl Fields {
    pub fn of(what: &str) -> Self {
        let mut fields = Self(Sha256::new());
        fields.text(Some(what));
        fields
    }

    pub fn text(&mut self, text: Option<&str>) -> &mut Self {
        // An empty text is not a missing one.
        if let Some(text) = text {
            return self.bytes(text.as_bytes());
        }
        self.0.update([0]);
        self
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update([1]);
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    pub fn number(&mut self, number: i64) -> &mut Self {
        self.bytes(&number.to_be_bytes())
    }

    /// To the microsecond, which is what Postgres keeps.
    pub fn time(&mut self, at: DateTime<Utc>) -> &mut Self {
        self.number(at.timestamp_micros())
    }

    pub fn hash(self) -> Hash {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Told {
        Told {
            entry_id: 7,
            at: "2026-11-26T00:00:00.000001Z".parse().unwrap(),
            actor: "token:a".to_owned(),
            actor_proof: "api_token".to_owned(),
            origin: "api".to_owned(),
            ip: None,
            action: "change.queued".to_owned(),
            thing: Some("tenpo-0001".to_owned()),
            pharmacy: None,
            before: None,
            after: Some("{\"a\": 1}".to_owned()),
            reason: Some(String::new()),
            ticket: None,
            change_id: None,
        }
    }

    #[test]
    fn whatever_is_altered_gives_another_hash() {
        let at = "2026-11-26T00:00:01Z".parse().unwrap();
        let one = link(&BEGINNING, 1, at, &entry());

        let altered: [fn(&mut Told); 14] = [
            |it| it.entry_id = 8,
            |it| it.at += chrono::TimeDelta::microseconds(1),
            |it| it.actor.push('b'),
            |it| it.actor_proof.push('b'),
            |it| it.origin.push('b'),
            |it| it.ip = Some("::1".to_owned()),
            |it| it.action.push('b'),
            |it| it.thing = None,
            |it| it.pharmacy = Some(String::new()),
            |it| it.before = Some("null".to_owned()),
            |it| it.after = Some("{\"a\": 2}".to_owned()),
            |it| it.reason = None,
            |it| (it.reason, it.ticket) = (None, Some(String::new())),
            |it| it.change_id = Some("x".to_owned()),
        ];
        for (number, alter) in altered.iter().enumerate() {
            let mut other = entry();
            alter(&mut other);
            assert_ne!(link(&BEGINNING, 1, at, &other), one, "alteration {number}");
        }
        assert_ne!(link(&[1; 32], 1, at, &entry()), one);
        assert_ne!(link(&BEGINNING, 2, at, &entry()), one);
        assert_ne!(link(&BEGINNING, 1, at + chrono::TimeDelta::microseconds(1), &entry()), one);
    }

    #[test]
    fn the_hash_is_what_it_was_in_the_first_version() {
        let at = "2026-11-26T00:00:01Z".parse().unwrap();

        // A log of years is verified by whatever version runs then.
        assert_eq!(
            hex::encode(link(&BEGINNING, 1, at, &entry())),
            "75caf82d1d8dcf8aa5ac77ae2004c5c30c8c81d1de803e424366d26e68287320"
        );
    }
}
