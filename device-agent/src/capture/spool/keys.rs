//! The keys that the spool is sealed under: in a file, one a line in base64, the newest first. The newest
//! seals, all of them open.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{capture::sealed::BrokenSeal, durable};

/// In the state directory, unless systemd hands in credentials.
const FILE: &str = "spool.key";
const CREDENTIAL: &str = "spool-key";
const NONCE: usize = 24;
pub const ID: usize = 8;
/// Key files set aside because nothing could be read in them.
const MOST_ASIDE: usize = 4;

/// Which key something is sealed under; tells nothing about the key.
pub type KeyId = [u8; ID];

/// At least one key, the newest first.
pub struct KeyRing(Vec<SpoolKey>);

type SpoolKey = Zeroizing<[u8; 32]>;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the spool's key {path} cannot be used: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("others than its owner may read the spool's key {path} (mode {mode:03o}): it must be 600")]
    Mode { path: PathBuf, mode: u32 },
    #[error("the spool's key {path} is no list of 32-byte keys in base64")]
    Malformed { path: PathBuf },
    #[error("the spool's key is a credential, {path}: whoever provides it changes it")]
    Provided { path: PathBuf },
}

/// Where the keys are.
#[derive(Debug, Clone)]
pub enum KeyFile {
    /// Provided by systemd (`LoadCredential=spool-key:...`), which keeps it readable by us only.
    Credential(PathBuf),
    State(PathBuf),
}

impl KeyFile {
    /// `credentials`: `$CREDENTIALS_DIRECTORY`. It may be there for other things, without a key of ours.
    pub fn find(state_dir: &Path, credentials: Option<&Path>) -> Self {
        let provided = credentials.map(|folder| folder.join(CREDENTIAL)).filter(|path| path.exists());
        provided.map_or_else(|| Self::State(state_dir.join(FILE)), Self::Credential)
    }

    /// The keys in the file. One of our own is made if there is none; one that cannot be made out is
    /// set aside for a new one: what it sealed is lost, and the share has it.
    pub fn load_or_make(&self) -> Result<KeyRing, KeyError> {
        let Self::State(path) = self else {
            return self.load();
        };
        match self.load() {
            Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
            Err(KeyError::Malformed { .. }) => {
                tracing::error!("the spool's key cannot be made out; a new one is made");
                durable::set_aside(path, MOST_ASIDE).map_err(|error| self.failed(error))?;
            }
            loaded => return loaded,
        }
        let ring = KeyRing(vec![random()]);
        self.write(&ring)?;
        Ok(ring)
    }

    /// What is wrong with the file. That it is not there yet is no fault.
    pub fn fault(&self) -> Option<KeyError> {
        match self.load() {
            Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => None,
            loaded => loaded.err(),
        }
    }

    /// Puts a new key in front. It seals from the next start of the agent on.
    pub fn rotate(&self) -> Result<(), KeyError> {
        let mut ring = self.load_or_make()?;
        ring.0.insert(0, random());
        self.write(&ring)
    }

    /// Removes every key but the newest that is not among those. Answers how many.
    pub fn retain(&self, needed: &[KeyId]) -> Result<usize, KeyError> {
        let mut ring = self.load()?;
        let (before, newest) = (ring.0.len(), ring.newest());
        ring.0.retain(|key| id(key) == newest || needed.contains(&id(key)));
        let removed = before - ring.0.len();
        if removed > 0 {
            self.write(&ring)?;
        }
        Ok(removed)
    }

    fn load(&self) -> Result<KeyRing, KeyError> {
        let (Self::Credential(path) | Self::State(path)) = self;
        // The access list by which systemd lets us in shows as rights of the group.
        let others = if matches!(self, Self::State(_)) { 0o077 } else { 0o007 };
        let mode = fs::metadata(path).map_err(|error| self.failed(error))?.permissions().mode() & 0o777;
        if mode & others != 0 {
            return Err(KeyError::Mode { path: path.clone(), mode });
        }
        let text = fs::read(path).map(Zeroizing::new).map_err(|error| self.failed(error))?;
        KeyRing::parse(&text).ok_or_else(|| KeyError::Malformed { path: path.clone() })
    }

    fn write(&self, ring: &KeyRing) -> Result<(), KeyError> {
        match self {
            Self::Credential(path) => Err(KeyError::Provided { path: path.clone() }),
            Self::State(path) => {
                durable::replace(path, ring.text().as_bytes()).map_err(|error| self.failed(error))
            }
        }
    }

    fn failed(&self, error: io::Error) -> KeyError {
        let (Self::Credential(path) | Self::State(path)) = self;
        KeyError::Io { path: path.clone(), error }
    }
}

impl KeyRing {
    pub fn newest(&self) -> KeyId {
        self.0.first().map(id).unwrap_or_default()
    }

    /// Key id, nonce, ciphertext. Opens only beside the same `context`.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, BrokenSeal> {
        let key = self.0.first().ok_or(BrokenSeal)?;
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: plain, aad: context };
        let cipher = XChaCha20Poly1305::new(Key::from_slice(key.as_slice()));
        let sealed = cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| BrokenSeal)?;
        Ok([&id(key)[..], &nonce, &sealed].concat())
    }

    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BrokenSeal> {
        let (by, sealed) = sealed.split_at_checked(ID).ok_or(BrokenSeal)?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE).ok_or(BrokenSeal)?;
        let key = self.0.iter().find(|key| id(key) == by).ok_or(BrokenSeal)?;
        let payload = Payload { msg: sealed, aad: context };
        let cipher = XChaCha20Poly1305::new(Key::from_slice(key.as_slice()));
        let plain = cipher.decrypt(XNonce::from_slice(nonce), payload);
        plain.map(Zeroizing::new).map_err(|_| BrokenSeal)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let lines = std::str::from_utf8(text).ok()?.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty()).map(|line| {
            let bytes = Zeroizing::new(STANDARD.decode(line).ok()?);
            <[u8; 32]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new)
        });
        let keys: Vec<SpoolKey> = keys.collect::<Option<_>>()?;
        (!keys.is_empty()).then_some(Self(keys))
    }

    fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len() * 48));
        for key in &self.0 {
            text.push_str(&Zeroizing::new(STANDARD.encode(key.as_slice())));
            text.push('\n');
        }
        text
    }
}

fn random() -> SpoolKey {
    let mut key = Zeroizing::new([0; 32]);
    rand::fill(key.as_mut());
    key
}

fn id(key: &SpoolKey) -> KeyId {
    let digest =
        Sha256::new().chain_update(b"recehub spool key id v1").chain_update(key.as_slice()).finalize();
    let mut id = KeyId::default();
    id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_file(folder: &tempfile::TempDir) -> (KeyFile, PathBuf) {
        (KeyFile::find(folder.path(), None), folder.path().join(FILE))
    }

    #[test]
    fn the_newest_key_seals_and_all_of_them_open_until_they_are_needed_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (file, path) = key_file(&folder);
        let first = file.load_or_make().unwrap();
        let old = first.seal(b"here", b"plain").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        file.rotate().unwrap();
        let both = file.load_or_make().unwrap();
        let new = both.seal(b"here", b"plain").unwrap();

        assert_eq!(both.open(b"here", &old).unwrap().as_slice(), b"plain");
        assert_eq!(both.open(b"there", &old), Err(BrokenSeal));
        assert_eq!(first.open(b"here", &new), Err(BrokenSeal));
        assert_eq!(file.retain(&[first.newest()]).unwrap(), 0);
        assert_eq!(file.retain(&[both.newest()]).unwrap(), 1);
        let last = file.load_or_make().unwrap();
        assert_eq!((last.newest(), last.open(b"here", &old)), (both.newest(), Err(BrokenSeal)));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let (file, path) = key_file(&folder);
        file.load_or_make().unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();

        let refused = file.load_or_make().err().unwrap().to_string();

        assert!(refused.contains("mode 640") && refused.contains("must be 600"), "{refused}");
    }

    #[test]
    fn a_key_that_cannot_be_made_out_is_set_aside_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (file, path) = key_file(&folder);
        durable::replace(&path, b"").unwrap();

        let made = file.load_or_make().unwrap().newest();

        assert_eq!(file.load_or_make().unwrap().newest(), made);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_credential_is_used_where_there_is_one_and_is_not_ours_to_change() {
        let (folder, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ring = KeyRing(vec![random()]);
        durable::replace(&credentials.path().join(CREDENTIAL), ring.text().as_bytes()).unwrap();

        let file = KeyFile::find(folder.path(), Some(credentials.path()));

        assert_eq!(file.load_or_make().unwrap().newest(), ring.newest());
        assert!(matches!(file.rotate(), Err(KeyError::Provided { .. })));
        assert!(matches!(KeyFile::find(folder.path(), Some(folder.path())), KeyFile::State(_)));
    }
}
