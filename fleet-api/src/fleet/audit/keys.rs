//! Who signs: ed25519, with a key of the API's own. Keys of former years stay trusted for what they signed.

use std::{collections::BTreeMap, fmt, sync::Arc};

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

/// The key that signs, and all that are trusted.
#[derive(Clone)]
pub struct Keys {
    signing: Arc<Ed25519KeyPair>,
    trusted: BTreeMap<String, Vec<u8>>,
}

/// A signature and who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub key_id: String,
    pub signature: Vec<u8>,
}

impl Keys {
    /// `former` are public keys.
    pub fn new(seed: &[u8; 32], former: &[[u8; 32]]) -> anyhow::Result<Self> {
        let signing = Ed25519KeyPair::from_seed_unchecked(seed);
        let signing = signing.map_err(|_| anyhow::anyhow!("the audit key cannot be used"))?;
        let own = signing.public_key().as_ref().to_vec();
        let all = former.iter().map(|key| key.to_vec()).chain([own]);
        let trusted = all.map(|key| (id(&key), key)).collect();
        Ok(Self { signing: Arc::new(signing), trusted })
    }

    /// The public half of the key that signs.
    pub fn public(&self) -> &[u8] {
        self.signing.public_key().as_ref()
    }

    pub fn sign(&self, message: &str) -> Signed {
        let signature = self.signing.sign(message.as_bytes()).as_ref().to_vec();
        Signed { key_id: id(self.public()), signature }
    }

    /// True if a key that we trust has signed this very text.
    pub fn vouch(&self, message: &str, signed: &Signed) -> bool {
        let key = self.trusted.get(&signed.key_id);
        key.is_some_and(|key| {
            UnparsedPublicKey::new(&ED25519, key).verify(message.as_bytes(), &signed.signature).is_ok()
        })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("trusted", &self.trusted.keys()).finish_non_exhaustive()
    }
}

fn id(public: &[u8]) -> String {
    hex::encode(&Sha256::digest(public)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_former_key_is_trusted_and_a_foreign_one_is_not() {
        let former = Keys::new(&[1; 32], &[]).unwrap();
        let public: [u8; 32] = former.public().try_into().unwrap();
        let now = Keys::new(&[2; 32], &[public]).unwrap();
        let foreign = Keys::new(&[3; 32], &[]).unwrap();

        assert!(now.vouch("a", &former.sign("a")));
        assert!(now.vouch("a", &now.sign("a")));
        assert!(!now.vouch("a", &foreign.sign("a")));
        assert!(!now.vouch("b", &now.sign("a")));
        assert!(!format!("{now:?}").contains("signing"));
    }
}
