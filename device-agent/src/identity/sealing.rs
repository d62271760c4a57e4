//! The box's sealing key: share passwords that people choose are sealed to it by the cloud, and only
//! the box can open them.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use device_model::{enrolment::SHARE_PASSWORD_INFO, thing_name::ThingName};
use hpke::{
    Deserializable, Kem, OpModeR, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256,
};
use zeroize::Zeroizing;

use crate::{durable, identity::IdentityError};

type Private = <X25519HkdfSha256 as Kem>::PrivateKey;
type Encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey;

const KEY_BYTES: usize = 32;

#[derive(Clone)]
pub struct SealingKey(Private);

/// The password cannot be read: sealed to another key, for another thing, or not sealed at all.
#[derive(Debug, thiserror::Error)]
#[error("the sealed password does not open with this box's key")]
pub struct Unopenable;

impl SealingKey {
    /// The key in the file, or a new one written there.
    pub fn load_or_make(path: &Path) -> Result<Self, IdentityError> {
        if path.exists() {
            return Self::load(path);
        }
        let mut seed = Zeroizing::new([0u8; KEY_BYTES]);
        rand::fill(seed.as_mut());
        let (private, _) = X25519HkdfSha256::derive_keypair(seed.as_ref());
        let text = Zeroizing::new(STANDARD.encode(private.to_bytes()) + "\n");
        durable::replace(path, text.as_bytes())
            .map_err(|error| IdentityError::Unreadable { path: path.to_owned(), error })?;
        Ok(Self(private))
    }

    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let unusable = |error: &str| IdentityError::Unusable(path.to_owned(), error.to_owned());
        let text = fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|error| IdentityError::Unreadable { path: path.to_owned(), error })?;
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| unusable("not base64"))?;
        let private = Private::from_bytes(&bytes).map_err(|_| unusable("not an X25519 key"))?;
        Ok(Self(private))
    }

    pub fn public_key(&self) -> Vec<u8> {
        X25519HkdfSha256::sk_to_pk(&self.0).to_bytes().to_vec()
    }

    /// Opens a share password: `encapsulated key || ciphertext`, base64.
    pub fn open(&self, thing: &ThingName, sealed: &str) -> Result<Zeroizing<Vec<u8>>, Unopenable> {
        let bytes = STANDARD.decode(sealed).map_err(|_| Unopenable)?;
        let (encapsulated, ciphertext) = bytes.split_at_checked(KEY_BYTES).ok_or(Unopenable)?;
        let encapsulated = Encapsulated::from_bytes(encapsulated).map_err(|_| Unopenable)?;
        let mut context = hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.0,
            &encapsulated,
            SHARE_PASSWORD_INFO,
        )
        .map_err(|_| Unopenable)?;
        let password = context.open(ciphertext, thing.as_str().as_bytes());
        password.map(Zeroizing::new).map_err(|_| Unopenable)
    }
}

#[cfg(test)]
mod tests {
    use hpke::OpModeS;

    use super::*;

    fn seal(to: &SealingKey, thing: &str, password: &[u8]) -> String {
        let public = X25519HkdfSha256::sk_to_pk(&to.0);
        let mut seed = [0u8; 32];
        rand::fill(&mut seed);
        let (encapsulated, mut context) =
            hpke::setup_sender::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256, _>(
                &OpModeS::Base,
                &public,
                SHARE_PASSWORD_INFO,
                &mut rand::rng(),
            )
            .unwrap();
        let mut sealed = encapsulated.to_bytes().to_vec();
        sealed.extend(context.seal(password, thing.as_bytes()).unwrap());
        STANDARD.encode(sealed)
    }

    #[test]
    fn a_password_opens_only_for_the_box_and_thing_it_was_sealed_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing.key");
        let key = SealingKey::load_or_make(&path).unwrap();
        let again = SealingKey::load_or_make(&path).unwrap();
        let other = SealingKey::load_or_make(&folder.path().join("other")).unwrap();
        let thing: ThingName = "tenpo-0001".parse().unwrap();
        let sealed = seal(&key, "tenpo-0001", b"secret");

        assert_eq!(again.open(&thing, &sealed).unwrap().as_slice(), b"secret");
        assert!(other.open(&thing, &sealed).is_err());
        assert!(key.open(&"tenpo-0002".parse().unwrap(), &sealed).is_err());
        assert!(key.open(&thing, "AAAA").is_err());
    }
}
