//! Whether a key is a vault's own.
//!
//! Owns the check value, a small file beside the wrapped key; the binding, which says the same outside the directory of keys;
//! and what the packs tell of a key where there is neither. Refuses to know where keys come from, and what becomes of one that
//! does not fit.
//!
//! Both hold the key's fingerprint: one output of a keyed function, which tells nothing of the key and of what it derives.
//! Each carries a checksum of its own, so that a rotten one is told from one of another key. The value travels with the key
//! where all of `keys/` is exchanged; the binding does not, and names its vault, so that another vault's is none here. It also
//! knows the wrapped key by its digest: that another one lies there is seen without opening it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::crypto::{Cipher, MasterKey};
use crate::object::hash;
use crate::vault::{Vault, write_durably};
use crate::{pack, record};

/// The file's name in the vault's directory of keys.
pub const FILE: &str = "check";

/// The binding's name in the vault's own directory.
pub const BINDING: &str = "key-binding";

/// What the one line begins with; the version of the form is in it.
const PREFIX: &str = "wfr-key-check-1:";

/// What the binding's one line begins with.
const BINDING_PREFIX: &str = "wfr-key-binding-1:";

/// Digits of a fingerprint.
const DIGITS: usize = 32;

/// What the packs tell of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Evidence {
    /// It opens what is there.
    Opens,
    /// It does not.
    Refuses,
    /// Nothing encrypted is there, or nothing that is whole.
    Nothing,
}

/// How much must be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    /// The oldest object that is whole decides: the key came from outside the vault.
    Oldest,
    /// One object that opens is enough: the key came out of the vault itself.
    Any,
}

/// The fingerprint of the vault's own key; `None` where no value is there, or a damaged one.
pub fn read(vault: &Vault) -> io::Result<Option<String>> {
    Ok(bytes_of(&vault.keys().join(FILE))?.and_then(|bytes| parse(&bytes)))
}

/// Notes the vault's own key beside it.
pub fn write(vault: &Vault, key: &MasterKey) -> io::Result<()> {
    write_durably(&vault.keys(), FILE, line(&key.fingerprint()).as_bytes())
}

/// What a vault is bound to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// The fingerprint of its key.
    pub fingerprint: String,
    /// The digest of the wrapped key that was seen to hold that key; `None` where none was.
    pub wrapped: Option<String>,
}

/// What the vault is bound to; `None` where it is bound to nothing: nothing is there, a damaged binding, or another vault's.
pub fn bound(vault: &Vault) -> io::Result<Option<Binding>> {
    Ok(bytes_of(&vault.dir().join(BINDING))?.and_then(|bytes| parse_binding(vault, &bytes)))
}

/// Binds the vault to a key, and to the wrapped one that holds it, where that is known.
pub fn bind(vault: &Vault, key: &MasterKey, wrapped: Option<&[u8]>) -> io::Result<()> {
    let binding = Binding { fingerprint: key.fingerprint(), wrapped: wrapped.map(digest_of) };
    write_durably(vault.dir(), BINDING, binding_line(vault, &binding).as_bytes())
}

/// The digest of a wrapped key, as a binding has it.
pub fn digest_of(wrapped: &[u8]) -> String {
    hash(wrapped).to_hex().chars().take(DIGITS).collect()
}

fn binding_line(vault: &Vault, binding: &Binding) -> String {
    let none = "0".repeat(DIGITS);
    let wrapped = binding.wrapped.as_ref().unwrap_or(&none);
    let said = format!("{}-{}-{wrapped}", vault.identity().vault_id, binding.fingerprint);
    format!("{BINDING_PREFIX}{said}-{:08x}\n", crc32fast::hash(said.as_bytes()))
}

/// A binding in its one form; nothing else is one.
fn parse_binding(vault: &Vault, bytes: &[u8]) -> Option<Binding> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut parts = text.strip_prefix(BINDING_PREFIX)?.split('-').skip(1).map(str::to_owned);
    let (fingerprint, wrapped) = (parts.next()?, parts.next()?);
    let wrapped = Some(wrapped).filter(|digits| digits.bytes().any(|digit| digit != b'0'));
    let binding = Binding { fingerprint, wrapped };
    (binding_line(vault, &binding) == text).then_some(binding)
}

fn bytes_of(place: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(place) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn line(fingerprint: &str) -> String {
    format!("{PREFIX}{fingerprint}-{:08x}\n", crc32fast::hash(fingerprint.as_bytes()))
}

/// The fingerprint in the check value's one form; nothing else is one.
fn parse(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let fingerprint = text.strip_prefix(PREFIX)?.get(..DIGITS)?;
    (line(fingerprint) == text).then(|| fingerprint.to_owned())
}

/// What the vault's packs tell of a key, the oldest first. A record whose bytes have rotted tells nothing.
pub fn evidence(vault: &Vault, cipher: &Cipher, weight: Weight) -> io::Result<Evidence> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(vault.packs())? {
        let name = entry?.file_name();
        names.extend(name.to_str().filter(|name| pack::id_of(name).is_some()).map(str::to_owned));
    }
    // Their ids are UUIDs of version 7, so names sort by time.
    names.sort_unstable();
    let mut told = Evidence::Nothing;
    for name in names {
        let file = match File::open(vault.packs().join(name)) {
            Ok(file) => file,
            // A cleanup has removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let (found, _) = pack::scan(&file, 0, file.metadata()?.len())?;
        for found in found.iter().filter(|found| found.header.is_encrypted()) {
            let mut payload = vec![0; found.header.stored_len as usize];
            file.read_exact_at(&mut payload, found.offset + record::HEADER as u64)?;
            if !found.header.payload_fits(&payload) {
                continue;
            }
            if record::identify(&found.header, &payload, Some(cipher)).is_ok() {
                return Ok(Evidence::Opens);
            }
            if weight == Weight::Oldest {
                return Ok(Evidence::Refuses);
            }
            told = Evidence::Refuses;
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectKind;
    use crate::record::{Coding, encode};
    use crate::vault::{FORMAT_VERSION, Identity};
    use zeroize::Zeroizing;

    fn key(byte: u8) -> MasterKey {
        MasterKey::from_bytes(Zeroizing::new([byte; 32]))
    }

    fn vault(dir: &std::path::Path) -> Vault {
        let identity = Identity { format_version: FORMAT_VERSION, vault_id: "0".repeat(32), encrypted: true };
        Vault::create(&dir.join("vault"), identity).unwrap()
    }

    /// A pack of its own for each text, under the key of its byte.
    fn write_objects(vault: &Vault, objects: &[(u8, &str)]) {
        for (byte, text) in objects {
            let mut appender = pack::Appender::create(&vault.packs()).unwrap();
            let cipher = Cipher::new(&key(*byte));
            let id = hash(text.as_bytes());
            let coded = encode(ObjectKind::Blob, &id, text.as_bytes(), Coding::default(), Some(&cipher)).unwrap();
            appender.append(&coded).unwrap();
            appender.sync().unwrap();
        }
    }

    #[test]
    fn the_form_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        assert_eq!(read(&vault).unwrap(), None);
        write(&vault, &key(7)).unwrap();
        let bytes = std::fs::read(vault.keys().join(FILE)).unwrap();
        // The checksum was computed by another implementation.
        assert_eq!(bytes, b"wfr-key-check-1:0c14a53509788543cddd640f95cd8f92-19f2770c\n");
        assert_eq!(read(&vault).unwrap(), Some(key(7).fingerprint()));
    }

    #[test]
    fn a_binding_is_the_vaults_own_and_outside_its_keys() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        assert_eq!(bound(&vault).unwrap(), None);
        let (place, zeros) = (vault.dir().join("key-binding"), "0".repeat(32));
        // Digests and checksums were computed by another implementation.
        for (wrapped, digest, checksum) in
            [(Some(&b"abc"[..]), "ba7816bf8f01cfea414140de5dae2223", "2fd76235"), (None, zeros.as_str(), "ed7a91e1")]
        {
            bind(&vault, &key(7), wrapped).unwrap();
            let text = std::fs::read_to_string(&place).unwrap();
            let said = format!("{zeros}-0c14a53509788543cddd640f95cd8f92-{digest}");
            assert_eq!(text, format!("wfr-key-binding-1:{said}-{checksum}\n"));
            let wrapped = wrapped.map(|_| digest.to_owned());
            assert_eq!(bound(&vault).unwrap(), Some(Binding { fingerprint: key(7).fingerprint(), wrapped }));
            for bit in 0..text.len() * 8 {
                let mut rotten = text.clone().into_bytes();
                rotten[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(parse_binding(&vault, &rotten), None, "bit {bit}");
            }
        }
        // Another vault's says nothing here.
        let others = Identity { format_version: FORMAT_VERSION, vault_id: "1".repeat(32), encrypted: true };
        let other = Vault::create(&dir.path().join("other"), others).unwrap();
        std::fs::copy(&place, other.dir().join("key-binding")).unwrap();
        assert_eq!(bound(&other).unwrap(), None);
    }

    #[test]
    fn one_that_has_rotted_is_as_if_absent() {
        let whole = line(&key(7).fingerprint()).into_bytes();
        assert!(parse(&whole).is_some());
        for bit in 0..whole.len() * 8 {
            let mut rotten = whole.clone();
            rotten[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&rotten), None, "bit {bit}");
        }
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "length {length}");
        }
    }

    #[test]
    fn the_packs_tell_whose_key_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        let of = |byte, weight| evidence(&vault, &Cipher::new(&key(byte)), weight).unwrap();
        assert_eq!(of(1, Weight::Oldest), Evidence::Nothing);
        write_objects(&vault, &[(1, "one"), (2, "two")]);
        assert_eq!(
            [1, 2, 3].map(|byte| of(byte, Weight::Oldest)),
            [Evidence::Opens, Evidence::Refuses, Evidence::Refuses]
        );
        assert_eq!([1, 2, 3].map(|byte| of(byte, Weight::Any)), [Evidence::Opens, Evidence::Opens, Evidence::Refuses]);
        // The oldest one has rotted: the next one decides.
        let mut names: Vec<_> = vault.packs().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let mut bytes = std::fs::read(&names[0]).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&names[0], bytes).unwrap();
        assert_eq!([1, 2].map(|byte| of(byte, Weight::Oldest)), [Evidence::Refuses, Evidence::Opens]);
    }
}
