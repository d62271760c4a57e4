//! Contents sealed at rest: chunks that can be neither altered, reordered nor cut off (the STREAM
//! construction over ChaCha20-Poly1305), under a key that serves one content and no other.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{Stream, stream};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;

/// Seals one content. It is kept sealed itself, in the head of the content's entry.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentKey(Zeroizing<[u8; 32]>);

/// A sealed content in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFile {
    pub path: PathBuf,
    pub key: ContentKey,
    /// Of the content, in bytes; the file is a little longer.
    pub size: u64,
}

/// Takes a content piece by piece and writes it sealed.
pub struct Sealer<W> {
    cipher: Cipher,
    out: W,
    /// Less than a chunk, or one that may still turn out to be the last.
    held: Zeroizing<Vec<u8>>,
}

/// What is sealed here is not what was sealed: altered, cut short, or another key's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its seal is broken")]
pub struct BrokenSeal;

impl ContentKey {
    pub fn random() -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(key.as_mut());
        Self(key)
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn seal(&self, content: &[u8]) -> io::Result<Vec<u8>> {
        let mut sealer = Sealer::new(self, Vec::with_capacity(content.len() + TAG))?;
        sealer.write(content)?;
        sealer.finish()
    }

    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, BrokenSeal> {
        let mut cipher = Cipher::new(self)?;
        let mut content = Vec::with_capacity(sealed.len());
        let mut rest = sealed;
        while rest.len() > CHUNK + TAG {
            let (chunk, behind) = rest.split_at(CHUNK + TAG);
            content.append(&mut cipher.open(chunk.to_vec(), false)?);
            rest = behind;
        }
        content.append(&mut cipher.open(rest.to_vec(), true)?);
        Ok(content)
    }
}

/// Each chunk under the nonce that tells its place and whether it is the last. No key ever seals a second
/// content, so no nonce comes twice.
struct Cipher {
    key: LessSafeKey,
    place: u32,
}

impl Cipher {
    fn new(key: &ContentKey) -> Result<Self, BrokenSeal> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_bytes()).map_err(|_| BrokenSeal)?;
        Ok(Self { key: LessSafeKey::new(key), place: 0 })
    }

    /// Seals the chunk where it is.
    fn seal(&mut self, chunk: &mut Vec<u8>, is_last: bool) -> Result<(), BrokenSeal> {
        let nonce = self.nonce(is_last)?;
        self.key.seal_in_place_append_tag(nonce, Aad::empty(), chunk).map_err(|_| BrokenSeal)
    }

    fn open(&mut self, mut chunk: Vec<u8>, is_last: bool) -> Result<Vec<u8>, BrokenSeal> {
        let nonce = self.nonce(is_last)?;
        let opened = self.key.open_in_place(nonce, Aad::empty(), &mut chunk).map_err(|_| BrokenSeal)?.len();
        chunk.truncate(opened);
        Ok(chunk)
    }

    fn nonce(&mut self, is_last: bool) -> Result<Nonce, BrokenSeal> {
        let mut nonce = [0; 12];
        let (_, place_and_last) = nonce.split_at_mut(7);
        let place = self.place.to_be_bytes().into_iter().chain([u8::from(is_last)]);
        place_and_last.iter_mut().zip(place).for_each(|(to, from)| *to = from);
        self.place = self.place.checked_add(1).ok_or(BrokenSeal)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

impl std::fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContentKey")
    }
}

impl<W: Write> Sealer<W> {
    pub fn new(key: &ContentKey, out: W) -> io::Result<Self> {
        let cipher = Cipher::new(key).map_err(not_sealed)?;
        Ok(Self { cipher, out, held: Zeroizing::new(Vec::with_capacity(CHUNK + TAG)) })
    }

    pub fn write(&mut self, mut part: &[u8]) -> io::Result<()> {
        while !part.is_empty() {
            if self.held.len() == CHUNK {
                self.put(false)?;
            }
            let (now, later) = part.split_at(part.len().min(CHUNK - self.held.len()));
            self.held.extend_from_slice(now);
            part = later;
        }
        Ok(())
    }

    /// Writes what is left. Without this nothing of the content can be opened as a whole.
    pub fn finish(mut self) -> io::Result<W> {
        self.put(true)?;
        Ok(self.out)
    }

    fn put(&mut self, is_last: bool) -> io::Result<()> {
        self.cipher.seal(&mut self.held, is_last).map_err(not_sealed)?;
        self.out.write_all(&self.held)?;
        self.held.clear();
        Ok(())
    }
}

fn not_sealed(_: BrokenSeal) -> io::Error {
    io::Error::other("it cannot be sealed")
}

impl SealedFile {
    /// How long the file must be.
    pub fn sealed_len(&self) -> u64 {
        let chunks = self.size.div_ceil(CHUNK as u64).max(1);
        self.size + chunks * TAG as u64
    }

    /// The content, a chunk at a time. A broken seal ends it with an error and sets `torn`.
    pub fn stream(
        &self,
        file: tokio::fs::File,
        torn: Arc<AtomicBool>,
    ) -> impl Stream<Item = io::Result<Vec<u8>>> + Send + use<> {
        let cipher = Cipher::new(&self.key).ok();
        let left = self.sealed_len();
        stream::try_unfold((file, cipher, left), move |(mut file, cipher, left)| {
            let torn = Arc::clone(&torn);
            async move {
                let Some(mut cipher) = cipher else {
                    return Ok(None);
                };
                let is_last = left <= (CHUNK + TAG) as u64;
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK + TAG);
                let mut sealed = vec![0; length];
                file.read_exact(&mut sealed).await?;
                let chunk = cipher.open(sealed, is_last).map_err(|_| {
                    torn.store(true, Ordering::Relaxed);
                    io::Error::new(io::ErrorKind::InvalidData, BrokenSeal)
                })?;
                let cipher = (!is_last).then_some(cipher);
                Ok(Some((chunk, (file, cipher, left - length as u64))))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_opens_again_and_is_as_long_as_said() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7] {
            let content = vec![7; size];
            let key = ContentKey::random();
            let sealed = key.seal(&content).unwrap();
            let file = SealedFile { path: PathBuf::new(), key: key.clone(), size: size as u64 };

            assert_eq!(key.open(&sealed).unwrap(), content, "{size}");
            assert_eq!(sealed.len() as u64, file.sealed_len(), "{size}");
        }
    }

    #[test]
    fn what_is_altered_cut_off_or_reordered_does_not_open() {
        let key = ContentKey::random();
        let sealed = key.seal(&vec![7; 3 * CHUNK]).unwrap();
        let (first, rest) = sealed.split_at(CHUNK + TAG);
        let (second, third) = rest.split_at(CHUNK + TAG);
        let mut flipped = sealed.clone();
        flipped[CHUNK] ^= 1;

        for broken in [
            flipped,
            [first, second].concat(),
            [second, first, third].concat(),
            [first, second, third, third].concat(),
            [first, second, &third[..third.len() - 1]].concat(),
            vec![],
        ] {
            assert_eq!(key.open(&broken), Err(BrokenSeal));
        }
        assert_eq!(ContentKey::random().open(&sealed), Err(BrokenSeal));
    }
}
