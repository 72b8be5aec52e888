//! The encryption of dotenvx 1.x and 2.x, byte for byte: ECIES on secp256k1.
//!
//! A value is `encrypted:` and the padded base64 of
//!
//! ```text
//! 65 bytes   public key made for this value, uncompressed
//! 16 bytes   nonce
//! 16 bytes   tag
//! the rest   ciphertext, AES-256-GCM without associated data
//! ```
//!
//! under the key HKDF-SHA256(that public key ‖ the shared point, uncompressed), no salt and no info. The public key
//! alone encrypts, and neither a name nor a file is authenticated: who can write a file can exchange its values.

use crate::sys::Errno;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit, Nonce, Tag, array::typenum::U16};
use aes_gcm::{AesGcm, aes::Aes256};
use base64ct::{Base64, Encoding};
use hkdf::Hkdf;
use k256::elliptic_curve::sec1::ToSec1Point;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// What a value begins with that is encrypted.
pub const PREFIX: &str = "encrypted:";

const POINT_BYTES: usize = 65;
const NONCE_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
/// How much longer than its plaintext a ciphertext is.
const OVERHEAD: usize = POINT_BYTES + NONCE_BYTES + TAG_BYTES;

type Cipher = AesGcm<Aes256, U16>;

/// Why there is no plaintext, no ciphertext or no key. Never says anything of a value or a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    #[error("is not a private key (64 hexadecimal digits)")]
    PrivateKey,
    #[error("is not a public key (66 hexadecimal digits)")]
    PublicKey,
    #[error("is not encrypted")]
    NotEncrypted,
    #[error("is not a base64 ciphertext (truncated?)")]
    Form,
    #[error("cannot be decrypted: encrypted for another key, truncated or changed")]
    Refused,
    #[error("cannot be encrypted: no random bytes: {0}")]
    Random(Errno),
}

/// A private key; its memory is zeroed when it goes.
pub struct PrivateKey(k256::SecretKey);

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey(k256::PublicKey);

impl PrivateKey {
    /// Reads 64 hexadecimal digits.
    pub fn parse(digits: &[u8]) -> Result<Self, Error> {
        let bytes = Zeroizing::new(from_hex::<32>(digits).ok_or(Error::PrivateKey)?);
        k256::SecretKey::from_slice(&*bytes).map(PrivateKey).map_err(|_| Error::PrivateKey)
    }

    /// Makes a key from random bytes that `random` fills in.
    pub fn generate(random: impl Fn(&mut [u8]) -> Result<(), Errno>) -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        // Not every number is a key; one in 2^127 is none.
        for _ in 0..8 {
            random(&mut *bytes).map_err(Error::Random)?;
            if let Ok(key) = k256::SecretKey::from_slice(&*bytes) {
                return Ok(PrivateKey(key));
            }
        }
        Err(Error::Random(Errno(libc::EIO)))
    }

    /// The key that encrypts for this one.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key())
    }

    pub fn to_hex(&self) -> Zeroizing<String> {
        let mut bytes = self.0.to_bytes();
        let digits = Zeroizing::new(to_hex(&bytes));
        bytes.zeroize();
        digits
    }
}

impl PublicKey {
    /// Reads 66 hexadecimal digits: a compressed point.
    pub fn parse(digits: &[u8]) -> Result<Self, Error> {
        let bytes = from_hex::<33>(digits).ok_or(Error::PublicKey)?;
        k256::PublicKey::from_sec1_bytes(&bytes).map(PublicKey).map_err(|_| Error::PublicKey)
    }

    /// 66 hexadecimal digits, as DOTENV_PUBLIC_KEY holds them.
    pub fn to_hex(&self) -> String {
        to_hex(self.0.to_sec1_point(true).as_bytes())
    }
}

/// The plaintext of `value`, which begins with [`PREFIX`].
pub fn decrypt(private: &PrivateKey, value: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let encoded = value.strip_prefix(PREFIX.as_bytes()).ok_or(Error::NotEncrypted)?;
    let mut bytes =
        std::str::from_utf8(encoded).ok().and_then(|text| Base64::decode_vec(text).ok()).ok_or(Error::Form)?;
    let (point, rest) = bytes.split_first_chunk_mut::<POINT_BYTES>().ok_or(Error::Form)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Error::Form)?;
    let (tag, ciphertext) = rest.split_first_chunk::<TAG_BYTES>().ok_or(Error::Form)?;
    let made_for_it = k256::PublicKey::from_sec1_bytes(point).map_err(|_| Error::Form)?;
    let mut text = Zeroizing::new(ciphertext.to_vec());
    cipher(&private.0, &made_for_it, point)
        .decrypt_inout_detached(&nonce_of(nonce), b"", InOutBuf::from(text.as_mut_slice()), &tag_of(tag))
        .map_err(|_| Error::Refused)?;
    Ok(text)
}

/// Encrypts `plaintext` for `public`. `random` fills in random bytes, as [`crate::sys::random::fill`] does.
pub fn encrypt(
    public: &PublicKey,
    plaintext: &[u8],
    random: impl Fn(&mut [u8]) -> Result<(), Errno>,
) -> Result<String, Error> {
    let made_for_it = PrivateKey::generate(&random)?;
    let point = made_for_it.0.public_key().to_sec1_point(false);
    let mut nonce = [0; NONCE_BYTES];
    random(&mut nonce).map_err(Error::Random)?;
    let mut text = Zeroizing::new(plaintext.to_vec());
    let tag = cipher(&made_for_it.0, &public.0, point.as_bytes())
        .encrypt_inout_detached(&nonce_of(&nonce), b"", InOutBuf::from(text.as_mut_slice()))
        .map_err(|_| Error::Form)?;
    let mut bytes = Vec::with_capacity(OVERHEAD + text.len());
    for part in [point.as_bytes(), &nonce, &tag, &text] {
        bytes.extend_from_slice(part);
    }
    Ok(format!("{PREFIX}{}", Base64::encode_string(&bytes)))
}

/// The cipher under the key that both sides find: the maker of the point with its private key, the other with the
/// point.
fn cipher(private: &k256::SecretKey, public: &k256::PublicKey, made_for_it: &[u8]) -> Cipher {
    let mut product = public.to_projective() * *private.to_nonzero_scalar();
    let mut shared = product.to_affine();
    product.zeroize();
    let mut point = shared.to_sec1_point(false);
    shared.zeroize();
    let mut material = Zeroizing::new([0; 2 * POINT_BYTES]);
    material[..POINT_BYTES].copy_from_slice(made_for_it);
    material[POINT_BYTES..].copy_from_slice(point.as_bytes());
    point.zeroize();
    let mut key = Zeroizing::new([0; 32]);
    // 32 bytes are no more than HKDF-SHA256 can give: this does not fail.
    let _ = Hkdf::<Sha256>::new(None, &*material).expand(b"", &mut *key);
    Cipher::new((&*key).into())
}

fn nonce_of(bytes: &[u8; NONCE_BYTES]) -> Nonce<Cipher> {
    (*bytes).into()
}

fn tag_of(bytes: &[u8; TAG_BYTES]) -> Tag<Cipher> {
    (*bytes).into()
}

fn from_hex<const LENGTH: usize>(digits: &[u8]) -> Option<[u8; LENGTH]> {
    if digits.len() != 2 * LENGTH {
        return None;
    }
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |byte: u8| char::from(DIGITS[usize::from(byte & 15)]);
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        digits.push(digit(byte >> 4));
        digits.push(digit(*byte));
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::random;
    use std::collections::BTreeMap;

    #[derive(serde::Deserialize)]
    struct Vector {
        plain: String,
        cipher: String,
    }

    fn vectors() -> BTreeMap<String, Vector> {
        serde_json::from_str(include_str!("../../tests/secrets/vectors/vectors.json")).unwrap()
    }

    fn key() -> PrivateKey {
        PrivateKey::parse(include_str!("../../tests/secrets/vectors/key.hex").trim().as_bytes()).unwrap()
    }

    #[test]
    fn every_vector_of_the_original_is_decrypted_byte_for_byte() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 22);
        for (name, vector) in vectors {
            let plain = decrypt(&key(), vector.cipher.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(plain.as_slice(), vector.plain.as_bytes(), "{name}");
        }
    }

    #[test]
    fn a_changed_or_cut_ciphertext_is_refused_wherever_it_is_changed() {
        let vector = vectors().remove("HASH").unwrap();
        let bytes = Base64::decode_vec(&vector.cipher[PREFIX.len()..]).unwrap();
        let value = |bytes: &[u8]| format!("{PREFIX}{}", Base64::encode_string(bytes));
        assert!(decrypt(&key(), value(&bytes).as_bytes()).is_ok());
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(decrypt(&key(), value(&changed).as_bytes()).is_err(), "byte {place}");
            assert!(decrypt(&key(), value(&bytes[..place]).as_bytes()).is_err(), "cut at {place}");
        }
        for text in ["encrypted:", "encrypted:!", "encrypted:QQ", "encrypted", ""] {
            assert!(decrypt(&key(), text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn another_key_is_refused() {
        let other = PrivateKey::generate(random::fill).unwrap();
        for (name, vector) in vectors() {
            assert_eq!(decrypt(&other, vector.cipher.as_bytes()), Err(Error::Refused), "{name}");
        }
    }

    #[test]
    fn keys_are_read_and_written_in_hex() {
        let public = include_str!("../../tests/secrets/vectors/pub.hex").trim();
        assert_eq!(key().public().to_hex(), public);
        assert_eq!(PublicKey::parse(public.as_bytes()), Ok(key().public()));
        assert!(PrivateKey::parse(key().to_hex().as_bytes()).unwrap().public() == key().public());
        // 0 and what is no smaller than the order of the group are no private keys.
        let long = "f".repeat(64);
        let zero = "0".repeat(64);
        for digits in ["", "0x12", &zero, &long, &public[2..65], public, "é"] {
            assert!(PrivateKey::parse(digits.as_bytes()).is_err(), "{digits}");
        }
        let off_the_curve = format!("02{}", "0".repeat(64));
        for digits in ["", &public[2..], "04", &off_the_curve] {
            assert!(PublicKey::parse(digits.as_bytes()).is_err(), "{digits}");
        }
    }

    #[test]
    fn what_is_encrypted_here_is_decrypted_here_and_never_the_same_twice() {
        for plain in ["", "x", "Ünïcødé\n", &"long".repeat(20_000)] {
            let (one, other) = (encrypt(&key().public(), plain.as_bytes(), random::fill).unwrap(), {
                encrypt(&key().public(), plain.as_bytes(), random::fill).unwrap()
            });
            assert_ne!(one, other);
            assert_eq!(decrypt(&key(), one.as_bytes()).unwrap().as_slice(), plain.as_bytes());
            assert_eq!(Base64::decode_vec(&one[PREFIX.len()..]).unwrap().len(), plain.len() + OVERHEAD);
        }
    }

    #[test]
    fn without_random_bytes_there_is_no_key_and_no_ciphertext() {
        let none = |_: &mut [u8]| Err(Errno(libc::ENOSYS));
        assert!(matches!(PrivateKey::generate(none), Err(Error::Random(_))));
        assert!(encrypt(&key().public(), b"x", none).is_err());
        // Zeroes are no key: a source that writes nothing and says it did is not taken.
        assert!(PrivateKey::generate(|_| Ok(())).is_err());
    }
}
