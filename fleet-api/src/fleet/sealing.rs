//! What is kept closed: paths of prescriptions, which name patients, and share passwords.

use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use device_model::{enrolment::SHARE_PASSWORD_INFO, thing_name::ThingName, upload::UploadId};
use hmac::{Hmac, Mac};
use hpke::{
    Deserializable, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256, kem::X25519HkdfSha256,
};
use sha2::Sha256;

type HmacSha256 = Hmac<Sha256>;

/// Two keys from one: a hash that is compared must tell nothing about what is sealed.
#[derive(Clone)]
pub struct PathKeys {
    sealing: [u8; 32],
    comparing: [u8; 32],
}

impl PathKeys {
    pub fn derive(root: &[u8; 32]) -> Self {
        Self {
            sealing: mac(root, &[b"recehub path sealing v1"]),
            comparing: mac(root, &[b"recehub path comparing v1"]),
        }
    }

    /// Nonce and ciphertext; bound to the upload, so that it cannot be put beside another.
    pub fn seal(&self, upload: UploadId, path: &[u8]) -> anyhow::Result<Vec<u8>> {
        let cipher = XChaCha20Poly1305::new(Key::from_slice(&self.sealing));
        let nonce: [u8; 24] = rand::random();
        let id = upload.to_string();
        let payload = Payload { msg: path, aad: id.as_bytes() };
        let sealed = cipher
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| anyhow::anyhow!("the path could not be sealed"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// The path that was sealed; None: it is another upload's, or was altered.
    pub fn open(&self, upload: UploadId, sealed: &[u8]) -> Option<Vec<u8>> {
        let cipher = XChaCha20Poly1305::new(Key::from_slice(&self.sealing));
        let (nonce, sealed) = sealed.split_at_checked(24)?;
        let id = upload.to_string();
        let payload = Payload { msg: sealed, aad: id.as_bytes() };
        cipher.decrypt(XNonce::from_slice(nonce), payload).ok()
    }

    /// Stands for the path wherever paths of a thing are compared.
    pub fn key_of(&self, thing: &ThingName, path: &[u8]) -> [u8; 32] {
        // No thing's name holds a zero byte, so the two cannot run into each other.
        mac(&self.comparing, &[thing.as_str().as_bytes(), b"\0", path])
    }

    /// Stands for a request wherever a repetition of it must be told from another one.
    pub fn fingerprint(&self, request: &[u8]) -> [u8; 32] {
        mac(&self.comparing, &[b"request\0", request])
    }
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = <HmacSha256 as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Seals a share password so that only the box can read it: base64 of encapsulated key and ciphertext.
pub fn seal_password(box_key: &[u8], thing: &ThingName, password: &str) -> anyhow::Result<String> {
    type Kem = X25519HkdfSha256;
    let failed = |error| anyhow::anyhow!("the share password could not be sealed: {error}");
    let key = <Kem as hpke::Kem>::PublicKey::from_bytes(box_key).map_err(failed)?;
    let (encapsulated, sealed) = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem, _>(
        &OpModeS::Base,
        &key,
        SHARE_PASSWORD_INFO,
        password.as_bytes(),
        thing.as_str().as_bytes(),
        &mut rand::rng(),
    )
    .map_err(failed)?;
    Ok(STANDARD.encode([&encapsulated.to_bytes()[..], &sealed].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hpke::{Kem as _, OpModeR};

    #[test]
    fn a_sealed_path_opens_for_its_own_upload_only() {
        let keys = PathKeys::derive(&[7; 32]);
        let (mine, other) = ("aa".repeat(32).parse().unwrap(), "bb".repeat(32).parse().unwrap());

        let sealed = keys.seal(mine, b"yamada.csv").unwrap();

        assert_eq!(keys.open(mine, &sealed).unwrap(), b"yamada.csv");
        assert_eq!(keys.open(other, &sealed), None);
        assert_eq!(PathKeys::derive(&[8; 32]).open(mine, &sealed), None);
        assert!(!sealed.windows(6).any(|window| window == b"yamada"));
    }

    #[test]
    fn a_path_has_another_key_in_another_box() {
        let keys = PathKeys::derive(&[7; 32]);
        let (a, ab) = ("a".parse().unwrap(), "ab".parse().unwrap());

        assert_eq!(keys.key_of(&a, b"x"), keys.key_of(&a, b"x"));
        assert_ne!(keys.key_of(&a, b"bx"), keys.key_of(&ab, b"x"));
    }

    #[test]
    fn only_the_box_reads_a_share_password() {
        let thing: ThingName = "tenpo-0001".parse().unwrap();
        let (secret, public) = X25519HkdfSha256::gen_keypair(&mut rand::rng());

        let sealed = seal_password(&public.to_bytes(), &thing, "花子2026").unwrap();

        let bytes = STANDARD.decode(sealed).unwrap();
        let (encapsulated, ciphertext) = bytes.split_at(32);
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &secret,
            &<X25519HkdfSha256 as hpke::Kem>::EncappedKey::from_bytes(encapsulated).unwrap(),
            SHARE_PASSWORD_INFO,
            ciphertext,
            b"tenpo-0001",
        );
        assert_eq!(opened.unwrap(), "花子2026".as_bytes());
    }
}
