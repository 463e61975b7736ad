//! Encryption of objects, their keyed ids, and tags that authenticate what stands outside them.
//!
//! Owns the master key, the keys derived from it, and the form of a sealed object. Refuses to know files,
//! records and how the master key is kept: that is [`crate::keys`].
//!
//! **Keys.** One master key of 32 random bytes. From it, HKDF-Expand (RFC 5869, section 2.3; the master key is
//! uniform, so the extract step is left out as section 3.3 allows) gives one key per purpose, each with its label.
//!
//! **Sealing.** AES-256-GCM-SIV (RFC 8452). The nonce is the first 12 bytes of an HMAC, with a key of its own, over
//! kind and disk id; it stands in front. So no source of randomness can fail or repeat (a cloned virtual machine, a
//! restored image), and the same object sealed twice gives the same bytes. An object stored again in another coding
//! meets the same nonce with another plaintext: in GCM-SIV that shows only whether the two are equal, and that is
//! known already, because both carry the same disk id. Different objects have different nonces, collisions of 96 bits
//! aside, which do no more harm than that. The associated data are the version, the kind and the disk id, so a sealed
//! object cannot be passed off as another one.
//!
//! **What stays visible**: kinds, sizes after compression, which objects are equal, and when they were written.

use std::fmt;

use aes_gcm_siv::aead::inout::InOutBuf;
use aes_gcm_siv::{AeadInOut, Aes256GcmSiv, KeyInit as _, Nonce, Tag};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use wfr_model::Digest;
use zeroize::Zeroizing;

use crate::object::{ObjectKind, WriteError};

/// The version of the sealed form; part of the associated data.
pub const SEAL_VERSION: u8 = 1;

const NONCE: usize = 12;
const TAG: usize = 16;

/// Bytes by which a sealed object is longer than what was sealed: the nonce in front, the tag behind.
pub const OVERHEAD: usize = NONCE + TAG;

/// The key from which all others come: 32 random bytes, overwritten in memory when dropped.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// A new key from the system's source of randomness.
    pub fn generate() -> std::io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut()).map_err(std::io::Error::other)?;
        Ok(Self(bytes))
    }

    /// The key with these bytes.
    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The bytes, for wrapping only.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Names the key without telling anything about it: 32 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let derived = expand(&self.0, b"wfr 1 fingerprint");
        derived[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// The first 32 bytes of HKDF-Expand with SHA-256 (RFC 5869, section 2.3).
fn expand(key: &[u8; 32], label: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut mac = keyed(key);
    mac.update(label);
    mac.update(&[1]);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// A sealed object that does not open: the key is another one, or the bytes, the kind or the id were changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("it does not open with this key, or it was changed")]
pub struct OpenError;

/// Everything that is done with the master key, ready for use from several threads.
#[derive(Clone)]
pub struct Cipher {
    objects: Aes256GcmSiv,
    nonces: Hmac<Sha256>,
    ids: Hmac<Sha256>,
    tags: Hmac<Sha256>,
    caches: Aes256GcmSiv,
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(..)")
    }
}

impl Cipher {
    /// Derives the keys.
    pub fn new(master: &MasterKey) -> Self {
        let derive = |label: &str| expand(&master.0, label.as_bytes());
        Self {
            objects: Aes256GcmSiv::new((&*derive("wfr 1 objects")).into()),
            nonces: keyed(&derive("wfr 1 nonces")),
            ids: keyed(&derive("wfr 1 ids")),
            tags: keyed(&derive("wfr 1 tags")),
            caches: Aes256GcmSiv::new((&*derive("wfr 1 caches")).into()),
        }
    }

    /// The id under which an object stands on disk. It tells nothing about the object without the key.
    pub fn disk_id(&self, id: &Digest) -> Digest {
        let mut mac = self.ids.clone();
        mac.update(&id.0);
        Digest(mac.finalize().into_bytes().into())
    }

    /// Seals an object's stored bytes, compressed or not; `id` is the plaintext's SHA-256. The result is longer by
    /// [`OVERHEAD`].
    pub fn seal(&self, kind: ObjectKind, id: &Digest, stored: &[u8]) -> Result<Vec<u8>, WriteError> {
        let disk_id = self.disk_id(id);
        let nonce = self.nonce(kind, &disk_id);
        let mut sealed = vec![0; stored.len() + OVERHEAD];
        sealed[..NONCE].copy_from_slice(&nonce);
        let (body, tag_out) = sealed[NONCE..].split_at_mut(stored.len());
        let buffer = InOutBuf::new(stored, body).expect("the buffer was made as long as the input");
        let tag = self
            .objects
            .encrypt_inout_detached(&nonce, &associated(kind, &disk_id), buffer)
            .map_err(|_| WriteError::Crypto("it is longer than the cipher allows"))?;
        tag_out.copy_from_slice(&tag);
        Ok(sealed)
    }

    /// The stored bytes of a sealed object whose plaintext id is known.
    pub fn open(&self, kind: ObjectKind, id: &Digest, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.open_on_disk(kind, &self.disk_id(id), sealed)
    }

    /// The stored bytes of a sealed object of which only the id on disk is known, as in a scan. The caller must compare
    /// the plaintext's keyed id with `disk_id`.
    pub fn open_on_disk(&self, kind: ObjectKind, disk_id: &Digest, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or(OpenError)?;
        let (body, tag) = rest.split_last_chunk::<TAG>().ok_or(OpenError)?;
        let mut stored = vec![0; body.len()];
        let buffer = InOutBuf::new(body, &mut stored).map_err(|_| OpenError)?;
        self.objects
            .decrypt_inout_detached(&Nonce::from(*nonce), &associated(kind, disk_id), buffer, &Tag::from(*tag))
            .map_err(|_| OpenError)?;
        Ok(stored)
    }

    /// Seals a part of a derived file in place; returns the tag. `place` names file and position, and should not come
    /// again with other bytes; where it does, after a crash, only their being equal or not would show.
    pub fn seal_in_place(&self, place: &[u8; 16], bytes: &mut [u8]) -> Result<[u8; TAG], WriteError> {
        self.caches
            .encrypt_inout_detached(&place_nonce(place), place, bytes.into())
            .map(Into::into)
            .map_err(|_| WriteError::Crypto("it is longer than the cipher allows"))
    }

    /// Opens what [`Self::seal_in_place`] sealed; the bytes are of no use after an error.
    pub fn open_in_place(&self, place: &[u8; 16], bytes: &mut [u8], tag: &[u8; TAG]) -> Result<(), OpenError> {
        self.caches
            .decrypt_inout_detached(&place_nonce(place), place, bytes.into(), &Tag::from(*tag))
            .map_err(|_| OpenError)
    }

    /// Authenticates bytes that stand outside objects, such as the head of the chain of checkpoints. `context` says
    /// what they are, so that a tag of one thing never fits another.
    pub fn tag(&self, context: &str, bytes: &[u8]) -> [u8; 32] {
        self.tagging(context, bytes).finalize().into_bytes().into()
    }

    /// Whether a tag fits, compared in constant time.
    pub fn tag_fits(&self, context: &str, bytes: &[u8], tag: &[u8]) -> bool {
        self.tagging(context, bytes).verify_slice(tag).is_ok()
    }

    fn tagging(&self, context: &str, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.tags.clone();
        // The length in front keeps `("ab", "c")` and `("a", "bc")` apart.
        mac.update(&(context.len() as u64).to_le_bytes());
        mac.update(context.as_bytes());
        mac.update(bytes);
        mac
    }

    fn nonce(&self, kind: ObjectKind, disk_id: &Digest) -> Nonce {
        let mut mac = self.nonces.clone();
        mac.update(&associated(kind, disk_id));
        let whole: [u8; 32] = mac.finalize().into_bytes().into();
        let mut nonce = Nonce::default();
        nonce.copy_from_slice(&whole[..NONCE]);
        nonce
    }
}

/// The nonce for a place: its last 12 bytes. The whole of it is associated data.
fn place_nonce(place: &[u8; 16]) -> Nonce {
    let mut nonce = Nonce::default();
    nonce.copy_from_slice(&place[16 - NONCE..]);
    nonce
}

/// The associated data of a sealed object.
fn associated(kind: ObjectKind, disk_id: &Digest) -> [u8; 34] {
    let mut data = [0; 34];
    data[0] = SEAL_VERSION;
    data[1] = kind as u8;
    data[2..].copy_from_slice(&disk_id.0);
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::hash;
    use proptest::prelude::*;

    fn cipher(byte: u8) -> Cipher {
        Cipher::new(&MasterKey::from_bytes(Zeroizing::new([byte; 32])))
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
    }

    /// RFC 8452, appendix C.2 and C.3: key, nonce, associated data, plaintext, result.
    const RFC_8452: [[&str; 5]; 8] = [
        [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "",
            "",
            "07f5f4169bbf55a8400cd47ea6fd400f",
        ],
        [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "",
            "0100000000000000",
            "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28",
        ],
        [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "01",
            "02000000000000000000000000000000",
            "c91545823cc24f17dbb0e9e807d5ec17b292d28ff61189e8e49f3875ef91aff7",
        ],
        [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "0100000000000000000000000000000002000000",
            "030000000000000000000000000000000400",
            "462401724b5ce6588d5a54aae5375513a075cfcdf5042112aa29685c912fc2056543",
        ],
        [
            "b18853f68d833640e42a3c02c25b64869e146d7b233987bddfc240871d7576f7",
            "028ec6eb5ea7e298342a94d4",
            "9c2159058b1f0fe91433a5bdc20e214eab7fecef4454a10ef0657df21ac7",
            "b202b370ef9768ec6561c4fe6b7e7296fa85",
            "857e16a64915a787637687db4a9519635cdd454fc2a154fea91f8363a39fec7d0a49",
        ],
        [
            "3c535de192eaed3822a2fbbe2ca9dfc88255e14a661b8aa82cc54236093bbc23",
            "688089e55540db1872504e1c",
            "734320ccc9d9bbbb19cb81b2af4ecbc3e72834321f7aa0f70b7282b4f33df23f167541",
            "ced532ce4159b035277d4dfbb7db62968b13cd4eec",
            "626660c26ea6612fb17ad91e8e767639edd6c9faee9d6c7029675b89eaf4ba1ded1a286594",
        ],
        [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "000000000000000000000000",
            "",
            "000000000000000000000000000000004db923dc793ee6497c76dcc03a98e108",
            "f3f80f2cf0cb2dd9c5984fcda908456cc537703b5ba70324a6793a7bf218d3eaffffffff000000000000000000000000",
        ],
        [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "000000000000000000000000",
            "",
            "eb3640277c7ffd1303c7a542d02d3e4c0000000000000000",
            "18ce4f0b8cb4d0cac65fea8f79257b20888e53e72299e56dffffffff000000000000000000000000",
        ],
    ];

    #[test]
    fn the_cipher_is_that_of_rfc_8452() {
        for [key, nonce, data, plain, expected] in RFC_8452 {
            let key: [u8; 32] = hex(key).try_into().unwrap();
            let nonce: [u8; 12] = hex(nonce).try_into().unwrap();
            let mut buffer = hex(plain);
            let cipher = Aes256GcmSiv::new((&key).into());
            let tag = cipher
                .encrypt_inout_detached(&nonce.into(), &hex(data), InOutBuf::from(buffer.as_mut_slice()))
                .unwrap();
            buffer.extend_from_slice(&tag);
            assert_eq!(buffer, hex(expected));
        }
    }

    #[test]
    fn keys_are_derived_as_in_rfc_5869() {
        // Appendix A.1, where the key material is the pseudo-random key of that case.
        let key: [u8; 32] = hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5").try_into().unwrap();
        let expected = hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
        assert_eq!(expand(&key, &hex("f0f1f2f3f4f5f6f7f8f9")).as_slice(), expected);
    }

    #[test]
    fn the_form_stays_as_it_is() {
        // Computed by another implementation from the description above. Stores in the field depend on these
        // bytes: whoever changes them needs a new version.
        let cipher = cipher(7);
        let id = hash(b"content");
        let sealed = cipher.seal(ObjectKind::Blob, &id, b"content").unwrap();
        let shown: String = sealed.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(cipher.disk_id(&id).short(), "c632a6a82381");
        assert_eq!(shown, "4b7192203944ddeff84179fc92a916787490b3cd980655f023c9566ed54ba88b7e0e7d");
        assert_eq!(Digest(cipher.tag("head", b"x")).short(), "a4c188ba6a5a");
        let key = MasterKey::from_bytes(Zeroizing::new([7; 32]));
        assert_eq!(key.fingerprint(), "0c14a53509788543cddd640f95cd8f92");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let cipher = cipher(1);
        let plain = b"some bytes that fill more than a block";
        let id = hash(plain);
        let sealed = cipher.seal(ObjectKind::Tree, &id, plain).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(cipher.open(ObjectKind::Tree, &id, &damaged), Err(OpenError), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(cipher.open(ObjectKind::Tree, &id, &sealed[..length]), Err(OpenError), "length {length}");
        }
    }

    #[test]
    fn kind_id_and_key_are_bound() {
        let (cipher, other) = (cipher(1), cipher(2));
        let id = hash(b"x");
        let sealed = cipher.seal(ObjectKind::Blob, &id, b"x").unwrap();
        assert_eq!(cipher.open(ObjectKind::Blob, &id, &sealed).unwrap(), b"x");
        assert!(cipher.open(ObjectKind::Tree, &id, &sealed).is_err());
        assert!(cipher.open(ObjectKind::Blob, &hash(b"y"), &sealed).is_err());
        assert!(other.open(ObjectKind::Blob, &id, &sealed).is_err());
        assert_ne!(cipher.disk_id(&id), other.disk_id(&id));
        assert_ne!(cipher.disk_id(&id), id);
    }

    #[test]
    fn tags_know_their_context() {
        let (cipher, other) = (cipher(1), cipher(2));
        let tag = cipher.tag("head", b"bytes");
        assert!(cipher.tag_fits("head", b"bytes", &tag));
        assert!(!cipher.tag_fits("hea", b"dbytes", &tag));
        assert!(!cipher.tag_fits("head", b"bytez", &tag));
        assert!(!cipher.tag_fits("head", b"bytes", &tag[..31]));
        assert!(!other.tag_fits("head", b"bytes", &tag));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let key = MasterKey::from_bytes(Zeroizing::new([0x61; 32]));
        assert_eq!(format!("{key:?} {:?}", Cipher::new(&key)), "MasterKey(..) Cipher(..)");
        assert_ne!(MasterKey::generate().unwrap().expose(), MasterKey::generate().unwrap().expose());
    }

    proptest! {
        #[test]
        fn round_trips(plain in prop::collection::vec(any::<u8>(), 0..300), stored in any::<Vec<u8>>()) {
            let cipher = cipher(3);
            let id = hash(&plain);
            let sealed = cipher.seal(ObjectKind::Seal, &id, &stored).unwrap();
            prop_assert_eq!(sealed.len(), stored.len() + OVERHEAD);
            prop_assert_eq!(&cipher.seal(ObjectKind::Seal, &id, &stored).unwrap(), &sealed);
            prop_assert_eq!(cipher.open(ObjectKind::Seal, &id, &sealed).unwrap(), stored.clone());
            let on_disk = cipher.open_on_disk(ObjectKind::Seal, &cipher.disk_id(&id), &sealed);
            prop_assert_eq!(on_disk.unwrap(), stored);
        }

        #[test]
        fn junk_never_opens(junk in any::<Vec<u8>>()) {
            prop_assert_eq!(cipher(3).open(ObjectKind::Blob, &hash(b""), &junk), Err(OpenError));
        }
    }
}
