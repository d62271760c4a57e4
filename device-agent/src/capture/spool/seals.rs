//! What of an entry is sealed, and how it is still found: paths and hashes of contents stand in the
//! database only as keyed hashes, and in the sealed head of an entry that waits.

use device_model::upload::ContentHash;
use hmac::{Hmac, Mac};
use rusqlite::{Connection, OptionalExtension};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::capture::{
    sealed::{BrokenSeal, ContentKey},
    spool::keys::{KeyId, KeyRing},
};

const INDEX_CONTEXT: &[u8] = b"recehub spool index key v1";
const HEAD_CONTEXT: &[u8] = b"recehub spool entry v1";

/// Stands for a path or a content wherever it is looked up.
pub type LookUp = [u8; 32];

pub struct Seals {
    ring: KeyRing,
    /// For look-ups; stands in the database, sealed, so that the spool's keys may change under it.
    index: Zeroizing<[u8; 32]>,
}

/// What tells an entry from others, in the open; its head is bound to it.
pub struct Label<'a> {
    pub path_key: &'a LookUp,
    pub content_key: &'a LookUp,
    pub size: u64,
    pub observed_at: &'a str,
}

/// What is sealed of an entry beside its content.
pub struct Head {
    pub path: Vec<u8>,
    pub hash: ContentHash,
    pub content_key: ContentKey,
}

impl Seals {
    /// The index key in the database. If none is there that opens, a new one begins: nothing can be
    /// found by the old one, so what was observed is forgotten, and the share is read again.
    pub fn load_or_make(db: &Connection, ring: KeyRing) -> rusqlite::Result<Self> {
        let sealed: Option<Vec<u8>> = db
            .query_row("select value from meta where key = 'index_key'", [], |row| row.get(0))
            .optional()?;
        let opened = sealed.as_ref().map(|sealed| ring.open(INDEX_CONTEXT, sealed));
        let known = opened.and_then(Result::ok).and_then(|key| <[u8; 32]>::try_from(key.as_slice()).ok());
        let is_known = known.is_some();
        let index = Zeroizing::new(known.unwrap_or_else(rand::random));
        if !is_known {
            if sealed.is_some() {
                tracing::error!("the spool is sealed under another key; the share is read again");
            }
            db.execute("delete from observed", [])?;
        }
        let is_newest = sealed.is_some_and(|sealed| sealed.starts_with(&ring.newest()));
        if !is_known || !is_newest {
            let sealed = ring.seal(INDEX_CONTEXT, index.as_slice()).map_err(not_sealed)?;
            db.execute("insert or replace into meta values ('index_key', ?1)", [sealed])?;
        }
        Ok(Self { ring, index })
    }

    pub fn newest(&self) -> KeyId {
        self.ring.newest()
    }

    pub fn path_key(&self, path: &[u8]) -> LookUp {
        self.look_up(b"path", path)
    }

    pub fn content_key(&self, hash: ContentHash) -> LookUp {
        self.look_up(b"content", &hash.0)
    }

    pub fn seal(&self, label: &Label<'_>, head: &Head) -> rusqlite::Result<Vec<u8>> {
        let plain = [&head.hash.0[..], head.content_key.as_bytes(), &head.path].concat();
        self.ring.seal(&label.context(), &Zeroizing::new(plain)).map_err(not_sealed)
    }

    pub fn open(&self, label: &Label<'_>, sealed: &[u8]) -> Result<Head, BrokenSeal> {
        let plain = self.ring.open(&label.context(), sealed)?;
        let (hash, rest) = plain.split_first_chunk::<32>().ok_or(BrokenSeal)?;
        let (content_key, path) = rest.split_first_chunk::<32>().ok_or(BrokenSeal)?;
        Ok(Head {
            path: path.to_vec(),
            hash: ContentHash(*hash),
            content_key: ContentKey::from_bytes(*content_key),
        })
    }

    fn look_up(&self, kind: &[u8], what: &[u8]) -> LookUp {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.index.as_slice())
            .expect("HMAC takes a key of any length");
        mac.update(kind);
        mac.update(b"\0");
        mac.update(what);
        mac.finalize().into_bytes().into()
    }
}

impl Label<'_> {
    fn context(&self) -> Vec<u8> {
        let size = self.size.to_be_bytes();
        [HEAD_CONTEXT, self.path_key, self.content_key, &size, self.observed_at.as_bytes()].concat()
    }
}

fn not_sealed(error: BrokenSeal) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}
